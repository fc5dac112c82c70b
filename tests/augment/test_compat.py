"""Methods of ours called on plain texts, as those of nlpaug are."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from mtl.augment.compat import TextAugmenter
from mtl.config import AugmentMethod
from mtl.errors import AugmentError

TEXT = "I really think that this new movie is amazing and funny"
SPEC: TypeAdapter[Any] = TypeAdapter(AugmentMethod)


@pytest.mark.parametrize("method", ["delete", "swap", "insert_punctuation", "typo"])
def test_a_text_without_tags(method: str):
    def augmenter() -> TextAugmenter:
        return TextAugmenter(SPEC.validate_python({"type": method, "rate": 0.3}))

    variants = augmenter().augment(TEXT, n=5)
    assert len(variants) == 5
    assert len({TEXT, *variants}) > 4
    assert all(isinstance(text, str) and "  " not in text for text in variants)
    assert augmenter().augment(TEXT, n=5) == variants
    assert augmenter().augment(["@bob", "5"]) == ["@bob", "5"]


@pytest.mark.parametrize("method", ["mention_replace", "label_token_replace", "shuffle_within_segments"])
def test_methods_that_need_tags_say_so(method: str):
    with pytest.raises(AugmentError, match=f"{method} works on tags, and a text has none"):
        TextAugmenter(SPEC.validate_python({"type": method}))
