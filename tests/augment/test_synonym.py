"""One token becomes one token, and only where it may."""

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.augment.alignment import entities
from mtl.augment.randomness import Stream
from mtl.augment.synonym import SynonymAugmenter
from mtl.config import Synonym

from .rows import tagged, tagged_rows, texts

WORDS = {"movie": ("film",), "really": ("truly",), "amazing": ("awesome", "stunning"), "think": ("believe",)}


def augmented(rows: pa.Table, rate: float = 1.0, copies: int = 1) -> list[dict[str, Any]]:
    spec = Synonym(type="synonym", rate=rate, copies=copies)
    variants: list[dict[str, Any]] = SynonymAugmenter(spec, Stream(1, "synonym"), WORDS).augment(rows).to_pylist()
    return variants


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a movie", "a film"),
        ("A MOVIE", "A FILM"),
        ('the "movie."', 'the "film."'),
        ("Movie time", "Film time"),  # the start of a sentence
        ("Go. Movie time", "Go. Film time"),
        ("the Movie", None),  # a name
        ("the moVie", None),
        ("#movie @movie http://movie", None),
        ("movie's", None),
        ("a truly  movie", "a truly  film"),  # white space is kept
        ("an amazing", "an awesome"),  # an article that fits
        ("", None),
        ("nothing here", None),
    ],
)
def test_what_is_swapped(text: str, expected: str | None):
    (variant,) = augmented(texts(text))
    assert variant["reason"] == (None if expected else "unchanged")
    assert " ".join(variant["tokens"]) == (expected or text)


def test_entities_are_never_touched():
    rows = tagged((["movie", "movie", "movie"], ["B-x", "I-x", "O"]), (["movie"], None))
    first, second = augmented(rows)
    assert first["tokens"] == ["movie", "movie", "film"]
    assert first["entities"] == ["B-x", "I-x", "O"]
    assert second["tokens"] == ["film"]
    assert second["entities"] is None


def test_the_rate_is_the_share_of_swapped_words():
    rows = texts(*["movie really amazing think " * 5 + "end"] * 200)
    swapped = [sum(a != b for a, b in zip(row["tokens"], rows["tokens"][row["row"]].as_py(), strict=True)) for row in augmented(rows, 0.28)]
    assert abs(sum(swapped) / len(swapped) - 0.28 * 20) < 0.2
    assert {row["reason"] for row in augmented(texts("one movie"), 0.01)} == {None}  # at least one


def test_a_row_single_gives_the_same_as_among_others():
    rows = texts(*("a movie that is really amazing I think " + str(i) for i in range(40)))
    together = augmented(rows, 0.5, 3)
    for place in (0, 7, 39):
        single = augmented(rows.slice(place, 1), 0.5, 3)
        assert [row["tokens"] for row in single] == [row["tokens"] for row in together if row["row"] == place]
    assert len({tuple(row["tokens"][:-1]) for row in together}) > 5


@settings(max_examples=60)
@given(st.lists(tagged_rows(), max_size=4))
def test_alignment_holds_for_any_text(content: list[tuple[list[str], list[str]]]):
    variants = augmented(tagged(*content), 0.5, 2)
    assert [(row["copy"], row["row"]) for row in variants] == list(itertools.product(range(2), range(len(content))))
    for row in variants:
        tokens, tags = content[row["row"]]
        assert len(row["tokens"]) == len(tokens) == len(row["space_after"])
        assert row["entities"] == tags
        assert entities(row["tokens"], row["entities"]) == entities(tokens, tags)
        assert (row["reason"] is None) == (row["tokens"] != tokens)
