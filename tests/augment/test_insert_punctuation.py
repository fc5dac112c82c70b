"""Marks come between words, never into entities."""

import re
from typing import Any

import pyarrow as pa
import pytest

from mtl.augment.insert_punctuation import InsertPunctuationAugmenter
from mtl.augment.languages.en import English
from mtl.augment.randomness import Stream
from mtl.config import InsertPunctuation

from .rows import tagged, texts


def inserted(rows: pa.Table, rate: float = 1.0, copies: int = 100) -> list[dict[str, Any]]:
    spec = InsertPunctuation(type="insert_punctuation", rate=rate, copies=copies)
    variants: list[dict[str, Any]] = InsertPunctuationAugmenter(spec, Stream(1, "i")).augment(rows).to_pylist()
    return variants


@pytest.mark.parametrize(
    ("text", "places"),  # where marks may stand: _
    [
        ("one two", "one_ two"),
        ("so, it is (was) done. Go", "so, it_ is (was) done. Go"),
        ("@bob likes #this 5 times", "@bob_ likes_ #this_ 5_ times"),
        ("see http://a.b now", "see_ http://a.b now"),
        ("don't stop :) now", "don't_ stop :) now"),
        ("one  two", "one  two"),
        ("one", "one"),
        ("", ""),
    ],
)
def test_where_marks_stand(text: str, places: str):
    seen = set()
    for row in inserted(texts(text)):
        assert row["reason"] == (None if "_" in places else "unchanged")
        if row["reason"] is None:
            marked = [word if word == old else word[:-1] + "_" for word, old in zip(row["tokens"], text.split(" "), strict=True)]
            assert {word[-1] for word, old in zip(row["tokens"], text.split(" "), strict=True) if word != old} <= set(English.marks)
            seen |= set(enumerate(marked))
    assert {word for word in seen if word[1].endswith("_")} == {word for word in enumerate(places.split(" ")) if word[1].endswith("_")}


def test_marks_of_tagged_rows_are_tokens_outside_entities():
    words, tags = ["so", "New", "York", "City", "is", "big", "in", "Oslo", "Lima"], ["O", "B-x", "I-x", "I-x", "O", "O", "O", "B-x", "B-x"]
    before = set()
    for row in inserted(tagged((words, tags))):
        assert row["space_after"] == [True] * (len(row["tokens"]) - 1) + [False]
        marks = {place for place, token in enumerate(row["tokens"]) if token in English.marks}
        assert {row["entities"][place] for place in marks} == {"O"}
        before |= {row["tokens"][place + 1] for place in marks}
        rest = [pair for place, pair in enumerate(zip(row["tokens"], row["entities"], strict=True)) if place not in marks]
        assert rest == list(zip(words, tags, strict=True))
    assert before == {"New", "is", "big", "in", "Oslo", "Lima"}


def test_how_many_is_drawn_from_one_to_the_rate():
    counts = [len(re.findall(r"[.;?:!,]", " ".join(row["tokens"]))) for row in inserted(texts("w " * 19 + "w"), 0.2)]
    assert set(counts) == {1, 2, 3, 4}
    assert {row["reason"] for row in inserted(texts("two words"), 0.01)} == {None}


def test_all_marks_are_used():
    assert {row["tokens"][0][-1] for row in inserted(texts("one two"))} == set(English.marks)
