"""One slip a word, and only in words that may be misspelt."""

from typing import Any

import pyarrow as pa
import pytest

from mtl.augment.randomness import Stream
from mtl.augment.typo import TypoAugmenter
from mtl.config import Typo

from .rows import tagged, texts


def misspelt(rows: pa.Table, rate: float = 1.0, copies: int = 1) -> list[dict[str, Any]]:
    variants: list[dict[str, Any]] = TypoAugmenter(Typo(type="typo", rate=rate, copies=copies), Stream(1, "t")).augment(rows).to_pylist()
    return variants


SLIPS = {  # of "note": the neighbouring keys, a missing, a doubled and an exchanged letter; "not" would deny
    *("nite", "npte", "nkte", "nlte", "nte", "noote", "ntoe"),
    *("nore", "noye", "nofe", "noge", "noe", "notte", "noet"),
    *("notw", "notr", "nots", "notd", "notee"),
}


def test_the_slips_of_a_word():
    slips = [row["tokens"][0] for row in misspelt(texts(*["note"] * 10), copies=100)]
    assert set(slips) == SLIPS
    assert {row["tokens"][0].upper() for row in misspelt(texts("NOTE"), copies=50)} <= {slip.upper() for slip in SLIPS}


@pytest.mark.parametrize(
    ("text", "before", "behind"),
    [
        ("really", "r", ""),
        ('("really,"', '("r', ',"'),
        ("REALLY!", "R", "!"),
        *((text, None, None) for text in ("cat", "http://really.net", "@really", "#really", "2015th", "without", "cannot.", "don't", "")),
    ],
)  # fmt: skip
def test_what_is_misspelt(text: str, before: str | None, behind: str | None):
    for row in misspelt(texts(text), copies=10):
        assert row["reason"] == ("unchanged" if before is None else None)
        if before is not None and behind is not None:
            (token,) = row["tokens"]
            assert token.startswith(before)
            assert token.endswith(behind)
            assert token.isupper() == text.isupper()
            assert abs(len(token) - len(text)) <= 1


def test_entities_are_never_touched():
    words, tags = ["there", "Angela", "Merkel", "spoke"], ["O", "B-x", "I-x", "O"]
    for row in misspelt(tagged((words, tags)), copies=10):
        assert row["entities"] == tags
        assert row["tokens"][1:3] == words[1:3]
        assert row["tokens"][0] != "there"
        assert row["tokens"][3] != "spoke"


@pytest.mark.parametrize(("rate", "words"), [(0.01, 1.0), (0.3, 6.0), (1.0, 20.0)])
def test_the_rate_is_the_share_of_misspelt_words_at_least_one(rate: float, words: float):
    counts = [sum(token != "word" for token in row["tokens"]) for row in misspelt(texts(*["word " * 19 + "word"] * 200), rate)]
    assert min(counts) >= 1
    assert abs(sum(counts) / len(counts) - words) < 0.3
