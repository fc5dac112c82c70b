"""Rows of one or two text fields, seen as augmenters see them: one field at a time, its positional labels spelled as IOB2 tags.

A view of a field has the columns ``id``, ``tokens``, ``space_after`` and one column of tags for each positional label of the field,
whatever the label's type. Each field is augmented by itself. ``combine`` joins the fields again, ``label_of`` turns tags back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.data.coded import CODE, list_of, take
from mtl.data.labels import label_type
from mtl.data.schema import columns_of, labels_of, positional_labels, text_of
from mtl.data.spans import legal_iob2
from mtl.errors import AugmentError

TAGS = "tags"
"""The label type that is carried as it is."""

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def view(rows: pa.Table, field: str) -> pa.Table:
    """A text field of canonical rows.

    Raises:
        AugmentError: a positional label cannot be spelled as tags.
    """
    tokens, spaces = columns_of(field)
    labels = positional_labels(rows.schema, field)
    columns = {"id": rows["id"], "tokens": rows[tokens], "space_after": rows[spaces]}
    columns |= {label: _tags(rows, label, tokens) for label in labels}
    schema = [pa.field(name, column.type, nullable=name in labels) for name, column in columns.items()]
    return pa.table(list(columns.values()), schema=pa.schema(schema, metadata={f"label:{label}": TAGS for label in labels}))


def _tags(rows: pa.Table, label: str, tokens: str) -> pa.ChunkedArray:
    """A positional label of rows as tags."""
    type_ = labels_of(rows.schema)[label]
    if type_ == TAGS:
        return rows[label]
    to_tags = label_type(type_).to_tags
    lengths = pc.list_value_length(rows[tokens]).to_pylist()
    spelled = [to_tags(value, length) for value, length in zip(rows[label].to_pylist(), lengths, strict=True)]
    for place, (tags, length) in enumerate(zip(spelled, lengths, strict=True)):
        if tags is not None and not (len(tags) == length and legal_iob2(tags)):
            raise AugmentError(f"{rows['id'][place].as_py()}: {label} cannot be spelled as tags of {length} tokens: {' '.join(tags)}")
    return pa.chunked_array([pa.array(spelled, list_of(pa.string()))]).cast(list_of(CODE))


def label_of(tags: pa.ChunkedArray, parents: pa.ChunkedArray, type_: str, names: Sequence[str]) -> pa.ChunkedArray:
    """The positional labels that the tags of variants spell, [rows].

    Args:
        tags: of the variants.
        parents: labels of their original rows, for what tags do not say.
        type_: the label's type, not ``tags``.
        names: ids of the variants.

    Raises:
        AugmentError: a label does not spell the same tags again; names the row.
    """
    label = label_type(type_)
    values = [_label(label, *row) for row in zip(tags.cast(list_of(pa.string())).to_pylist(), parents.to_pylist(), names, strict=True)]
    return pa.chunked_array([pa.array(values, label.arrow())])


def _label(type_: Any, tags: list[str] | None, parent: Any, name: str) -> Any:
    try:
        label = type_.from_tags(tags, parent)
        same = type_.to_tags(label, len(tags or ())) == tags
    except (LookupError, TypeError, ValueError):
        same = False
    if not same:
        raise AugmentError(f"{name}: no label of type {type_.__name__} has these tags: {' '.join(tags or ())}")
    return label


def combine(made: Mapping[str, pa.Table], views: Mapping[str, pa.Table]) -> pa.Table:
    """The variants of fields as variants of whole rows.

    A field stays as it is if it was not augmented or its variant was dropped. The variant of a row is dropped only if all its fields
    stay; its reason is then the first one that is not ``unchanged``.

    Args:
        made: variants (``mtl.augment.variants``) by field, coded and in the same order.
        views: the rows that they were made of, by field, for all fields; coded.

    Returns:
        ``row``, ``copy``, tokens and spaces of each field by the names of the canonical table, tags by label, ``reason``.
    """
    first = next(iter(made.values()))
    if len(views) == 1:
        return first.rename_columns(_canonical_names(next(iter(views)), first.schema.names))
    kept = np.logical_or.reduce([variants["reason"].is_null().to_numpy() for variants in made.values()])
    columns = {"row": first["row"], "copy": first["copy"]}
    for field, originals in views.items():
        content = _content(made.get(field), originals, first["row"].to_numpy(), kept)
        columns |= dict(zip(_canonical_names(field, content.schema.names), content.columns, strict=True))
    specific = [pc.if_else(pc.equal(variants["reason"], "unchanged"), None, variants["reason"]) for variants in made.values()]
    return pa.table({**columns, "reason": pc.if_else(pa.array(kept), None, pc.coalesce(*specific, pa.scalar("unchanged")))})


def _content(variants: pa.Table | None, originals: pa.Table, rows: Integers, kept: Mask) -> pa.Table:
    """Tokens, spaces and tags of a field of each variant, [variants].

    Args:
        variants: of the field; None if it was not augmented.
        originals: the field's view.
        rows: the row of each variant, [variants].
        kept: whether any field of a variant changed, [variants]; of the others, samples display what was dropped.
    """
    originals = originals.drop_columns(["id"])
    if variants is None:
        return take(originals, rows)
    reasons = variants["reason"]
    own = reasons.is_null().to_numpy() | ~kept & pc.not_equal(reasons, "unchanged").fill_null(False).to_numpy()
    variants = variants.select(originals.schema.names)
    both = pa.concat_tables([variants, originals.cast(variants.schema)]).combine_chunks()
    return take(both, np.where(own, np.arange(len(variants)), len(variants) + rows))


def _canonical_names(field: str, names: Sequence[str]) -> list[str]:
    tokens, spaces = columns_of(field)
    return [{"tokens": tokens, "space_after": spaces}.get(name, name) for name in names]


def text_of_fields(row: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The texts of all fields of a row, one a line."""
    return "\n".join(text_of(row[tokens] or [], row[spaces] or []) for tokens, spaces in map(columns_of, fields))
