"""Where white space stands between tokens whose source does not tell: the raw text of a column file, as far as rules can restore it."""

import re
from collections.abc import Sequence

from mtl.data.tokens import SPACELESS

_SPACELESS = re.compile(rf"[{SPACELESS}]")
_NO_SPACE = re.compile(rf"[{SPACELESS}\u3000-\u303f\ufe30-\ufe4f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]")
_CLOSING = re.compile(r"(?i)[.,;:!?…%)\]}»”،؛؟]+|n['’]t|['’](?:s|m|d|re|ve|ll)|''")
_OPENING = re.compile(r"[(\[{«“‘$£€¥#¿¡]+|``")
_QUOTES = ('"', "'")


def spaces_after(tokens: Sequence[str]) -> list[bool]:
    """Whether a space follows each token of a row, never the last.

    Punctuation and clitics join the word before or after them as is usual in print, quotes open and close in turn, and scripts without
    spaces between words have none. A row of single characters with one of such a script has none either: its Latin words are spelt out.
    """
    if all(len(token) == 1 for token in tokens) and any(map(_SPACELESS.match, tokens)):
        return [False] * len(tokens)
    opening, closing = _attached(tokens)
    before, after = [bool(_NO_SPACE.match(token[-1])) for token in tokens], [bool(_NO_SPACE.match(token[0])) for token in tokens]
    return [not (opening[i] or closing[i + 1] or before[i] or after[i + 1]) for i in range(len(tokens) - 1)] + [False] * bool(tokens)


def joined(tokens: Sequence[str]) -> str:
    """The text of some tokens."""
    return "".join(token + " " * space for token, space in zip(tokens, spaces_after(tokens), strict=True))


def _attached(tokens: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Whether each token joins the next one, and whether it joins the one before."""
    opening, closing = [bool(_OPENING.fullmatch(token)) for token in tokens], [bool(_CLOSING.fullmatch(token)) for token in tokens]
    for quote in _QUOTES:
        places = [i for i, token in enumerate(tokens) if token == quote]
        for number, place in enumerate(places):
            apostrophe = quote == "'" and len(places) % 2 == 1 and place == places[-1]  # dogs '
            (closing if number % 2 == 1 or apostrophe else opening)[place] = True
    return opening, closing
