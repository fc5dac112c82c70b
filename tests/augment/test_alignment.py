"""The proof refuses every row that breaks its method's invariant, and no other."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.augment.alignment import entities, prove, prove_untouched
from mtl.augment.fields import view
from mtl.augment.variants import Invariant
from mtl.errors import AugmentError

from .rows import tagged, tagged_rows

PARENT = (["Ann", "saw", "New", "York"], ["B-person", "O", "B-place", "I-place"])
CASES: dict[str, tuple[list[str], list[str] | None, set[Invariant]]] = {
    # variant tokens, variant tags, the invariants that it keeps
    "the same": (*PARENT, {"entities", "types", "tags"}),
    "another word": (["Ann", "left", "New", "York"], PARENT[1], {"entities", "types", "tags"}),
    "moved": (["New", "York", "saw", "Ann"], ["B-place", "I-place", "O", "B-person"], {"entities", "types"}),
    "longer": (["Ann", "saw", "big", "New", "York"], ["B-person", "O", "O", "B-place", "I-place"], {"entities", "types"}),
    "another name": (["Bob", "saw", "New", "York"], PARENT[1], {"types", "tags"}),
    "another name, shorter": (["Ann", "saw", "Rome"], ["B-person", "O", "B-place"], {"types"}),
    "types exchanged": (["Ann", "saw", "New", "York"], ["B-place", "O", "B-person", "I-person"], {"types"}),
    "another type": (["Ann", "saw", "New", "York"], ["B-place", "O", "B-place", "I-place"], set()),
    "an entity lost": (["Ann", "saw", "New", "York"], ["B-person", "O", "O", "O"], set()),
    "an entity cut": (["Ann", "saw", "New", "York"], ["B-person", "O", "B-place", "O"], {"types"}),
    "all lost": (PARENT[0], None, set()),
}


@pytest.mark.parametrize("invariant", ["entities", "types", "tags"])
@pytest.mark.parametrize("case", CASES)
def test_what_an_invariant_allows(case: str, invariant: Invariant):
    tokens, tags, kept = CASES[case]
    beside = (["Bob", "ran"], ["B-person", "O"])  # rows on both sides must not hide or cause a breach
    variants, parents = tagged(beside, (tokens, tags), beside), tagged(beside, PARENT, beside)
    if invariant in kept:
        prove(variants, parents, invariant)
    else:
        with pytest.raises(AugmentError, match=r"^1: (the (entities|types) of )?entities"):
            prove(variants, parents, invariant)


def test_rows_without_tags_have_nothing_to_keep():
    prove(tagged((["a"], None), (["Ann"], ["B-person"])), tagged((["b", "c"], None), (["Ann"], ["B-person"])), "tags")


@settings(max_examples=50)
@given(st.lists(tagged_rows(), max_size=4), st.lists(tagged_rows(), max_size=4))
def test_the_proof_agrees_with_counting(first: list[tuple[list[str], list[str]]], second: list[tuple[list[str], list[str]]]):
    pairs = list(zip(first, second, strict=False))
    variants, parents = (tagged(*(pair[side] for pair in pairs)) for side in (0, 1))
    broken = any(entities(*variant) != entities(*parent) for variant, parent in pairs)
    try:
        prove(variants, parents, "entities")
    except AugmentError:
        assert broken
    else:
        assert not broken


def test_a_field_that_must_stay_is_compared_with_its_spaces():
    parents = view(tagged((["a", "b"], None), (["c"], ["O"])), "text").drop_columns(["id"])
    prove_untouched(parents, parents, "text")
    for name, values in {"tokens": [["a", "b"], ["d"]], "space_after": [[False, False], [False]], "entities": [["O", "O"], ["O"]]}.items():
        changed = parents.set_column(parents.schema.get_field_index(name), name, pa.array(values, parents[name].type))
        with pytest.raises(AugmentError, match=f"{name} of the field text is not that of its parent"):
            prove_untouched(changed, parents, "text")


def test_entities_are_counted_with_their_words_and_type():
    assert entities(["New", "York", "New", "York"], ["B-p", "I-p", "B-p", "B-q"]) == {
        (("New", "York"), "p"): 1,
        (("New",), "p"): 1,
        (("York",), "q"): 1,
    }
