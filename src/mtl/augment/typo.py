"""Makes slips of the keyboard: a neighbouring, missing, doubled or exchanged letter, the four types of error that Damerau (1964), "A
technique for computer detection and correction of spelling errors", found behind most misspelt words.

Entities, words that deny, numbers, web addresses, handles and hashtags stay, and so does the first letter of a word; no slip makes a
word that denies.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from mtl.augment.lexicon import denies
from mtl.augment.rows import Row, RowAugmenter

_WORD = re.compile(r"""([("'“‘*\[]*)([A-Za-z]{4,})([.,;:!?…"'”’)*\]]*)""")
_KEYS = {(line, column): key for line, keys in enumerate(("qwertyuiop", "asdfghjkl", "zxcvbnm")) for column, key in enumerate(keys)}
_STEPS = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))  # to the keys that touch one, as each line is set off to the right
_NEAR = {
    key: [_KEYS[line + down, column + right] for down, right in _STEPS if (line + down, column + right) in _KEYS]
    for (line, column), key in _KEYS.items()
}


class TypoAugmenter(RowAugmenter):
    """Misspells a share of the words of at least four letters, at least one a row."""

    numbers = 4

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row with some words misspelt."""
        chance, slip_type, letter, pick = numbers
        words = {place: parts for place in row.outside() if (parts := _parts(row.tokens[place]))}
        chosen = [place for place in words if chance[place] < self.spec.rate] or sorted(words, key=chance.__getitem__)[:1]
        tokens = list(row.tokens)
        for place in chosen:
            before, word, behind = words[place]
            slips = _slips(word, 1 + int(letter[place] * (len(word) - 1)), pick[place])
            tokens[place] = before + slips[int(slip_type[place] * len(slips))] + behind
        return row._replace(tokens=tokens)


@lru_cache(maxsize=100_000)
def _parts(token: str) -> tuple[str, str, str] | None:
    """A word that may be misspelt, between the punctuation before and behind it."""
    match = _WORD.fullmatch(token)
    return (match[1], match[2], match[3]) if match and not denies(match[2]) else None


def _slips(word: str, place: int, number: float) -> list[str]:
    """What may come of a slip at one place of a word; a number from 0 up to 1 chooses among the neighbouring keys."""
    letter, before, behind = word[place], word[:place], word[place + 1 :]
    near = _NEAR[letter.lower()]
    struck = near[int(number * len(near))]
    slips = (
        before + (struck.upper() if letter.isupper() else struck) + behind,
        before + behind,
        before + letter + letter + behind,
        before + behind[:1] + letter + behind[1:],
    )
    return [slip for slip in slips if slip != word and not denies(slip)]
