"""The proof, for every row that is about to be written, that its tags are aligned and that its method kept its promise.

Whole columns are compared at once; only entities that did not stay where they were are looked at row by row.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.augment.variants import Promise, tag_columns
from mtl.data.schema import check
from mtl.errors import AugmentError, DataError

Mask = npt.NDArray[np.bool_]


def prove(variants: pa.Table, parents: pa.Table, promise: Promise) -> None:
    """Check variants against their parents.

    Args:
        variants: canonical rows; legal in themselves (``mtl.data.schema.check``) or an error.
        parents: the row that each was made from, in the same order.
        promise: what the method keeps of the tags.

    Raises:
        AugmentError: names the row and the promise that it breaks.
    """
    try:
        check(variants, "augmented rows")
    except DataError as error:
        raise AugmentError(str(error)) from None
    for column in tag_columns(variants):
        lost = pc.xor(variants[column].is_valid(), parents[column].is_valid()).to_numpy()
        _refuse(variants, lost, f"{column} was gained or lost")
        moved = _moved(variants, parents, column, words=promise == "entities")
        if promise == "tags":
            _refuse(variants, moved, f"{column} is not that of its parent")
        for row in np.flatnonzero(moved).tolist():
            found, wanted = (entities(table["tokens"][row].as_py(), table[column][row].as_py()) for table in (variants, parents))
            if (found != wanted) if promise == "entities" else (_types(found) != _types(wanted)):
                raise AugmentError(f"{variants['id'][row].as_py()}: the {promise} of {column} are not those of its parent")


def entities(tokens: Sequence[str], tags: Sequence[str]) -> Counter[tuple[tuple[str, ...], str]]:
    """The multiset of (tokens, type) of the entities of legal IOB2 tags."""
    found: list[tuple[list[str], str]] = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            found.append(([token], tag[2:]))
        elif tag != "O":
            found[-1][0].append(token)
    return Counter((tuple(words), kind) for words, kind in found)


def _types(found: Counter[tuple[tuple[str, ...], str]]) -> Counter[str]:
    return Counter(kind for _, kind in found.elements())


def _moved(variants: pa.Table, parents: pa.Table, column: str, *, words: bool) -> Mask:
    """Whether a row's tags, or with ``words`` the tokens of its entities, are not in their places what its parent's are, [rows]."""
    lengths = pc.list_value_length(variants["tokens"]).to_numpy()
    tagged = variants[column].is_valid().to_numpy()
    same = tagged & (lengths == pc.list_value_length(parents["tokens"]).to_numpy())
    tags = _items(variants[column], same)
    differ = pc.not_equal(tags, _items(parents[column], same))
    if words:
        renamed = pc.not_equal(_items(variants["tokens"], same), _items(parents["tokens"], same))
        differ = pc.or_(differ, pc.and_(renamed, pc.not_equal(tags, "O")))
    moved: Mask = tagged & ~same
    moved[np.repeat(np.flatnonzero(same), lengths[same])[differ.to_numpy(zero_copy_only=False)]] = True
    return moved


def _items(lists: pa.ChunkedArray, rows: Mask) -> pa.Array:
    """The items of some rows, end to end."""
    return (lists if rows.all() else lists.filter(pa.array(rows))).combine_chunks().flatten()


def _refuse(variants: pa.Table, broken: Mask, words: str) -> None:
    for row in np.flatnonzero(broken)[:1].tolist():
        raise AugmentError(f"{variants['id'][row].as_py()}: {words}")
