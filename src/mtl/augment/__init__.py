"""Augmentation of the train split: variants of rows that keep their labels.

Adding a method means adding a file, a section of settings in ``mtl.config`` and a line here.
"""

from mtl.augment.back_translate import BackTranslateAugmenter
from mtl.augment.delete import DeleteAugmenter
from mtl.augment.insert_punctuation import InsertPunctuationAugmenter
from mtl.augment.label_token_replace import LabelTokenReplaceAugmenter
from mtl.augment.mention_replace import MentionReplaceAugmenter
from mtl.augment.nlpaug import NlpaugAugmenter
from mtl.augment.shuffle_within_segments import ShuffleWithinSegmentsAugmenter
from mtl.augment.swap import SwapAugmenter
from mtl.augment.synonym import SynonymAugmenter
from mtl.augment.typo import TypoAugmenter
from mtl.augment.variants import Augmenter

AUGMENTERS: dict[str, type[Augmenter]] = {
    "synonym": SynonymAugmenter,
    "back_translate": BackTranslateAugmenter,
    "mention_replace": MentionReplaceAugmenter,
    "label_token_replace": LabelTokenReplaceAugmenter,
    "shuffle_within_segments": ShuffleWithinSegmentsAugmenter,
    "delete": DeleteAugmenter,
    "swap": SwapAugmenter,
    "insert_punctuation": InsertPunctuationAugmenter,
    "typo": TypoAugmenter,
    "nlpaug": NlpaugAugmenter,
}
"""Type of a method's settings to its augmenter. None of them imports its engine before it needs it."""

__all__ = ["AUGMENTERS", "Augmenter"]
