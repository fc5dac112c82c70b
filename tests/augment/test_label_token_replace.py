"""Tokens of the train split take the places of others with their tag."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from mtl.augment.label_token_replace import LabelTokenReplaceAugmenter
from mtl.augment.randomness import Stream
from mtl.config import LabelTokenReplace

from .rows import tagged
from .test_mention_replace import two_labels

TRAIN = [(["New", "York", "rocks", "the"], ["B-x", "I-x", "O", "O"]), (["San", "Juan", "rocks", "!"], ["B-x", "I-x", "O", "O"])]


def replaced(train: pa.Table, rows: pa.Table, rate: float = 1.0, copies: int = 1) -> list[dict[str, Any]]:
    augmenter = LabelTokenReplaceAugmenter(LabelTokenReplace(type="label_token_replace", rate=rate, copies=copies), Stream(1, "l"))
    augmenter.fit([train])
    variants: list[dict[str, Any]] = augmenter.augment(rows).to_pylist()
    return variants


@pytest.mark.parametrize(
    ("words", "tags", "expected"),
    [
        ("New York rocks", "B-x I-x O", "San Juan !"),
        ("New Juan York", "B-x I-x I-x", "San York Juan"),
        ("the !", "O O", "the rocks"),  # words of grammar stay
        ("do n't !", "O O O", "do n't rocks"),  # and so do clitics
        ("Noone mustnt !", "O O O", "Noone mustnt rocks"),  # and what denies
        ("Ann", "B-y", None),
        ("", "", None),
    ],
)
def test_what_is_replaced(words: str, tags: str, expected: str | None):
    (variant,) = replaced(tagged(*TRAIN), tagged((words.split(), tags.split())))
    assert variant["reason"] == (None if expected else "unchanged")
    if expected:
        assert (" ".join(variant["tokens"]), " ".join(variant["entities"])) == (expected, tags)


def test_tokens_are_drawn_by_how_often_they_carry_the_tag():
    train = tagged(
        *[(["bread"], ["O"])] * 3, (["rice", "here", ""], ["O", "O", "O"]), (["of", "n't", "'s", "dont"], ["O"] * 4), (["person"], ["B-x"])
    )
    counts = Counter(row["tokens"][0] for row in replaced(train, tagged(*[(["new"], ["O"])] * 10), copies=100))
    assert set(counts) == {"bread", "rice"}
    assert abs(counts["bread"] / 1000 - 0.75) < 0.05


def test_the_rate_is_the_chance_of_a_token():
    rows = replaced(tagged(*TRAIN), tagged(*[(["rocks"] * 10, ["O"] * 10)] * 100), 0.2)
    changed = sum(row["tokens"].count("!") for row in rows if row["reason"] is None)
    assert abs(changed / 1000 - 0.2) < 0.05


def test_all_labels_must_agree():
    train = two_labels(("Bob", "B-p", "B-q"), ("Eve", "B-p", "O"), ("Kim", "B-p", None))
    variants = replaced(train, two_labels(("Ann", "B-p", "B-q"), ("Ann", "B-p", "O"), ("Ann", "B-p", None), ("Ann", None, None)))
    assert [" ".join(row["tokens"]) for row in variants] == ["Bob", "Eve", "Kim", ""]
