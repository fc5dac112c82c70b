"""Splits by a hash of normalised texts. ``mtl.data.assignment`` assigns the rows of datasets."""

import hashlib
import re
import unicodedata

from mtl.config import Fractions, Split
from mtl.data.tokens import MARK

_NO_LETTER = re.compile(rf"(?:[^\w{MARK}]|[\d_])+")


_LETTERS = bytes(code if 97 <= code <= 122 else 32 for code in range(128)) + bytes(128)
"""Of lower-case ASCII, letters; a space for anything else."""


def normalised(text: str) -> str:
    """Only the letters of a text, casefolded, with one space between words; a text without letters keeps its signs."""
    if (plain := _plain(text)) is not None:
        return plain
    folded = unicodedata.normalize("NFD", text)
    for _ in range(2):  # compatibility caseless matching, Unicode standard, section 3.13
        folded = unicodedata.normalize("NFKD", folded.casefold())
    folded = unicodedata.normalize("NFC", folded)  # otherwise accents would count as signs
    return _NO_LETTER.sub(" ", folded).strip() or " ".join(folded.split())


def _plain(text: str) -> str | None:
    """The same for ASCII, which needs none of this, several times as fast; None for other texts."""
    if not text.isascii():
        return None
    lower = text.lower()
    return " ".join(lower.encode().translate(_LETTERS).decode().split()) or " ".join(lower.split())


def assign(group: str, fractions: Fractions, seed: int) -> Split:
    """The split of a group of rows, by a hash of seed and the group's name, such as its normalised text."""
    digest = hashlib.blake2b(group.encode(), digest_size=8, key=str(seed).encode()).digest()
    point = int.from_bytes(digest) / 2**64
    if point < fractions.train:
        return "train"
    # The last split with a share also takes the rounding error.
    return "validation" if point < fractions.train + fractions.validation or not fractions.test else "test"
