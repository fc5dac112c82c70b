"""What the filters of back-translation take for English and for a denial."""

import pytest

from mtl.augment import lexicon


@pytest.mark.parametrize("word", ["movies", "the", "because", "can't", "didn't", "it's", "went", "him", "would", "better"])
def test_english_words(word: str):
    assert lexicon.known(word)


@pytest.mark.parametrize("word", ["malgranda", "estita", "paŝrada", "qzbaq", "klientan", "ppl"])
def test_other_words(word: str):
    assert not lexicon.known(word)


@pytest.mark.parametrize(
    ("text", "count"),
    [("No biscuit!", 1), ("Any biscuit!", 0), ("I don't, do n't and dont", 3), ("I can’t not go", 2), ("nobody never", 2), ("a note", 0)],
)
def test_negations(text: str, count: int):
    assert lexicon.negations(text) == count
