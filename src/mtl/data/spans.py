"""Entities as spans of tokens, and the tag schemes that spell them. IOB1, IOB2 and BIOES are read; behind the readers all is IOB2."""

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


class Entity(NamedTuple):
    """Tokens ``start`` (inclusive) to ``end`` (exclusive) of a text field."""

    type: str
    start: int
    end: int


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities that tags spell, in order.

    Illegal sequences are read as conlleval and the default mode of seqeval read them: an I- that does not continue an entity of its type
    begins one.
    """
    result: list[Entity] = []
    start, open_type = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        current = tag[2:]
        if open_type and (tag[0] != "I" or current != open_type):
            result.append(Entity(open_type, start, place))
            open_type = ""
        if current and not open_type:
            start, open_type = place, current
    return result


def to_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of a scheme (``iob1``, ``iob2`` or ``bioes``) as IOB2.

    IOB1 opens an entity with I- unless one of the same type stands directly before it; BIOES also marks ends (E-) and single tokens (S-).

    Raises:
        ValueError: the tags are not legal in the scheme; the message names the first that is not.
    """
    letters = "BIES" if scheme == "bioes" else "BI"
    for tag in tags:
        if tag != "O" and not (tag[:1] in letters and tag[1:2] == "-" and len(tag) > 2):
            allowed = ", ".join(f"{letter}-TYPE" for letter in letters)
            raise ValueError(f"tag {tag!r} is not legal {scheme}; choose from: O, {allowed}")
    if scheme == "iob1":
        return _from_iob1(tags)
    converted = _from_bioes(tags) if scheme == "bioes" else list(tags)
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


def _from_bioes(tags: Sequence[str]) -> list[str]:
    """E- becomes I-, S- becomes B-; an entity that is not ended, or goes on after its end, is refused."""
    converted: list[str] = []
    inside = ""  # type of the entity that waits for its end
    for position, tag in enumerate(tags):
        letter, current = tag[:1], tag[2:]
        if (current != inside) if letter in "IE" else bool(inside):
            raise ValueError(
                f"tag {tag!r} at token {position + 1} is not legal bioes: " + (f"{inside} is open" if inside else "none is open")
            )
        inside = current if letter in "BI" else ""
        converted.append({"E": "I-", "S": "B-"}.get(letter, f"{letter}-") + current if tag != "O" else tag)
    if inside:
        raise ValueError(f"the last entity ({inside}) has no E- tag, which bioes asks for")
    return converted


def legal_iob2(tags: Iterable[str]) -> bool:
    """Whether tags form legal IOB2: each is O, B-type or I-type, and an I- follows a B- or I- of its type."""
    previous = "O"
    for tag in tags:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
            return False
        if tag.startswith("I-") and previous[2:] != tag[2:]:
            return False
        previous = tag
    return True


def first_illegal(column: pa.ChunkedArray | pa.Array) -> int | None:
    """The first row of a column of tags that is not ``legal_iob2``; None if all are."""
    illegal = np.flatnonzero(_illegal_iob2(column))
    return int(illegal[0]) if len(illegal) else None


def _illegal_iob2(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.bool_]:
    """Whether each row of a column of tags is not ``legal_iob2``, [rows]; a null row is legal. Each distinct tag is parsed once."""
    from mtl.data.coded import Lists  # needs pyarrow

    tags = Lists.of(column)
    distinct = tags.words.to_pylist()
    types = {name: number for number, name in enumerate(dict.fromkeys(tag[2:] for tag in distinct))}
    wrong = np.array([not legal_iob2(["B-" + tag.removeprefix("I-") if tag[:2] == "I-" else tag]) for tag in distinct], dtype=bool)
    inner = np.array([tag[:2] == "I-" for tag in distinct], dtype=bool)
    type_ = np.array([types[tag[2:]] if tag != "O" else -1 for tag in distinct], dtype=np.int64)
    places = np.flatnonzero(tags.codes != pc.index(tags.words, "O").as_py())  # most are O
    places = places[(wrong | inner)[tags.codes[places]]]
    rows = np.searchsorted(tags.offsets, places, side="right") - 1
    codes, before = tags.codes[places], tags.codes[places - 1]
    broken = wrong[codes] | (places == tags.offsets[rows]) | (type_[codes] != type_[before])
    return np.bincount(rows[broken], minlength=len(column)) > 0
