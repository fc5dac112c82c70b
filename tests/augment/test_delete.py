"""Words are left out, and only words."""

from typing import Any

import pyarrow as pa
import pytest

from mtl.augment.delete import DeleteAugmenter
from mtl.augment.randomness import Stream
from mtl.config import Delete

from .rows import tagged, texts


def deleted(rows: pa.Table, rate: float = 1.0, copies: int = 1) -> list[dict[str, Any]]:
    variants: list[dict[str, Any]] = (
        DeleteAugmenter(Delete(type="delete", rate=rate, copies=copies), Stream(1, "d")).augment(rows).to_pylist()
    )
    return variants


@pytest.mark.parametrize(
    ("text", "stays"),  # at the highest rate all words go but one
    [
        ("really good @bob", {"really @bob", "good @bob"}),
        ("good film http://a.b #tag 5 :) stop.", {"good http://a.b #tag 5 :) stop.", "film http://a.b #tag 5 :) stop."}),
        ("I don't dont not never cannot it", {"I don't dont not never cannot", "don't dont not never cannot it"}),
        ("they do n't sleep", {"they do n't", "do n't sleep"}),
        ("one.", None),
        ("word", None),
        ("", None),
    ],
)  # fmt: skip
def test_what_is_left_out(text: str, stays: set[str] | None):
    (variant,) = deleted(texts(text))
    assert variant["reason"] == (None if stays else "unchanged")
    assert stays is None or " ".join(variant["tokens"]) in stays


def test_entities_stay_with_their_tags():
    words, tags = ["so", "New", "York", "is", "big"], ["O", "B-x", "I-x", "O", "O"]
    for row in deleted(tagged((words, tags)), 0.6, 20):
        if row["reason"] is None:
            assert list(zip(row["tokens"], row["entities"], strict=True)) == [
                pair for pair in zip(words, tags, strict=True) if pair[0] in row["tokens"]
            ]
            assert {"New", "York"} < set(row["tokens"])
            assert row["space_after"] == [True] * (len(row["tokens"]) - 1) + [False]


def test_a_word_without_a_space_behind_it_stays():
    row = {"tokens": ["big", "old", "(", "town", ")"], "space_after": [True, True, False, False, False], "entities": ["O"] * 5}
    table = tagged(([], []))
    for variant in deleted(pa.Table.from_pylist([{"id": "1", "split": "train", **row}], schema=table.schema), copies=20):
        assert variant["tokens"] == ["(", "town", ")"]
        assert variant["space_after"] == [False, False, False]


def test_the_rate_is_the_share_of_words_left_out():
    gone = [20 - len(row["tokens"] or ["w"] * 20) for row in deleted(texts(*["word " * 19 + "word"] * 3000), 0.15)]
    assert abs(sum(gone) / len(gone) - 0.15 * 20) < 0.1
