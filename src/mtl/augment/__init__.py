"""Augmentation of the train split: variants of rows that keep their labels.

Adding a method means adding a file, a section of settings in ``mtl.params`` and a line here.
"""

from mtl.augment.back_translate import BackTranslateAugmenter
from mtl.augment.nlpaug import NlpaugAugmenter
from mtl.augment.synonym import SynonymAugmenter
from mtl.augment.variants import Augmenter

AUGMENTERS: dict[str, type[Augmenter]] = {
    "synonym": SynonymAugmenter,
    "back_translate": BackTranslateAugmenter,
    "nlpaug": NlpaugAugmenter,
}
"""Type of a method's settings to its augmenter. None of them imports its engine before it needs it."""

__all__ = ["AUGMENTERS", "Augmenter"]
