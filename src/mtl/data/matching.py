"""The segmentation of a dataset: which segmenter reproduces its tokens best from their raw text."""

import re
from collections.abc import Iterable, Sequence, Set
from itertools import accumulate
from typing import NamedTuple

from mtl.data.schema import text_of
from mtl.data.segmentation import SEGMENTERS, segmenter
from mtl.data.tokens import SPACELESS

CLOSE = 0.005
"""Share of tokens by which ``spaces`` must be better than the others: it would leave punctuation of new texts in their words."""
SAMPLE = 2000
"""Rows that are compared, at most."""
_SPACELESS = re.compile(f"[{SPACELESS}]")
_WORDS = re.compile(rf"[^\W\d_{SPACELESS}]+")


class Match(NamedTuple):
    """How well segmenters reproduce given tokens from their raw text."""

    name: str
    """The best one."""
    shares: dict[str, float]
    """By segmenter: share of the given tokens that it reproduces with both boundaries."""
    rows: int
    """Rows that were compared."""


def match(rows: Sequence[tuple[Sequence[str], Sequence[bool]]], named: str | None = None) -> Match:
    """Compare given tokens with those that each segmenter makes of their raw text.

    Args:
        rows: tokens and whether a space follows each; at least one row. Of many, ``SAMPLE`` at equal distances are compared.
        named: the segmenter to take, whatever its share; the best one if not given.
    """
    step = -(-len(rows) // SAMPLE)
    sample = [(text_of(tokens, spaces), _spans(tokens, spaces)) for tokens, spaces in rows[::step]]
    total = sum(len(spans) for _, spans in sample)
    shares = {name: sum(_hits(name, *row) for row in sample) / total for name in dict.fromkeys([*SEGMENTERS, *([named] if named else [])])}
    best = max(SEGMENTERS, key=lambda name: shares[name] - CLOSE * (name == "spaces"))
    return Match(named or best, shares, len(sample))


def _hits(name: str, text: str, spans: Set[tuple[int, int]]) -> int:
    made = segmenter(name)(text)
    return len(spans & {(start, start + len(token)) for token, start in zip(made.tokens, made.starts, strict=True)})


def _spans(tokens: Sequence[str], spaces: Sequence[bool]) -> set[tuple[int, int]]:
    """The characters ``[start, end)`` of each token in the raw text."""
    ends = accumulate(len(token) + space for token, space in zip(tokens, spaces, strict=True))
    return {(end - space - len(token), end - space) for end, token, space in zip(ends, tokens, spaces, strict=True)}


def spaceless(texts: Iterable[str]) -> bool:
    """Whether texts are mostly in scripts that put no spaces between words, two characters counting as a word."""
    characters = words = 0
    for text in texts:
        characters += len(_SPACELESS.findall(text))
        words += len(_WORDS.findall(text))
    return characters > 2 * words
