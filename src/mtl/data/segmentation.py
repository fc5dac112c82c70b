"""How raw texts become tokens: a property of a dataset, which the tasks of a model keep and apply to new texts."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mtl.data.tokens import characters, tokenize


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
    """Words, numbers, punctuation and clitics, as in the CoNLL corpora; characters in scripts without spaces between words."""
    return Segmented(*tokenize(text))


def into_tweet_tokens(text: str) -> Segmented:
    """The same with whole contractions and prices, as in collections of tweets."""
    return Segmented(*tokenize(text, treebank=False))


def into_characters(text: str) -> Segmented:
    """Every character that is not white space."""
    return Segmented(*characters(text))


class Marked(NamedTuple):
    """The tokens of a raw text with markers in it."""

    tokens: list[str]
    """Without the markers."""
    space_after: list[bool]
    starts: list[int]
    places: dict[str, int]
    """By marker, how many tokens stand before it."""


def segment(text: str, segmentation: str, markers: Sequence[str] = ()) -> Marked:
    """The tokens of a raw text. A marker ends a token, also within a word.

    Args:
        text: any text.
        segmentation: one of ``SEGMENTERS``.
        markers: such as ``<e1>`` and ``</e1>``. Unless each occurs exactly once, they are plain text.
    """
    split = SEGMENTERS[segmentation]
    if not markers or any(text.count(name) != 1 for name in markers):
        return Marked(*split(text), {})
    result, at = Marked([], [], [], {}), 0
    tokens, space_after, starts, places = result
    for start, name in [*sorted((text.index(name), name) for name in markers), (len(text), "")]:
        part = split(text[at:start])
        if tokens and part.tokens:  # white space may stand on either side of the marker
            space_after[-1] = any(map(str.isspace, text[starts[-1] + len(tokens[-1]) : at + part.starts[0]]))
        tokens += part.tokens
        space_after += part.space_after
        starts += [at + offset for offset in part.starts]
        at = start + len(name)
        if name:
            places[name] = len(tokens)
    return result


SEGMENTERS: dict[str, Callable[[str], Segmented]] = {
    "words": into_words,
    "tweets": into_tweet_tokens,
    "characters": into_characters,
    "spaces": at_spaces,
}
"""``segmentation`` of a dataset to the function that does it. Of equally good ones, the first is taken."""
BETWEEN_SPACES = ("words", "tweets", "spaces")
"""Segmentations that a task on whole texts may exchange: in most scripts, they differ in punctuation and clitics only."""
