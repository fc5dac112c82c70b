"""nlpaug both ways: its augmenters here, ours in its flows."""

import random
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from mtl.augment.compat import TextAugmenter, for_nlpaug
from mtl.augment.nlpaug import NlpaugAugmenter
from mtl.augment.randomness import Stream
from mtl.config import Nlpaug, Synonym
from mtl.errors import AugmentError

from .rows import tagged, texts

TEXT = "The quick brown fox jumps over the lazy dog"


def augmented(rows: Any, name: str, **options: Any) -> list[dict[str, Any]]:
    spec = Nlpaug(type="nlpaug", augmenter=name, options=options, copies=2)
    variants: list[dict[str, Any]] = NlpaugAugmenter(spec, Stream(1, "n")).augment(rows).to_pylist()
    return variants


@pytest.mark.parametrize("name", ["KeyboardAug", "RandomCharAug", "SpellingAug", "RandomWordAug", "SplitAug"])
def test_seeded_by_row_and_without_a_trace(name: str):
    rows = texts(TEXT, "An other text of some length", TEXT)
    state, numpy_state = random.getstate(), np.random.get_state()[1].tolist()
    variants = augmented(rows, name)
    assert random.getstate() == state
    assert np.random.get_state()[1].tolist() == numpy_state
    random.seed(5)
    assert augmented(rows.slice(1, 1), name) == [{**row, "row": 0} for row in variants if row["row"] == 1]
    assert any(row["reason"] is None for row in variants)


@pytest.mark.parametrize("name", ["KeyboardAug", "SplitAug", "RandomWordAug", "SpellingAug"])
def test_tags_stay_aligned(name: str):
    words, tags = TEXT.split(), ["O", "B-x", "I-x", "I-x", "O", "O", "O", "B-x", "O"]
    for row in augmented(tagged((words, tags), (["fox", "fox"], ["B-x", "B-x"]), ([], [])), name):
        if row["reason"] is None:
            assert row["row"] == 0
            assert row["entities"] == tags
            assert len(row["tokens"]) == len(words)
            assert [row["tokens"][i] for i in (1, 2, 3, 7)] == [words[i] for i in (1, 2, 3, 7)]
            assert row["tokens"] != words
            assert not any(" " in token or not token for token in row["tokens"])
        else:
            assert row["reason"] in ("unchanged", "misaligned")


def test_errors_name_the_choices():
    with pytest.raises(AugmentError, match=r"'NoAug'; choose from: .*KeyboardAug"):
        augmented(texts(TEXT), "NoAug")
    with pytest.raises(AugmentError, match="KeyboardAug cannot be made with options"):
        augmented(texts(TEXT), "KeyboardAug", nonsense=1)


@pytest.mark.parametrize("name", ["ContextualWordEmbsAug", "BackTranslationAug"])
def test_no_model_is_fetched(name: str):
    with pytest.raises(AugmentError, match=f"nlpaug's {name} cannot be made with options .*: it asks for the network, .* choose another"):
        augmented(texts(TEXT), name)


def test_ours_has_the_shapes_of_nlpaug():
    make = partial(TextAugmenter, Synonym(type="synonym", rate=1.0))
    ours = make()
    assert ours.augment("a movie") == ["a film"]
    assert ours.augment(["a movie", "nothing"], n=3) == ["a film", "nothing"]
    assert ours.augment([]) == ours.augment("") == ours.augment(None) == []
    several = make().augment("I think that this movie is really amazing", n=8, num_thread=2)
    assert len(several) == 8
    assert len(set(several)) > 1
    assert make().augment("I think that this movie is really amazing", n=8) == several


def test_ours_works_in_a_flow_of_nlpaug():
    import nlpaug
    import nlpaug.augmenter.char as nac
    import nlpaug.flow as naf

    ours = for_nlpaug(TextAugmenter(Synonym(type="synonym", rate=1.0)))
    assert isinstance(ours, nlpaug.Augmenter)
    assert naf.Sequential([ours]).augment("a movie") == ["a film"]
    (variant,) = naf.Sequential([ours, nac.KeyboardAug()]).augment("the movie was here yesterday")
    assert "movie" not in variant
    assert naf.Sometimes([ours], aug_p=1.0).augment("a movie") == ["a film"]


def test_nlpaug_torch_and_transformers_are_not_imported_before_they_are_needed():
    heavy = ("nlpaug", "torch", "transformers", "lemminflect")
    code = f"import sys, mtl.augment.shards, mtl.augment.compat; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
