"""Mentions of the train split take the places of others of their type."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from mtl.augment.mention_replace import MentionReplaceAugmenter
from mtl.augment.randomness import Stream
from mtl.config import MentionReplace
from mtl.data.schema import schema

from .rows import tagged, tokens

CITIES = [(["Oslo"], ["B-city"]), (["New", "York"], ["B-city", "I-city"])]


def replaced(train: pa.Table, rows: pa.Table, rate: float = 1.0, copies: int = 1) -> list[dict[str, Any]]:
    augmenter = MentionReplaceAugmenter(MentionReplace(type="mention_replace", rate=rate, copies=copies), Stream(1, "m"))
    augmenter.fit([train])
    variants: list[dict[str, Any]] = augmenter.augment(rows).to_pylist()
    return variants


@pytest.mark.parametrize(
    ("words", "tags", "new_words", "new_tags"),
    [
        ("in Oslo now", "O B-city O", "in New York now", "O B-city I-city O"),
        ("New York City", "B-city I-city O", "Oslo City", "B-city O"),
        ("Oslo New York", "B-city B-city I-city", "New York Oslo", "B-city I-city B-city"),
        ("an Oslo", "O B-city", "a New York", "O B-city I-city"),
        ("A New York", "O B-city I-city", "An Oslo", "O B-city"),
        ("a the Oslo", "O O B-city", "a the New York", "O O B-city I-city"),
        ("a Bob and An Bob", "O B-boy O O B-boy", "a Kim and An Kim", "O B-boy O O B-boy"),  # as it was where the sound is the same
        ("in Ann", "O B-person", None, None),  # nobody else is known
        ("in Oslo", "O O", None, None),
    ],
)
def test_what_is_replaced(words: str, tags: str, new_words: str | None, new_tags: str | None):
    rows = tagged((words.split(), tags.split()))
    (variant,) = replaced(tagged(*CITIES, (["Ann", "Bob", "Kim"], ["B-person", "B-boy", "B-boy"])), rows)
    if new_words is None or new_tags is None:
        assert variant["reason"] == "unchanged"
        return
    assert (variant["tokens"], variant["entities"]) == (new_words.split(), new_tags.split())
    assert variant["space_after"] == [True] * (len(variant["tokens"]) - 1) + [False]


def test_distinct_mentions_are_equally_likely_and_never_the_one_in_place():
    train = tagged(*[(["Lima"], ["B-city"])] * 50, *CITIES, (["Cairo", " "], ["B-city", "B-city"]))
    counts = Counter(" ".join(row["tokens"]) for row in replaced(train, tagged((["Cairo"], ["B-city"])), copies=100))
    assert set(counts) == {"Lima", "Oslo", "New York"}
    assert max(counts.values()) < 50


def test_the_rate_is_the_chance_of_a_mention():
    rows = replaced(tagged(*CITIES), tagged(*[(["Oslo"] * 10, ["B-city"] * 10)] * 100), 0.3)
    changed = sum(row["tokens"].count("New") for row in rows if row["reason"] is None)
    assert abs(changed / 1000 - 0.3) < 0.05


def test_the_spaces_of_a_phrase_go_with_it():
    row = {"tokens": ["Ho", "-", "Ho"], "space_after": [False, False, False], "entities": ["B-city", "I-city", "I-city"]}
    train = pa.Table.from_pylist([{"id": "1", "split": "train", **row}], schema=tagged().schema)
    (variant,) = replaced(train, tagged((["in", "Oslo", "now"], ["O", "B-city", "O"])))
    assert variant["tokens"] == ["in", "Ho", "-", "Ho", "now"]
    assert variant["space_after"] == [True, False, False, True, False]


def two_labels(*content: tuple[str, str | None, str | None]) -> pa.Table:
    rows = [
        {"id": str(place), "split": "train", **tokens(words.split()), "a": a and a.split(), "b": b and b.split()}
        for place, (words, a, b) in enumerate(content)
    ]
    return pa.Table.from_pylist(rows, schema=schema({"a": "tags", "b": "tags"}))


@pytest.mark.parametrize(
    ("words", "a", "b", "expected"),
    [
        ("Ann Lee", "B-p I-p", "B-q I-q", ("Bob", "B-p", "B-q")),  # the same span: of the same types in both
        ("Ann Lee", "B-p I-p", "O O", ("Eve Fox", "B-p I-p", "O O")),
        ("Ann Lee", "B-p I-p", None, ("Kim", "B-p", None)),
        ("Ann Lee", "B-p I-p", "O B-q", None),  # spans that differ
        ("Ann Lee", "B-p I-p", "B-q B-q", None),
        ("Ann Lee", "O B-p", "B-q I-q", None),
    ],
)
def test_several_labels(words: str, a: str, b: str | None, expected: tuple[str, str, str | None] | None):
    train = two_labels(
        ("Bob", "B-p", "B-q"), ("Eve Fox", "B-p I-p", "O O"), ("Kim", "B-p", None), ("Max", "O", "B-q"), ("Pat", None, "B-p")
    )
    for variant in replaced(train, two_labels((words, a, b)), copies=10):
        if expected is None:
            assert variant["reason"] == "unchanged"
        else:
            assert [variant[name] and " ".join(variant[name]) for name in ("tokens", "a", "b")] == list(expected)
