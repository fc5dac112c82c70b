"""Splits and leakage."""

import itertools
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mtl.config import Fractions
from mtl.data import splits as hashed
from mtl.data.splits import NEAR, NEAR_WORDS, NORMALISED, leaks, near_groups, normalised, repeats

EIGHTY = Fractions(train=0.8, validation=0.1, test=0.1)
SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), min_size=1, max_size=9).map(" ".join)


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


def test_repeats() -> None:
    assert repeats(["a", "b", "a", "a"]) == 2


def brute(texts: list[str], splits: list[str]) -> dict[int, float]:
    """Similarity by row, from all pairs."""

    def shingles(text: str) -> set[str]:
        words = text.split()
        return set(words) | {" ".join(pair) for pair in itertools.pairwise(words)}

    result: dict[int, float] = {}
    for i, text in enumerate(texts):
        if splits[i] == "train":
            continue
        for j, other in enumerate(texts):
            if splits[j] != "train":
                continue
            similarity = len(shingles(text) & shingles(other)) / len(shingles(text) | shingles(other))
            if text == other:
                result[i] = 1.0
            elif len(text.split()) >= NEAR_WORDS and similarity >= NEAR:
                result[i] = max(result.get(i, 0.0), min(similarity, NORMALISED))
    return result


@given(st.lists(st.tuples(SENTENCES, st.sampled_from(["train", "validation", "test"])), max_size=25))
def test_leaks_equal_a_brute_force_search(rows: list[tuple[str, str]]) -> None:
    texts, splits = [text for text, _ in rows], [split for _, split in rows]
    result = leaks(texts, splits)
    assert {leak.row: leak.similarity for leak in result} == brute(texts, splits)
    assert all(splits[leak.train_row] == "train" for leak in result)


def test_near_duplicates_by_small_edits_are_all_found() -> None:
    rng = random.Random(1)
    words = ["".join(pair) for pair in itertools.product("abcdefg", repeat=2)]
    texts, splits = [], []
    for _ in range(60):
        original = rng.sample(words, rng.randint(4, 16))
        edited = [*original]
        for _ in range(rng.randint(1, 2)):
            edited.insert(rng.randrange(len(edited) + 1), rng.choice(words))
        texts += [" ".join(original), " ".join(edited)]
        splits += ["train", "test"] if rng.random() < 0.5 else ["test", "train"]
    expected = brute(texts, splits)
    assert {leak.row: leak.similarity for leak in leaks(texts, splits)} == expected
    assert len(expected) > 15


def test_normalised_keeps_letters_and_their_marks() -> None:
    assert normalised("Nai\u0308ve  CAFÉ, 7 नमस्ते_ﬁ!") == "naïve café नमस्ते fi"
    assert normalised(" :-)  1 ") == ":-) 1"


def test_near_duplicates_by_letters() -> None:
    texts = ["Great film, 10 of 10 !", "great FILM 9 of 9", "London 1996", "London 1997"]
    assert [(leak.row, leak.train_row) for leak in leaks(texts, ["train", "test", "train", "test"])] == [(1, 0)]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=7).map(" ".join), max_size=20), st.randoms())
def test_near_groups_are_the_connected_ones_in_any_order(texts: list[str], rng: random.Random) -> None:
    groups = near_groups(texts)
    alike = {
        (first, second)
        for first, second in itertools.product(set(texts), repeat=2)
        if brute([first, second], ["train", "test"]).get(1, 0.0) and len(first.split()) >= NEAR_WORDS
    }
    for text in set(texts):
        reached = {text}
        while more := {second for first, second in alike if first in reached} - reached:
            reached |= more
        assert groups.name(text) == min(reached)
    other = near_groups(rng.sample(texts, len(texts)))
    assert all(groups.name(text) == other.name(text) for text in texts)
