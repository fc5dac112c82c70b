"""Swaps words for synonyms of the shipped table (see ``mtl.augment.wordnet``): one token becomes one token, so tags stay where they are.

Never touched: entities, title-case words within a sentence (names), web addresses, handles, hashtags, numbers, and anything else
that is not a plain word with punctuation around it. A row is worked on as a whole column; the work on a token's letters is done
once for each distinct token.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.augment import wordnet
from mtl.augment.randomness import Stream, draws, uniform
from mtl.augment.variants import Augmenter, schema_of, tag_columns
from mtl.params import Synonym

_PLAIN = re.compile(r"""([("'“‘*\[]*)([A-Za-z]{3,})([.,;:!?…"'”’)*\]]*)""")
_AROUND = """("'“‘*[.,;:!?…”’)]"""
"""All that ``_PLAIN`` lets stand around a word."""
_ENDS_SENTENCE = r"""[.!?…]["'”’)\]*]*$"""
_CACHED = 200_000  # distinct tokens that are remembered, some 50 MiB

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Entry(NamedTuple):
    """The replacements of a distinct token."""

    first: int  # place of the first one in the pool
    after_article: int  # how many of them take the same article; they come first
    choices: int
    title: bool  # replaced at the start of a sentence only


class Swappable(NamedTuple):
    """Tokens that have replacements where they stand; each field is [n], ordered by place."""

    place: Integers  # among the tokens of all rows
    row: Integers
    position: Integers  # in the row
    first: Integers
    choices: Integers


@cache
def _synonyms() -> Mapping[str, tuple[str, ...]]:
    return wordnet.load()


class SynonymAugmenter(Augmenter):
    """Swaps a share of the words that have synonyms, at least one a row."""

    def __init__(self, spec: Synonym, stream: Stream, synonyms: Mapping[str, tuple[str, ...]] | None = None) -> None:
        super().__init__(spec, stream)
        self.synonyms = _synonyms() if synonyms is None else synonyms
        self._words = pa.array(self.synonyms, type=pa.string())
        self._entries: dict[str, Entry] = {}
        self._pool: list[str] = []

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of canonical rows; a row without a word to swap gives ``unchanged`` ones. Rows do not depend on one another."""
        tokens = rows["tokens"].combine_chunks().flatten()
        found = self._swappable(rows, tokens)
        keys = self.stream.keys(rows["id"])
        copies = [self._copy(rows, tokens, copy, keys, found) for copy in range(self.spec.copies)]
        return pa.concat_tables(copies) if len(rows) else schema_of(tag_columns(rows)).empty_table()

    def _copy(self, rows: pa.Table, tokens: pa.Array, copy: int, keys: npt.NDArray[np.uint64], found: Swappable) -> pa.Table:
        """One variant of each row; ``tokens`` are those of all rows end to end, ``keys`` those of the stream, [rows]."""
        order = draws(keys[found.row], copy, found.position)
        of_row = np.bincount(found.row, minlength=len(rows))
        wanted = np.maximum(1, (self.spec.rate * of_row + uniform(draws(keys, copy, 0, purpose=1))).astype(np.int64))
        chosen = _rank(found.row, order) < wanted[found.row]
        pick = draws(keys[found.row], copy, found.position, purpose=2) % found.choices.astype(np.uint64)
        mask = np.zeros(len(tokens), dtype=bool)
        mask[found.place[chosen]] = True
        swaps = pa.array(self._pool, type=pa.string()).take(pa.array((found.first + pick.astype(np.int64))[chosen]))
        columns = {
            "row": np.arange(len(rows)),
            "copy": np.full(len(rows), copy),
            "tokens": pa.ListArray.from_arrays(_offsets(rows).astype(np.int32), pc.replace_with_mask(tokens, pa.array(mask), swaps)),
            **{name: rows[name] for name in ("space_after", *tag_columns(rows))},
            "reason": pc.if_else(pa.array(of_row > 0), pa.scalar(None, pa.string()), "unchanged"),
        }
        return pa.table(columns, schema=schema_of(tag_columns(rows)))

    def _swappable(self, rows: pa.Table, tokens: pa.Array) -> Swappable:
        """The tokens to choose from. What needs a token's letters is done once a distinct token."""
        encoded = tokens.dictionary_encode()
        distinct, codes = encoded.dictionary, encoded.indices.to_numpy()
        entries = self._entries_of(distinct)
        place = np.flatnonzero((entries[:, 2] > 0)[codes])
        offsets = _offsets(rows)
        row = np.searchsorted(offsets[1:], place, side="right")
        position = place - offsets[row]
        first, after_article, count, title = entries[codes[place]].T
        before, starts_row = codes[place - 1], position == 0
        article = pc.is_in(pc.ascii_lower(distinct), pa.array(["a", "an"])).to_numpy(zero_copy_only=False)
        ends_sentence = pc.match_substring_regex(distinct, _ENDS_SENTENCE).to_numpy(zero_copy_only=False)
        count = np.where(~starts_row & article[before], after_article, count)
        allowed = (count > 0) & ((title == 0) | starts_row | ends_sentence[before]) & _outside(rows, row, position)
        return Swappable(*(field[allowed] for field in (place, row, position, first, count)))

    def _entries_of(self, distinct: pa.Array) -> Integers:
        """The entry of each distinct token, [distinct, 4]. Only those that hold a word of the table are looked at one by one."""
        words = pc.ascii_lower(pc.utf8_trim(distinct, _AROUND))
        places = np.flatnonzero(pc.is_in(words, self._words).to_numpy(zero_copy_only=False))
        if len(self._entries) > _CACHED:
            self._entries, self._pool = {}, []
        tokens = distinct.take(pa.array(places)).to_pylist()
        self._entries |= {token: self._entry(token) for token in tokens if token not in self._entries}
        table = np.zeros((len(distinct), len(Entry._fields)), dtype=np.int64)
        table[places] = np.array([self._entries[token] for token in tokens], dtype=np.int64).reshape(-1, len(Entry._fields))
        return table

    def _entry(self, token: str) -> Entry:
        first = len(self._pool)
        match = _PLAIN.fullmatch(token)
        word = match[2].lower() if match else ""
        cased = _casing(match[2]) if match else None
        if match is None or cased is None or word not in self.synonyms:
            return Entry(first, 0, 0, False)
        sound = wordnet.starts_with_vowel_sound
        same: list[str] = []
        other: list[str] = []
        for synonym in self.synonyms[word]:
            (same if sound(synonym) == sound(word) else other).append(match[1] + cased(synonym) + match[3])
        self._pool += same + other
        return Entry(first, len(same), len(same) + len(other), cased is str.capitalize)


def _casing(word: str) -> Callable[[str], str] | None:
    """What gives a lower-case word the case of this one; None for a mixed case, which only names have."""
    if word.islower():
        return str.lower
    if word.isupper():
        return str.upper
    return str.capitalize if word[0].isupper() and word[1:].islower() else None


def _offsets(rows: pa.Table) -> Integers:
    """Where the tokens of each row begin, and the last ends, among those of all rows, [rows + 1]."""
    return np.concatenate([[0], np.cumsum(pc.list_value_length(rows["tokens"]).to_numpy())], dtype=np.int64)


def _outside(rows: pa.Table, row: Integers, position: Integers) -> Mask:
    """Whether tokens, each at a position of a row, lie outside all entities, [n]."""
    outside = np.ones(len(row), dtype=bool)
    for name in tag_columns(rows):
        tags = rows[name].combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(tags), 0).to_numpy()
        tagged = lengths[row] > 0
        place = (np.cumsum(lengths) - lengths)[row[tagged]] + position[tagged]
        outside[tagged] &= pc.equal(tags.flatten().take(pa.array(place)), "O").to_numpy(zero_copy_only=False)
    return outside


def _rank(owner: Integers, order: npt.NDArray[np.uint64]) -> Integers:
    """The place of each item among its owner's, by ``order``; ``owner`` is ascending."""
    ranked = np.lexsort((order, owner))
    rank = np.empty(len(owner), dtype=np.int64)
    rank[ranked] = np.arange(len(owner)) - np.searchsorted(owner, owner)
    return rank
