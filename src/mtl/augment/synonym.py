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
_ENDS_SENTENCE = re.compile(r"""[.!?…]["'”’)\]*]*$""")
_CACHED = 200_000  # distinct tokens that are remembered, some 100 MiB

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Entry(NamedTuple):
    """What is known of a distinct token."""

    first: int  # place of its first replacement in the pool
    after_article: int  # how many of them take the same article; they come first
    choices: int  # how many there are
    title: bool  # replaced at the start of a sentence only
    ends_sentence: bool
    article: bool


@cache
def _synonyms() -> Mapping[str, tuple[str, ...]]:
    return wordnet.load()


class SynonymAugmenter(Augmenter):
    """Swaps a share of the words that have synonyms, at least one a row."""

    def __init__(self, spec: Synonym, stream: Stream, synonyms: Mapping[str, tuple[str, ...]] | None = None) -> None:
        super().__init__(spec, stream)
        self.synonyms = _synonyms() if synonyms is None else synonyms
        self._entries: dict[str, Entry] = {}
        self._pool: list[str] = []

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of canonical rows; a row without a word to swap gives ``unchanged`` ones. Rows do not depend on one another."""
        tokens = rows["tokens"].combine_chunks().flatten()
        lengths = pc.list_value_length(rows["tokens"]).to_numpy().astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        owner = np.repeat(np.arange(len(rows)), lengths)
        entries = self._table(tokens)
        count = _choices(entries, np.arange(len(tokens)) == np.repeat(starts, lengths))
        count[~_outside(rows, lengths)] = 0
        keys = self.stream.keys(rows["id"].to_pylist())
        places = np.flatnonzero(count)
        copies = [
            self._copy(rows, tokens, copy, keys, places, (places - starts[owner[places]], owner[places], entries[places, 0], count[places]))
            for copy in range(self.spec.copies)
        ]
        return pa.concat_tables(copies) if len(rows) else schema_of(tag_columns(rows)).empty_table()

    def _copy(
        self,
        rows: pa.Table,
        tokens: pa.Array,
        copy: int,
        keys: npt.NDArray[np.uint64],
        places: Integers,
        swappable: tuple[Integers, Integers, Integers, Integers],
    ) -> pa.Table:
        """One variant of each row.

        Args:
            rows, tokens: canonical rows, and their tokens end to end.
            copy: which variant.
            keys: [rows], of the stream.
            places: [n], the tokens that have replacements.
            swappable: position, row, first replacement and number of replacements of each of them, [n].
        """
        position, owner, first, count = swappable
        order = draws(keys[owner], copy, position)
        wanted = self.spec.rate * np.bincount(owner, minlength=len(rows)) + uniform(draws(keys, copy, 0, purpose=1))
        chosen = _rank(owner, order) < np.maximum(1, wanted.astype(np.int64))[owner]
        pick = draws(keys[owner], copy, position, purpose=2) % np.maximum(count, 1).astype(np.uint64)
        swaps = (first + pick.astype(np.int64))[chosen]
        mask = np.zeros(len(tokens), dtype=bool)
        mask[places[chosen]] = True
        swapped = pc.replace_with_mask(tokens, pa.array(mask), pa.array([self._pool[swap] for swap in swaps], type=pa.string()))
        offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(rows["tokens"]).to_numpy())]).astype(np.int32)
        changed = np.bincount(owner, minlength=len(rows)) > 0
        columns = {
            "row": np.arange(len(rows)),
            "copy": np.full(len(rows), copy),
            "tokens": pa.ListArray.from_arrays(pa.array(offsets), swapped),
            **{name: rows[name] for name in ("space_after", *tag_columns(rows))},
            "reason": pc.if_else(pa.array(changed), pa.scalar(None, pa.string()), "unchanged"),
        }
        return pa.table(columns, schema=schema_of(tag_columns(rows)))

    def _table(self, tokens: pa.Array) -> Integers:
        """The entry of each token, [tokens, 6]."""
        encoded = tokens.dictionary_encode()
        if len(self._entries) > _CACHED:
            self._entries, self._pool = {}, []
        distinct = encoded.dictionary.to_pylist()
        for token in distinct:
            if token not in self._entries:
                self._entries[token] = self._entry(token)
        rows = np.array([self._entries[token] for token in distinct], dtype=np.int64).reshape(-1, len(Entry._fields))
        of_tokens: Integers = rows[encoded.indices.to_numpy()]
        return of_tokens

    def _entry(self, token: str) -> Entry:
        first = len(self._pool)
        article, ends = token.lower() in ("a", "an"), bool(_ENDS_SENTENCE.search(token))
        match = _PLAIN.fullmatch(token)
        word = match[2].lower() if match else ""
        cased = _casing(match[2]) if match else None
        if match is None or cased is None or word not in self.synonyms:
            return Entry(first, 0, 0, False, ends, article)
        sound = wordnet.starts_with_vowel_sound
        same: list[str] = []
        other: list[str] = []
        for synonym in self.synonyms[word]:
            (same if sound(synonym) == sound(word) else other).append(match[1] + cased(synonym) + match[3])
        self._pool += same + other
        return Entry(first, len(same), len(same) + len(other), cased is str.capitalize, ends, article)


def _casing(word: str) -> Callable[[str], str] | None:
    """What gives a lower-case word the case of this one; None for a mixed case, which only names have."""
    if word.islower():
        return str.lower
    if word.isupper():
        return str.upper
    return str.capitalize if word[0].isupper() and word[1:].islower() else None


def _choices(entries: Integers, starts_row: Mask) -> Integers:
    """How many replacements each token has where it stands, [tokens]; ``starts_row``: whether it is the first of its row."""
    _, after_article, count, title, ends_sentence, article = entries.T
    follows_article = ~starts_row & (np.roll(article, 1) > 0)
    starts_sentence = starts_row | (np.roll(ends_sentence, 1) > 0)
    allowed = np.where(follows_article, after_article, count)
    return np.where((title > 0) & ~starts_sentence, 0, allowed)


def _outside(rows: pa.Table, lengths: Integers) -> Mask:
    """Whether each token lies outside all entities, [tokens]."""
    outside = np.ones(lengths.sum(), dtype=bool)
    for name in tag_columns(rows):
        tagged = np.repeat(rows[name].is_valid().to_numpy(), lengths)
        outside[tagged] &= pc.equal(rows[name].combine_chunks().flatten(), "O").to_numpy(zero_copy_only=False)
    return outside


def _rank(owner: Integers, order: npt.NDArray[np.uint64]) -> Integers:
    """The place of each item among its owner's, by ``order``; ``owner`` is ascending."""
    ranked = np.lexsort((order, owner))
    rank = np.empty(len(owner), dtype=np.int64)
    rank[ranked] = np.arange(len(owner)) - np.searchsorted(owner, owner)
    return rank
