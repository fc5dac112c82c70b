"""What the filters of back-translation take for English and for a denial."""

import pytest

from mtl.augment.languages import en as lexicon


@pytest.mark.parametrize("word", ["movies", "the", "because", "can't", "didn't", "it's", "went", "him", "would", "better"])
def test_english_words(word: str):
    assert lexicon.known(word)


@pytest.mark.parametrize("word", ["malgranda", "estita", "paŝrada", "qzbaq", "klientan", "ppl"])
def test_other_words(word: str):
    assert not lexicon.known(word)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("No biscuit!", 1),
        ("Any biscuit!", 0),
        ("I don't, do n't and dont", 3),
        ("I can’t not go", 2),
        ("nobody never", 2),
        ("Noone, no-one: nope", 3),
        ("a note", 0),
    ],
)
def test_negations(text: str, count: int):
    assert lexicon.negations(text) == count


@pytest.mark.parametrize("token", ["word", "Well-being", "o’clock", "naïve", "movie's"])
def test_plain_words(token: str):
    assert lexicon.is_plain(token)


@pytest.mark.parametrize(
    "token", ["never", "No-one", "DON'T", "don’t", "cannot", "word.", "#tag", "@name", "http://a.b", "5", "2nd", "'s", ":)", "", "a b"]
)
def test_what_is_no_plain_word(token: str):
    assert not lexicon.is_plain(token)


def test_clitics_and_words_of_grammar():
    assert [token for token in ("'s", "n't", "N’T", "'ll", "s", "don't", "") if lexicon.is_clitic(token)] == ["'s", "n't", "N’T", "'ll"]
    assert [token for token in ("The", "of", "film", "N't", "nope", "") if lexicon.is_grammar(token)] == ["The", "of", "N't", "nope"]


@pytest.mark.parametrize("word", ["apple", "hour", "honest", "unimportant", "umbrella", "understand", "heir", "uncle", "onion"])
def test_words_that_take_an(word: str):
    assert lexicon.starts_with_vowel_sound(word)


@pytest.mark.parametrize("word", ["use", "unicorn", "one", "european", "movie", "usual", "once", "unique", "utility", "house"])
def test_words_that_take_a(word: str):
    assert not lexicon.starts_with_vowel_sound(word)
