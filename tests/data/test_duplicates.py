"""Exact and near duplicates."""

import itertools
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data import duplicates, shingles, spill
from mtl.data.duplicates import NEAR, NORMALISED, matches, near_groups, repeats
from mtl.data.keys import NEAR_WORDS, Keys, KeysWriter, joined

SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), min_size=1, max_size=9).map(" ".join)


def keys_of(texts: Sequence[str], folder: str | Path, rows: int = 4) -> Keys:
    """Texts in parts of a few rows, in two files."""
    parts = []
    for number, own in enumerate((texts[: len(texts) // 2], texts[len(texts) // 2 :])):
        with KeysWriter(Path(folder, str(number))) as writer:
            for start in range(0, len(own), rows):
                writer.add(own[start : start + rows])
        parts.append(writer.keys)
    return joined(parts)


def leaks(texts: Sequence[str], splits: Sequence[str], rows: int = 4) -> list[tuple[int, int, float]]:
    """The held-out rows with their text in train, the row in train, and the similarity."""
    held_out, train = (np.array([i for i, split in enumerate(splits) if (split == "train") == side], np.int64) for side in (False, True))
    with TemporaryDirectory() as folder:
        found = matches(keys_of(texts, folder, rows), held_out, train)
    result = zip(held_out.tolist(), found.others.tolist(), found.similarities.tolist(), strict=True)
    return [match for match in result if match[1] >= 0]


def groups(texts: Sequence[str]) -> list[int]:
    with TemporaryDirectory() as folder:
        return near_groups(keys_of(texts, folder), np.arange(len(texts))).tolist()


def test_repeats() -> None:
    with TemporaryDirectory() as folder:
        assert repeats(keys_of(["a", "b", "a", "a", "A"], folder).texts) == 2


def brute(texts: Sequence[str], splits: Sequence[str]) -> dict[int, tuple[int, float]]:
    """By row the most similar row of train, the first of several, and the similarity, from all pairs."""

    def shingles(text: str) -> set[str]:
        words = text.split()
        return set(words) | {" ".join(pair) for pair in itertools.pairwise(words)}

    result: dict[int, tuple[int, float]] = {}
    for i, text in enumerate(texts):
        for j, other in enumerate(texts):
            if splits[i] == "train" or splits[j] != "train":
                continue
            similarity = min(len(shingles(text) & shingles(other)) / len(shingles(text) | shingles(other)), NORMALISED)
            if text == other:
                similarity = 1.0
            elif len(text.split()) < NEAR_WORDS or similarity < NEAR:
                continue
            if similarity > result.get(i, (0, 0.0))[1]:
                result[i] = (j, similarity)
    return result


@given(st.lists(st.tuples(SENTENCES, st.sampled_from(["train", "validation", "test"])), max_size=25))
def test_leaks_equal_a_brute_force_search(rows: list[tuple[str, str]]) -> None:
    texts, splits = [text for text, _ in rows], [split for _, split in rows]
    assert {row: similarity for row, _, similarity in leaks(texts, splits)} == {
        row: similarity for row, (_, similarity) in brute(texts, splits).items()
    }


def edited(pairs: int, seed: int = 1) -> tuple[list[str], list[str]]:
    """Texts, each followed by one with a few more words, one of them in train."""
    rng = random.Random(seed)
    words = ["".join(pair) for pair in itertools.product("abcdefg", repeat=2)]
    texts, splits = [], []
    for _ in range(pairs):
        original = rng.sample(words, rng.randint(4, 16))
        more = [*original]
        for _ in range(rng.randint(1, 2)):
            more.insert(rng.randrange(len(more) + 1), rng.choice(words))
        texts += [" ".join(original), " ".join(more)]
        splits += ["train", "test"] if rng.random() < 0.5 else ["test", "train"]
    return texts, splits


def test_near_duplicates_by_small_edits_are_all_found_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, splits = edited(60)
    expected = brute(texts, splits)
    assert len(expected) > 15
    assert {row: (other, similarity) for row, other, similarity in leaks(texts, splits)} == expected
    for name, few in (("INDEXED", 100), ("SEARCHED", 50), ("PAIRS", 3), ("COMPARED", 2)):
        monkeypatch.setattr(duplicates, name, few)
    assert {row: (other, similarity) for row, other, similarity in leaks(texts, splits, rows=2)} == expected


def test_the_first_of_equally_similar_texts_is_named() -> None:
    texts = ["a b c d e f g h x", "a b c d e f g h y", "a b c d e f g h", "i j k", "I j k", "i j k"]
    found = leaks([*texts, *texts], ["train"] * 6 + ["test"] * 6)
    assert [(row, other) for row, other, _ in found] == [(row + 6, other) for row, other in enumerate((0, 1, 2, 3, 4, 3))]
    assert leaks([*texts[:2], texts[2]], ["train", "train", "test"])[0][:2] == (2, 0)


def test_near_duplicates_by_letters() -> None:
    texts = ["Great film, 10 of 10 !", "great FILM 9 of 9", "London 1996", "London 1997"]
    assert leaks(texts, ["train", "test", "train", "test"]) == [(1, 0, NORMALISED)]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=7).map(" ".join), max_size=20), st.randoms())
def test_near_groups_are_the_connected_ones_in_any_order(texts: list[str], rng: random.Random) -> None:
    alike = {
        (first, second)
        for first, second in itertools.product(set(texts), repeat=2)
        if brute([first, second], ["train", "test"]).get(1) and len(first.split()) >= NEAR_WORDS
    }
    found = dict(zip(texts, groups(texts), strict=True))
    for text in found:
        reached = {text}
        while more := {second for first, second in alike if first in reached} - reached:
            reached |= more
        assert {other for other in found if found[other] == found[text]} == reached
    shuffled = rng.sample(texts, len(texts))
    assert dict(zip(shuffled, groups(shuffled), strict=True)) == found


def test_memory_does_not_grow_with_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a search holds is a few blocks and the hashes."""
    monkeypatch.setattr(duplicates, "INDEXED", 2**19)
    monkeypatch.setattr(duplicates, "SEARCHED", 2**17)
    monkeypatch.setattr(shingles, "COUNTERS", 2**20)
    rng = random.Random(1)
    words = ["".join(letters) for letters in itertools.product("abcdefghijklmnop", repeat=3)]
    texts = (" ".join(rng.choices(words, k=20)) for _ in itertools.count())
    peaks = []
    for rows in (2 * spill.ROWS, 6 * spill.ROWS):
        with KeysWriter(tmp_path / "keys") as writer:
            for _ in range(rows // spill.ROWS):
                writer.add(list(itertools.islice(texts, spill.ROWS)))
        keys = writer.keys
        tracemalloc.start()
        matches(keys, np.arange(0, rows, 10), np.flatnonzero(np.arange(rows) % 10))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
