"""The language of a dataset's texts, where its settings do not say.

A script that one language has tells it at once. Scripts that several languages share need a model of letters: py3langid's, which knows
97 languages and is read from the package.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

CHARACTERS = 300
"""Characters that are judged together, at least: a short text may look like any language."""
CLEAR = 0.5
"""Share of these stretches that must be of one language."""
SCRIPTS = {
    "ja": "[\u3041-\u3096\u30a1-\u30fa]",
    "ko": "[\uac00-\ud7af]",
    "zh": "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]",
    "th": "[\u0e00-\u0e7f]",
    "he": "[\u05d0-\u05ea]",
    "el": "[\u0370-\u03ff]",
}
"""Languages to the characters of a script that is theirs. Japanese has Chinese characters too, and a tenth of kana tells it."""
_LETTER = re.compile(r"[^\W\d_]")
OWN = 0.1
"""Share of the letters by which a script tells the language; that of the rest may be in any."""


def guess(texts: Iterable[str]) -> str | None:
    """The language tag of most of some texts; None where none is clear."""
    found = Counter(map(_language, _stretches(texts)))
    if not found:
        return None
    tag, count = found.most_common(1)[0]
    return tag if count >= CLEAR * found.total() else None


def _stretches(texts: Iterable[str]) -> Iterator[str]:
    """Texts joined to stretches with letters."""
    joined = ""
    for text in texts:
        joined += f"{text}\n"
        if len(joined) >= CHARACTERS:
            yield joined
            joined = ""
    if _LETTER.search(joined):
        yield joined


def _language(text: str) -> str:
    letters = len(_LETTER.findall(text))
    for tag, characters in SCRIPTS.items():
        if len(re.findall(characters, text)) > OWN * letters:
            return tag
    from py3langid import classify  # reading its model takes a second

    return str(classify(text)[0])
