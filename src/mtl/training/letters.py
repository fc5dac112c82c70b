"""Warnings about tokenizers that lose letters of the train texts: marks that they drop, and characters that they do not know."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from mtl.encoders import SubwordTokenizer

SAMPLE = 2000
"""Texts that are looked at, at most."""
MANY = 0.01
"""Share of tokens from which a loss is a warning."""
NAMED = 8
"""Letters that a warning names, at most."""


def lost_letters(tokenizer: SubwordTokenizer, texts: Iterable[Sequence[str]]) -> Iterator[str]:
    """Warnings, for the tokens of some texts."""
    tokens = [unicodedata.normalize("NFC", token) for text in islice(texts, SAMPLE) for token in text]
    if not tokens:
        return
    letters = {letter for token in tokens for letter in token if not letter.isascii()}
    plain = {letter: tokenizer.normalized(letter).strip() for letter in letters}
    if "ı" in letters:
        plain["I"] = tokenizer.normalized("I")
    lost = {letter: made for letter, made in plain.items() if _loses(letter, made)}
    share = sum(any(letter in lost for letter in token) for token in tokens) / len(tokens)
    if share >= MANY:
        some = ", ".join(f"{letter} → {lost[letter] or 'nothing'}" for letter in sorted(lost)[:NAMED])
        yield (
            f"the tokenizer changes letters in {share:.1%} of the train tokens ({some}), so that words which differ by them look the same; "
            "an encoder of the language keeps them"
        )
    unknown = _unknown(tokenizer, tokens)
    if len(unknown) >= MANY * len(tokens):
        some = ", ".join(sorted(set(unknown))[:NAMED])
        yield f"the tokenizer does not know {len(unknown) / len(tokens):.1%} of the train tokens, such as {some}; choose another encoder"


def _loses(letter: str, made: str) -> bool:
    """Whether more than the case or the width of a letter is lost; of I, its case too, where ı is another letter."""
    compatible = unicodedata.normalize("NFKC", letter)
    kept = {letter, compatible} | ({letter.lower(), compatible.lower()} if letter != "I" else set())
    return unicodedata.normalize("NFC", made) not in {unicodedata.normalize("NFC", form) for form in kept}


def _unknown(tokenizer: SubwordTokenizer, tokens: Sequence[str]) -> list[str]:
    """The tokens with the unknown subword, as often as they occur."""
    distinct = list(dict.fromkeys(tokens))
    encoded = tokenizer.encode([[token] for token in distinct], 512)
    rows = np.repeat(np.arange(len(encoded)), encoded.lengths)[encoded.subwords == tokenizer.unknown]
    found = {distinct[row] for row in rows.tolist()}
    return [token for token in tokens if token in found]
