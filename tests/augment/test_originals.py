"""Hashes tell texts apart, and do not depend on what else is hashed."""

import pyarrow as pa
import pytest

from mtl.augment import originals
from mtl.augment.originals import Originals, TextHashes
from mtl.data.coded import Lists

TEXTS = [["a", "b"], ["b", "a"], ["a"], ["ab"], ["a", ""], ["", "a"], [], [""], ["", ""], ["a", "b", "a", "b"]]


def hashed(texts: list[list[str]], hashes: TextHashes | None = None) -> list[int]:
    values: list[int] = (hashes or TextHashes())(Lists.of(pa.array(texts, pa.list_(pa.string())))).tolist()
    return values


def test_different_texts_have_different_hashes():
    assert len(set(hashed(TEXTS))) == len(TEXTS)
    assert hashed([]) == []


@pytest.mark.parametrize("order", [TEXTS, TEXTS[::-1], TEXTS[3:] + TEXTS[:3]])
def test_a_hash_depends_on_its_text_alone(order: list[list[str]]):
    hashes = TextHashes()
    hashed([["b"], ["x", "y", "z"]], hashes)  # other words, and fewer
    assert hashed(order, hashes) == [hash for text in order for hash in hashed([text])]
    assert hashed(order[:2], hashes) == hashed(order, hashes)[:2]


def test_a_hash_does_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch):
    expected = hashed(TEXTS)
    monkeypatch.setattr(originals, "_AT_ONCE", 3)
    assert hashed(TEXTS) == expected


def test_originals_are_found():
    hashes = TextHashes()
    parts = [Lists.of(pa.array(TEXTS[:4])), Lists.of(pa.array(TEXTS[4:6]))]
    known = Originals(map(hashes, parts), 6)
    assert known.contain(hashes(Lists.of(pa.array([*TEXTS[:6], ["b"]])))).tolist() == [True] * 6 + [False]
    assert not Originals([], 0).contain(hashes(parts[0])).any()


def test_words_of_every_length_have_hashes_of_their_own():
    words = pa.array([letter * length for length in range(1, 40) for letter in ("a", "b", "ä", "\0")] + ["a" * 24 + "b", "b" + "a" * 24])
    hashes = originals._hash_words(words).tolist()
    assert len(set(hashes)) == len(words)
    assert hashes == [originals._hash_words(pa.array([word])).item() for word in words.to_pylist()]
    assert hashes[7:] == originals._hash_words(words.slice(7)).tolist()
