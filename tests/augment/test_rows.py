"""What holds for every method that makes each variant from one row, whatever the rows."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mtl import plugins
from mtl.augment.randomness import Stream
from mtl.augment.rows import Pool, Row, RowAugmenter, rows_of
from mtl.config import AugmentMethod
from mtl.config.checks import knows
from mtl.data.spans import legal_iob2

from .rows import tagged, tagged_rows, texts

SETTINGS = {name: plugins.settings_of(plugins.AUGMENTERS, name) for name in plugins.names(plugins.AUGMENTERS)}
AUGMENTERS = {name: plugins.implementation_of(settings) for name, settings in SETTINGS.items() if knows(settings, "en")}
METHODS = [name for name, augmenter in AUGMENTERS.items() if not augmenter.together and name != "nlpaug"]
ROWS = [name for name in METHODS if issubclass(AUGMENTERS[name], RowAugmenter)]
SPEC: TypeAdapter[Any] = TypeAdapter(AugmentMethod)


def fitted(method: str, train: list[pa.Table], **settings: Any) -> Any:
    spec = SPEC.validate_python({"type": method, **settings})
    augmenter = AUGMENTERS[method](spec, Stream(1, method))
    augmenter.fit(iter(train))
    return augmenter


def entities(tokens: list[str], tags: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Type and tokens of each entity, sorted."""
    starts = [place for place, tag in enumerate(tags) if tag.startswith("B-")]
    ends = [next((end for end in range(start + 1, len(tags)) if not tags[end].startswith("I-")), len(tags)) for start in starts]
    return sorted((tags[start][2:], tuple(tokens[start:end])) for start, end in zip(starts, ends, strict=True))


def kept_invariant(invariant: str, parent: Row, variant: dict[str, Any]) -> bool:
    before, after = parent.tags["entities"], variant["entities"]
    if before is None or after is None:
        return before is after
    if invariant == "tags":
        return bool(before == after)
    old, new = entities(parent.tokens, before), entities(variant["tokens"], after)
    return old == new if invariant == "entities" else [type_ for type_, _ in old] == [type_ for type_, _ in new]


TABLES = st.lists(tagged_rows() | tagged_rows().map(lambda row: (row[0], None)), max_size=4).map(lambda rows: tagged(*rows))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60)
@given(TABLES, st.sampled_from([0.1, 0.6, 1.0]))
def test_any_rows(method: str, table: pa.Table, rate: float):
    augmenter = fitted(method, [table], rate=rate, copies=2)
    variants = augmenter.augment(table).to_pylist()
    parents = list(rows_of(table))
    assert [(row["copy"], row["row"]) for row in variants] == [(copy, row) for copy in range(2) for row in range(len(table))]
    for row in variants:
        parent = parents[row["row"]]
        if row["reason"] is None:
            assert row["tokens"] != parent.tokens
            assert any(row["tokens"])
            assert len(row["tokens"]) == len(row["space_after"]) == len(row["entities"] or row["tokens"])
            assert legal_iob2(row["entities"] or ())
            assert kept_invariant(augmenter.invariant, parent, row)
        else:
            assert row["reason"] == "unchanged"
    in_parts = fitted(method, [table.slice(place, 1) for place in reversed(range(len(table)))], rate=rate, copies=2)
    one_by_one = [row | {"row": place} for place in range(len(table)) for row in in_parts.augment(table.slice(place, 1)).to_pylist()]
    assert sorted(one_by_one, key=lambda row: (row["copy"], row["row"])) == variants


SENTENCES = [
    ["I", "really", "think", "that", "this", "new", "movie", "is", "amazing", "and", "funny"],
    ["we", "saw", "Oslo", "and", "New", "York", "before", "Lima", "made", "another", "film"],
    ["the", "big", "garden", "of", "Ann", "Lee", "is", "beautiful", "when", "summer", "begins"],
]
TAGS = [
    ["O"] * 11,
    ["O", "O", "B-x", "O", "B-x", "I-x", "O", "B-x", "O", "O", "O"],
    ["O", "O", "O", "O", "B-y", "I-y", "O", "O", "O", "O", "O"],
]


@pytest.mark.parametrize("method", METHODS)
def test_copies_differ(method: str):
    table = tagged(*[(sentence, tags) for sentence, tags in zip(SENTENCES, TAGS, strict=True)] * 10)
    variants = fitted(method, [table], rate=0.5, copies=4).augment(table)
    texts = [(row["row"], *row["tokens"]) for row in variants.to_pylist() if row["reason"] is None]
    assert len(texts) > 30
    assert len(set(texts)) > len(texts) * 0.6


@pytest.mark.parametrize("method", ROWS)
def test_a_row_is_left_as_it_was(method: str):
    table = tagged(*zip(SENTENCES, TAGS, strict=True))
    augmenter = fitted(method, [table], rate=1)
    changed = []
    for row in rows_of(table):
        before, numbers = row.copy(), [0.9 - place / 20 for place in range(len(row.tokens) + 1)]
        changed.append(augmenter.change(row, [numbers] * augmenter.numbers) != before)
        assert row == before
    assert any(changed)


@pytest.mark.parametrize("method", ROWS)
def test_without_tags(method: str):
    augmenter = fitted(method, [texts()] if method not in NEEDING else [tagged((["Oslo"], ["B-x"]), (["Lima"], ["B-x"]))], rate=1)
    table = tagged((SENTENCES[0], None)) if method in NEEDING else texts(" ".join(SENTENCES[0]))
    (row,) = augmenter.augment(table).to_pylist()
    assert row["reason"] == ("unchanged" if method in NEEDING else None)


NEEDING = {"mention_replace", "label_token_replace", "shuffle_within_segments"}


def test_a_pool_gives_all_others_by_their_weights():
    pool = Pool({"b": 3, "a": 1, "c": 2})
    numbers = [step / 60 for step in range(60)]
    assert Counter(pool.other("b", number) for number in numbers) == {"a": 20, "c": 40}
    assert Counter(pool.other("a", number) for number in numbers) == {"b": 36, "c": 24}
    assert Counter(pool.other("unknown", number) for number in numbers) == {"a": 10, "b": 30, "c": 20}
    assert Pool({"a": 5}).other("a", 0.5) == "a"
