"""How raw texts become tokens. It is a property of the dataset; a model keeps that of its datasets and applies it to new texts."""

import re
from collections.abc import Callable
from typing import NamedTuple

from mtl.config import Dataset
from mtl.data.tokens import tokenize


class Segmented(NamedTuple):
    """The tokens of a raw text. ``text[start : start + len(token)] == token`` always holds."""

    tokens: list[str]
    space_after: list[bool]
    """Whether white space follows each token; never after the last."""
    starts: list[int]
    """Offset in characters of each token."""


def at_spaces(text: str) -> Segmented:
    """Tokens are what stands between white space."""
    matches = list(re.finditer(r"\S+", text))
    return Segmented(
        [match.group() for match in matches], [True] * (len(matches) - 1) + [False] * bool(matches), [m.start() for m in matches]
    )


def into_words(text: str) -> Segmented:
    """Words, numbers, punctuation and clitics, as in the CoNLL corpora."""
    return Segmented(*tokenize(text))


SEGMENTERS: dict[str, Callable[[str], Segmented]] = {"spaces": at_spaces, "words": into_words}
"""``segmentation`` of a dataset to the function that does it."""


def segmentation_of(dataset: Dataset) -> str:
    """The segmentation of new texts for a dataset. Tokens that a source gives are words, in all formats that are read."""
    return "words" if dataset.tokens or dataset.reader.format in ("conll", "parallel") else dataset.segmentation
