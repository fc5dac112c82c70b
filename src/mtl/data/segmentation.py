"""How raw texts become tokens: a property of a dataset, which the tasks of a model keep and apply to new texts."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from mtl import plugins
from mtl.data.tokens import characters, tokenize
from mtl.errors import PluginError

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


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


def into_chinese_words(text: str) -> Segmented:
    """The same as ``into_words``, with Chinese characters joined to words as jieba cuts them.

    Raises:
        PluginError: rjieba is not installed.
    """
    tokens, space_after, starts = into_words(text)
    ends = {start + len(token): place for place, (token, start) in enumerate(zip(tokens, starts, strict=True))}
    behind = {start: end for run in _HAN.finditer(text) for start, end in _cut(run) if end in ends}
    behind = {start: behind[start] for start in behind.keys() & set(starts)}
    inner = {place for start, end in behind.items() for place in range(start + 1, end)}  # where no token starts
    kept = [place for place, start in enumerate(starts) if start not in inner]
    last = [ends[behind[starts[place]]] if starts[place] in behind else place for place in kept]
    return Segmented(
        [text[starts[place] : starts[end] + len(tokens[end])] for place, end in zip(kept, last, strict=True)],
        [space_after[end] for end in last],
        [starts[place] for place in kept],
    )


def _cut(run: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Start and end of the words of a run of Chinese characters."""
    at = run.start()
    for word in _jieba().cut(run.group()):
        yield at, at + len(word)
        at += len(word)


@cache
def _jieba() -> Any:
    try:
        import rjieba
    except ModuleNotFoundError:
        raise PluginError('rjieba is not installed; it is for Chinese: pip install "mtl[chinese]", or -e ".[chinese]" here') from None
    return rjieba


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
        segmentation: a name that ``segmenter`` knows.
        markers: such as ``<e1>`` and ``</e1>``. Unless each occurs exactly once, they are plain text.
    """
    split = segmenter(segmentation)
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
"""``segmentation`` of a dataset to the function that does it, of those that need nothing more. Of equally good ones, the first is taken."""
BETWEEN_SPACES = ("words", "tweets", "spaces")
"""Segmentations that a task on whole texts may exchange: in most scripts, they differ in punctuation and clitics only."""


def segmenter(name: str) -> Callable[[str], Segmented]:
    """The function of a segmentation, also of an outside package.

    Raises:
        KeyError: there is no such segmentation.
        PluginError: an outside package cannot be imported.
    """
    found: Callable[[str], Segmented] = SEGMENTERS.get(name) or plugins.settings_of(plugins.SEGMENTERS, name)
    return found
