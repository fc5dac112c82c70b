"""The proof, for every row before it is written, that its method kept its invariant in every text field.

Whole columns are compared at once. Only rows in which an entity moved are compared one by one.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.augment.variants import Invariant, tag_columns
from mtl.data.coded import Lists, look_up, same
from mtl.errors import AugmentError

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]


def prove(variants: pa.Table, parents: pa.Table, invariant: Invariant) -> None:
    """Compare the tags of variants with those of their parents.

    Args:
        variants: views of a field (``mtl.augment.fields``), or canonical rows; with legal tags, one per token.
        parents: tokens and tags of the row that each was made from, in the same order.
        invariant: what the method keeps of the tags.

    Raises:
        AugmentError: names the row and the invariant that it breaks.
    """
    for column in tag_columns(variants):
        lost = pc.xor(variants[column].is_valid(), parents[column].is_valid()).to_numpy()
        _refuse(variants, lost, f"{column} was gained or lost")
        moved = _moved(variants, parents, column, words=invariant == "entities")
        if invariant == "tags":
            _refuse(variants, moved, f"{column} is not that of its parent")
        for row in np.flatnonzero(moved).tolist():
            after, before = (entities(table["tokens"][row].as_py(), table[column][row].as_py()) for table in (variants, parents))
            if (after != before) if invariant == "entities" else (_types(after) != _types(before)):
                raise AugmentError(f"{variants['id'][row].as_py()}: the {invariant} of {column} are not those of its parent")


def prove_untouched(variants: pa.Table, parents: pa.Table, field: str) -> None:
    """Compare a field that a method must not change: tokens, spaces and tags.

    Raises:
        AugmentError: some row of the field differs.
    """
    for name in parents.schema.names:
        if not variants[name].equals(parents[name]):
            raise AugmentError(f"{name} of the field {field} is not that of its parent, although the method is not applied to it")


def entities(tokens: Sequence[str], tags: Sequence[str]) -> Counter[tuple[tuple[str, ...], str]]:
    """The multiset of (tokens, type) of the entities of legal IOB2 tags."""
    spans: list[tuple[list[str], str]] = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            spans.append(([token], tag[2:]))
        elif tag != "O":
            spans[-1][0].append(token)
    return Counter((tuple(words), type_) for words, type_ in spans)


def _types(counts: Counter[tuple[tuple[str, ...], str]]) -> Counter[str]:
    return Counter(type_ for _, type_ in counts.elements())


def _moved(variants: pa.Table, parents: pa.Table, column: str, *, words: bool) -> Mask:
    """Whether tags, or with ``words`` tokens of entities, differ from those at the same places of the parent, [rows]."""
    tokens, others = (Lists.of(table["tokens"]) for table in (variants, parents))
    tags = Lists.of(variants[column])
    tagged = variants[column].is_valid().to_numpy()
    same = tagged & (tokens.lengths == others.lengths)
    differ = np.not_equal(*_items(tags, Lists.of(parents[column]), same))
    if words:
        inside = _of(tags, same) != pc.index(tags.words, "O").as_py()
        differ |= inside & np.not_equal(*_items(tokens, others, same))
    moved: Mask = tagged & ~same
    moved[np.flatnonzero(same)[np.searchsorted(np.cumsum(tokens.lengths[same]), np.flatnonzero(differ), side="right")]] = True
    return moved


def _items(first: Lists, second: Lists, rows: Mask) -> tuple[Codes, Codes]:
    """The items of some rows, end to end, of both sides, as codes of one vocabulary."""
    shared = min(len(first.words), len(second.words))
    if same(first.words.slice(0, shared), second.words.slice(0, shared)):
        return _of(first, rows), _of(second, rows)
    codes = pa.concat_arrays([first.words, second.words]).dictionary_encode().indices.to_numpy()
    return look_up(codes, _of(first, rows)), look_up(codes[len(first.words) :], _of(second, rows))


def _of(lists: Lists, rows: Mask) -> Codes:
    return lists.codes if rows.all() else lists.codes[rows[lists.owners()]]


def _refuse(variants: pa.Table, broken: Mask, words: str) -> None:
    for row in np.flatnonzero(broken)[:1].tolist():
        raise AugmentError(f"{variants['id'][row].as_py()}: {words}")
