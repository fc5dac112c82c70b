"""Words change places, and only words."""

from typing import Any

import pyarrow as pa
import pytest

from mtl.augment.randomness import Stream
from mtl.augment.swap import SwapAugmenter
from mtl.config import Swap

from .rows import tagged, texts


def swapped(rows: pa.Table, rate: float = 1.0, copies: int = 1) -> list[dict[str, Any]]:
    variants: list[dict[str, Any]] = SwapAugmenter(Swap(type="swap", rate=rate, copies=copies), Stream(1, "s")).augment(rows).to_pylist()
    return variants


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("good film", "film good"),
        ("good @bob film", "film @bob good"),
        ("good #tag http://a.b 5 :) never film", "film #tag http://a.b 5 :) never good"),
        ("good do n't film.", None),  # one word that may move
        ("good movie 's film", "film movie 's good"),
        ("one", None),
        ("", None),
    ],
)
def test_what_changes_places(text: str, expected: str | None):
    (variant,) = swapped(texts(text), 0.1)
    assert variant["reason"] == (None if expected else "unchanged")
    assert expected is None or " ".join(variant["tokens"]) == expected


def test_entities_and_spaces_stay_where_they_are():
    words, tags = ["so", "New", "York", "is", "big"], ["O", "B-x", "I-x", "O", "O"]
    for row in swapped(tagged((words, tags)), copies=20):
        if row["reason"] is None:
            assert row["entities"] == tags
            assert row["tokens"][1:3] == ["New", "York"]
            assert sorted(row["tokens"]) == sorted(words)
            assert row["space_after"] == [True] * 4 + [False]


@pytest.mark.parametrize(("rate", "least", "most"), [(0.01, 2, 2), (0.1, 2.9, 4), (1.0, 15, 20)])
def test_the_rate_is_the_number_of_swaps_per_word(rate: float, least: float, most: float):
    words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"]
    moved = [
        sum(one != other for one, other in zip(words, row["tokens"] or words, strict=True))
        for row in swapped(texts(" ".join(words)), rate, 50)
    ]
    assert least <= sum(moved) / len(moved) <= most


def test_every_pair_is_swapped():
    swapped_texts = {" ".join(row["tokens"]) for row in swapped(texts("a b c"), 0.1, 50)}
    assert swapped_texts == {"b a c", "c b a", "a c b"}
