"""Entities as spans of tokens, and their tag schemes: those of ``SCHEMES`` are read; canonical tables use IOB2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mtl.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np, pc = lazy("numpy"), lazy("pyarrow.compute")


SCHEMES = {"iob1": "BI", "iob2": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
"""Tag scheme to the letters that stand before a type."""
_AS_BIOES = {"bilou": {"L": "E", "U": "S"}, "bmes": {"M": "I"}}


class Entity(NamedTuple):
    """Tokens ``start`` (inclusive) to ``end`` (exclusive) of a text field."""

    type: str
    start: int
    end: int


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of tags, in order.

    Illegal sequences are decoded like in conlleval and the default mode of seqeval: an I- that does not continue an entity of its type
    begins one.
    """
    result: list[Entity] = []
    start, open_type = 0, ""
    for position, tag in enumerate([*tags, "O"]):
        current = tag[2:]
        if open_type and (tag[0] != "I" or current != open_type):
            result.append(Entity(open_type, start, position))
            open_type = ""
        if current and not open_type:
            start, open_type = position, current
    return result


def to_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of a scheme as IOB2.

    IOB1 opens an entity with I- unless it directly follows one of the same type; BIOES also marks ends (E-) and single tokens (S-). BILOU
    writes L- and U- for these, and BMES writes M- for the inside.

    Raises:
        ValueError: the tags are not legal in the scheme; names the first illegal one.
    """
    letters = SCHEMES[scheme]
    for tag in tags:
        if tag != "O" and not (tag[:1] in letters and tag[1:2] == "-" and len(tag) > 2):
            allowed = ", ".join(f"{letter}-TYPE" for letter in letters)
            raise ValueError(f"tag {tag!r} is not legal {scheme}; choose from: O, {allowed}")
    if scheme == "iob1":
        return _from_iob1(tags)
    converted = list(tags) if scheme == "iob2" else _from_ends(tags, scheme)
    if not legal_iob2(converted):
        position = next(i for i in range(len(tags)) if not legal_iob2(converted[: i + 1]))
        before = tags[position - 1] if position else "the start"
        raise ValueError(f"tag {tags[position]!r} after {before!r} is not legal {scheme}")
    return converted


def _from_iob1(tags: Sequence[str]) -> list[str]:
    converted: list[str] = []
    previous = "O"
    for tag in tags:
        opens = tag.startswith("I-") and previous[2:] != tag[2:]
        converted.append(f"B-{tag[2:]}" if opens else tag)
        previous = tag
    return converted


def _from_ends(tags: Sequence[str], scheme: str) -> list[str]:
    """From BIOES or one with other letters: E- becomes I-, S- becomes B-. An entity must end, and must not continue after its end."""
    converted: list[str] = []
    letters = _AS_BIOES.get(scheme, {})
    inside = ""  # type of the open entity
    for position, tag in enumerate(tags):
        letter, current = letters.get(tag[:1], tag[:1]), tag[2:]
        if (current != inside) if letter in "IE" else bool(inside):
            raise ValueError(
                f"tag {tag!r} at token {position + 1} is not legal {scheme}: " + (f"{inside} is open" if inside else "none is open")
            )
        inside = current if letter in "BI" else ""
        converted.append({"E": "I-", "S": "B-"}.get(letter, f"{letter}-") + current if tag != "O" else tag)
    if inside:
        raise ValueError(f"the last entity ({inside}) has no {SCHEMES[scheme][2]}- tag, which {scheme} requires")
    return converted


def legal_iob2(tags: Iterable[str]) -> bool:
    """Whether tags are legal IOB2: each is O, B-type or I-type, and an I- follows a B- or I- of its type."""
    previous = "O"
    for tag in tags:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
            return False
        if tag.startswith("I-") and previous[2:] != tag[2:]:
            return False
        previous = tag
    return True


def first_illegal(column: pa.ChunkedArray | pa.Array) -> int | None:
    """The first row of a column of tags that is not legal IOB2; None if all are legal."""
    illegal = np.flatnonzero(_illegal_iob2(column))
    return int(illegal[0]) if len(illegal) else None


def _illegal_iob2(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.bool_]:
    """Whether each row of a column of tags is illegal IOB2, [rows]; a null row is legal. Each distinct tag is parsed once."""
    from mtl.data.coded import Lists  # needs pyarrow

    tags = Lists.of(column)
    distinct = tags.words.to_pylist()
    types = {name: number for number, name in enumerate(dict.fromkeys(tag[2:] for tag in distinct))}
    malformed = np.array([not legal_iob2(["B-" + tag.removeprefix("I-") if tag[:2] == "I-" else tag]) for tag in distinct], dtype=bool)
    inner = np.array([tag[:2] == "I-" for tag in distinct], dtype=bool)
    type_ = np.array([types[tag[2:]] if tag != "O" else -1 for tag in distinct], dtype=np.int64)
    positions = np.flatnonzero(tags.codes != pc.index(tags.words, "O").as_py())  # most are O
    positions = positions[(malformed | inner)[tags.codes[positions]]]
    rows = np.searchsorted(tags.offsets, positions, side="right") - 1
    codes, before = tags.codes[positions], tags.codes[positions - 1]
    illegal = malformed[codes] | (positions == tags.offsets[rows]) | (type_[codes] != type_[before])
    return np.bincount(rows[illegal], minlength=len(column)) > 0
