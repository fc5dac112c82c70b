"""Entities come back whole or the row is dropped, whatever a translator does."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.augment import apertium
from mtl.augment.alignment import entities
from mtl.augment.back_translate import BackTranslateAugmenter, Sent, _judged, _sent
from mtl.augment.languages import base
from mtl.augment.randomness import Stream
from mtl.augment.rows import Row
from mtl.augment.variants import Variant
from mtl.config import BackTranslate
from mtl.data.spans import legal_iob2

from .rows import HOSTILE, tagged, tagged_rows, texts, tokens

needs_apertium = pytest.mark.skipif(apertium.available("en", ["eo", "es"]) is not None, reason="Apertium is not installed")


def row_of(words: list[str], tags: list[str] | None, language: str = "en") -> Sent:
    content = tokens(words)
    return _sent(base.of(language) or base.Language(language), Row(content["tokens"], content["space_after"], {"entities": tags}))


def judged(row: Sent, output: str, language: str = "en") -> Variant:
    return _judged(base.of(language) or base.Language(language), row, 0, 0, output)


def test_what_is_sent():
    row = row_of(["It", "'s", "Bob", "Ray", ",", "see", "http://a.b", "(", "now", ")", ":)", "!"], ["O", "O", "B-p", "I-p", *["O"] * 8])
    assert row.text == "It's Qzbaq, see Qzbeq (now) Qzbiq!"
    assert row_of(["Qzbaq", "really", "ppl"], None).text == "Qzbeq really Qzbiq"  # a name that is taken, a word that is not known


def test_entities_return_with_their_tokens_and_tags():
    row = row_of(["Today", "New", "York", "'s", "dogs", "barked", "."], ["O", "B-geo", "I-geo", "O", "O", "O", "O"])
    assert row.text == "Today Qzbaq's dogs barked."
    variant = judged(row, "The dogs of Qzbaq barked today.")
    assert variant.reason is None
    assert variant.tokens == ["The", "dogs", "of", "New", "York", "barked", "today", "."]
    assert variant.tags == {"entities": ["O", "O", "O", "B-geo", "I-geo", "O", "O", "O"]}
    assert variant.space_after == [True] * 7 + [False]
    assert judged(row, "Qzbaq's dogs didn't bark").reason == "negation"
    assert judged(row, "Qzbaq's hounds bark").tokens == ["New", "York", "'s", "hounds", "bark"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("I believe Qzbaq is good", None),
        ("I think Qzbaq is good", "unchanged"),
        ("i  think qzbaq is good", "placeholder"),
        ("I believe it is good", "placeholder"),
        ("Qzbaq I believe Qzbaq is good", "placeholder"),
        ("I believe Qzbaqde is good", "placeholder"),
        ("I believe Qzbaq Qzbeq is good", "placeholder"),
        ("I believe Qzbaq is bona", "made-up word"),
        ("I believe Qzbaq isn't good", "negation"),
        ("Qzbaq is", "length"),
        ("", "placeholder"),
    ],
)
def test_filters(output: str, reason: str | None):
    assert judged(row_of(["I", "think", "@bob", "is", "good"], None), output).reason == reason


def test_capitals_of_moved_words_do_not_stay():
    row = row_of(["@bob", "thanks", "to", "you"], None)
    assert judged(row, "Qzbaq Thank you a lot").tokens == ["@bob", "thank", "you", "a", "lot"]
    assert judged(row_of(["Bad", "mood"], None), "Good mood").tokens == ["Good", "mood"]
    assert judged(row_of(["bad", "mood"], None), "Good mood").tokens == ["good", "mood"]


def test_contractions_are_written_as_in_the_row():
    assert judged(row_of(["I'm", "here"], ["O", "O"]), "It's here").tokens == ["It's", "here"]
    assert judged(row_of(["I", "'m", "here"], ["O", "O", "O"]), "It's here").tokens == ["It", "'s", "here"]


@settings(max_examples=150)
@given(
    tagged_rows(),
    st.lists(st.sampled_from([*HOSTILE, "good", "dogs", "'s", "."]), max_size=6),
    st.integers(0, 2**32),
    st.sampled_from([" ", ""]),
)
def test_any_answer_gives_aligned_tags_or_a_reason(content: tuple[list[str], list[str]], noise: list[str], seed: int, gap: str):
    words, tags = content
    row = row_of(words, tags)
    shuffled = [*row.text.split(), *noise]
    random.Random(seed).shuffle(shuffled)
    variant = judged(row, gap.join(shuffled))
    if variant.reason is None:
        assert variant.tags["entities"] is not None
        assert len(variant.tokens) == len(variant.space_after) == len(variant.tags["entities"])
        assert legal_iob2(variant.tags["entities"])
        assert entities(variant.tokens, variant.tags["entities"]) == entities(words, tags)


def augmented(rows: Any, language: base.Language = BackTranslateAugmenter.language, **options: Any) -> list[dict[str, Any]]:
    spec = BackTranslate(type="back_translate", **options)
    augmenter = BackTranslateAugmenter(spec, Stream(1, "bt"))
    augmenter.language = language
    variants: list[dict[str, Any]] = augmenter.augment(rows).to_pylist()
    return variants


@needs_apertium
def test_pivots_are_taken_in_turn():
    rows = texts("I think that this is a really amazing film about a small dog.", "@a @b", "")
    variants = augmented(rows, copies=3)
    assert [(row["copy"], row["row"]) for row in variants] == [(copy, row) for copy in range(3) for row in range(3)]
    assert variants[0]["reason"] is None
    assert variants[0]["tokens"] != variants[3]["tokens"]
    assert variants[0]["tokens"] == variants[6]["tokens"]
    assert {row["reason"] for row in variants if row["row"] > 0} == {"unchanged"}


@needs_apertium
@pytest.mark.parametrize(
    ("language", "pivots", "text", "kept"),
    [
        ("es-MX", None, "La comida estaba riquísima, pero el servicio fue lento en @casa.", ["@casa."]),
        ("eo", ["en"], "Morgaŭ ni devas vojaĝi al la ĉefurbo kun @bob.", ["@bob."]),
        ("ca", ["es"], "No m'agrada gens aquest hotel, l'aigua era freda a @casa", ["@casa"]),
    ],
)
def test_other_languages_go_by_the_pairs_that_are_installed(language: str, pivots: list[str] | None, text: str, kept: list[str]):
    if missing := apertium.available(language, pivots or ["en"]):
        pytest.skip(missing)
    (row,) = augmented(texts(text), base.of(language) or base.Language(language), pivots=pivots)
    assert row["reason"] is None
    assert row["tokens"] != text.split()
    assert set(kept) <= set(row["tokens"])


def test_words_that_the_way_back_does_not_know_are_made_up_where_there_is_no_lexicon():
    sent = row_of(["L", "'", "hotel", "és", "bonic"], None, "ca")
    assert judged(sent, "L'hotel és *bonito", "ca").reason == "made-up word"
    assert judged(sent, "L'*hotel és molt bonic", "ca").tokens == ["L'hotel", "és", "molt", "bonic"]
    spanish = row_of(["¿", "No", "vino", "nadie", "?"], None, "es")
    assert spanish.text == "¿No vino nadie?"
    assert judged(spanish, "¿Vino nadie?", "es").reason == "negation"


@needs_apertium
@settings(max_examples=3, derandomize=True)
@given(st.lists(tagged_rows(), min_size=20, max_size=20))
def test_hostile_rows_through_the_real_chain(content: list[tuple[list[str], list[str]]]):
    for row in augmented(tagged(*content), copies=2):
        assert row["reason"] != "no output"
        if row["reason"] is None:
            assert entities(row["tokens"], row["entities"]) == entities(*content[row["row"]])
