"""Splits by a hash of normalised texts."""

import itertools
from collections import Counter
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from mtl.config import Fractions
from mtl.data import splits as hashed
from mtl.data.splits import normalised

EIGHTY = Fractions(train=0.8, validation=0.1, test=0.1)


def assign(text: str, fractions: Fractions, seed: int) -> str:
    """The split of a text that is grouped by its letters."""
    return hashed.assign(normalised(text), fractions, seed)


@given(st.text(max_size=30), st.integers(0, 3))
def test_texts_that_differ_in_case_or_signs_stay_together(text: str, seed: int) -> None:
    split = assign(text, EIGHTY, seed)
    assert assign(f"  {text} ", EIGHTY, seed) == split
    assert assign(text.casefold(), EIGHTY, seed) == split
    if any(character.isalpha() for character in normalised(text)):
        assert assign(f"{text} !! 7", EIGHTY, seed) == split


def test_shares_are_met_and_depend_on_the_seed() -> None:
    letters = ["".join(chosen) for chosen in itertools.product("abcdefgh", repeat=5)][:20_000]
    assigned = [assign(text, EIGHTY, 1) for text in letters]
    counts = Counter(assigned)
    assert abs(counts["train"] - 16_000) < 250
    assert abs(counts["validation"] - 2_000) < 200
    other = [assign(text, EIGHTY, 2) for text in letters]
    assert 0.6 < sum(a == b for a, b in zip(assigned, other, strict=True)) / len(assigned) < 0.72  # 0.8² + 2 × 0.1² = 0.66


def test_a_share_of_zero_gets_nothing() -> None:
    texts = [f"{'x' * n}" for n in range(1, 400)]
    assert {assign(text, Fractions(train=0.5, test=0.5), 1) for text in texts} == {"train", "test"}
    assert {assign(text, Fractions(train=0.7, validation=0.3), 1) for text in texts} == {"train", "validation"}
    assert {assign(text, Fractions(train=1.0), 1) for text in texts} == {"train"}


def test_rows_do_not_move_when_others_are_added() -> None:
    """The split depends only on text and seed. These values must never change, or the rows of every dataset move."""
    assert [assign(text, EIGHTY, 1) for text in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")] == EXPECTED


EXPECTED = ["train", "train", "train", "train", "train", "validation", "train", "train", "train", "test"]


def test_normalised_keeps_letters_and_their_marks() -> None:
    assert normalised("Nai\u0308ve  CAFÉ, 7 नमस्ते_ﬁ!") == "naïve café नमस्ते fi"
    assert normalised(" :-)  1 ") == ":-) 1"


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_plain_texts_are_normalised_as_any_other(text: str) -> None:
    with mock.patch("mtl.data.splits._plain", return_value=None):
        expected = normalised(text)
    assert normalised(text) == expected
