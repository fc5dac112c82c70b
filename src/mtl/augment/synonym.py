"""Swaps words for synonyms of the shipped table (see ``mtl.augment.wordnet``): one token becomes one token, so tags stay where they are.

Never touched: entities, title-case words within a sentence (names), web addresses, handles, hashtags, numbers, and anything else
that is not a plain word with punctuation around it. Rows are worked on as whole columns of codes; the work on a token's letters is done
once for each distinct token of a file's part.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.augment import wordnet
from mtl.augment.randomness import Stream, draws, uniform
from mtl.augment.variants import Augmenter, schema_of, tag_columns
from mtl.data.coded import Lists, same
from mtl.params import Synonym

_PLAIN = re.compile(r"""([("'“‘*\[]*)([A-Za-z]{3,})([.,;:!?…"'”’)*\]]*)""")
_AROUND = """("'“‘*[.,;:!?…”’)]"""
"""All that ``_PLAIN`` lets stand around a word."""
_ENDS_SENTENCE = r"""[.!?…]["'”’)\]*]*$"""
_ARTICLES = ["a", "an", "A", "AN", "An", "aN"]
_CACHED = 200_000  # distinct tokens that are remembered, some 50 MiB

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Entry(NamedTuple):
    """The replacements of a distinct token."""

    first: int  # place of the first one in the pool
    after_article: int  # how many of them take the same article; they come first
    choices: int
    title: bool  # replaced at the start of a sentence only


_NONE = Entry(0, 0, 0, False)


class Swappable(NamedTuple):
    """Tokens that have replacements where they stand; each field is [n], ordered by place."""

    place: Integers  # among the tokens of all rows
    row: Integers
    position: Integers  # in the row
    first: Integers
    choices: Integers


class Synonyms:
    """The table of synonyms as columns.

    Args:
        table: each word with its synonyms, in lower case.
    """

    def __init__(self, table: Mapping[str, tuple[str, ...]]) -> None:
        sound = wordnet.starts_with_vowel_sound
        self.words = pa.array(table, type=pa.string())
        self.pool: list[str] = []
        self.entries: list[Entry] = []
        for word, synonyms in table.items():
            vowel = sound(word)
            ordered = sorted(synonyms, key=lambda synonym: sound(synonym) != vowel)
            same = sum(sound(synonym) == vowel for synonym in synonyms)
            self.entries.append(Entry(len(self.pool), same, len(synonyms), False))
            self.pool += ordered
        self.columns = _table(self.entries)

    def of(self, entry: Entry) -> list[str]:
        """The replacements of an entry."""
        return self.pool[entry.first : entry.first + entry.choices]


@cache
def _synonyms() -> Synonyms:
    return Synonyms(wordnet.load())


class Vocabulary(NamedTuple):
    """What is known of the distinct tokens of some rows."""

    words: pa.Array
    entries: Integers  # [distinct, 4], of ``Entry``; ``first`` counts from the start of ``words``, then ``pool``
    swapped: Mask  # whether there are replacements, [distinct]
    article: Mask
    extended: pa.Array
    """The tokens, and behind them the pool."""


class SynonymAugmenter(Augmenter):
    """Swaps a share of the words that have synonyms, at least one a row."""

    coded = True

    def __init__(self, spec: Synonym, stream: Stream, synonyms: Mapping[str, tuple[str, ...]] | None = None) -> None:
        super().__init__(spec, stream)
        self._synonyms = _synonyms() if synonyms is None else Synonyms(synonyms)
        self._entries: dict[str, Entry] = {}
        self._pool = list(self._synonyms.pool)
        self._vocabulary: Vocabulary | None = None

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of canonical rows; a row without a word to swap gives ``unchanged`` ones. Rows do not depend on one another."""
        tokens = Lists.of(rows["tokens"])
        if self._vocabulary is None or not same(tokens.words, self._vocabulary.words):
            self._vocabulary = self._known(tokens.words)
        found = _swappable(rows, tokens, self._vocabulary)
        keys = self.stream.keys(rows["id"])
        copies = [self._copy(rows, tokens._replace(words=self._vocabulary.extended), copy, keys, found) for copy in range(self.spec.copies)]
        return pa.concat_tables(copies).combine_chunks()

    def _copy(self, rows: pa.Table, tokens: Lists, copy: int, keys: npt.NDArray[np.uint64], found: Swappable) -> pa.Table:
        """One variant of each row; ``keys`` are those of the stream, [rows]."""
        of_row = np.bincount(found.row, minlength=len(rows))
        wanted = np.maximum(1, (self.spec.rate * of_row + uniform(draws(keys, copy, 0, purpose=1))).astype(np.int64))
        chosen = _first(found.row, draws(keys[found.row], copy, found.position), of_row, wanted)
        row, position, choices = (field[chosen] for field in (found.row, found.position, found.choices))
        pick = draws(keys[row], copy, position, purpose=2) % choices.astype(np.uint64)
        codes = tokens.codes.copy()
        codes[found.place[chosen]] = found.first[chosen] + pick.astype(np.int64)
        columns = {
            "row": np.arange(len(rows)),
            "copy": np.full(len(rows), copy),
            "tokens": tokens._replace(codes=codes).array(),
            **{name: rows[name] for name in ("space_after", *tag_columns(rows))},
            "reason": pc.if_else(pa.array(of_row > 0), pa.scalar(None, pa.string()), "unchanged"),
        }
        return pa.table(columns).cast(schema_of(tag_columns(rows), coded=True))

    def _known(self, words: pa.Array) -> Vocabulary:
        """What is to be known of distinct tokens. Only those that hold a word of the table, and are not one, are looked at one by one."""
        bare = pc.ascii_lower(pc.utf8_trim(words, _AROUND))
        places = pc.fill_null(pc.index_in(bare, self._synonyms.words), -1).to_numpy()
        same = pc.equal(bare, words).to_numpy(zero_copy_only=False)
        entries = np.zeros((len(words), len(Entry._fields)), dtype=np.int64)
        own, other = np.flatnonzero((places >= 0) & same), np.flatnonzero((places >= 0) & ~same)
        entries[own] = self._synonyms.columns[places[own]]
        entries[other] = _table(self._entries_of(words.take(pa.array(other)).to_pylist(), places[other].tolist()))
        entries[:, 0] += len(words)
        article = pc.is_in(words, pa.array(_ARTICLES)).to_numpy(zero_copy_only=False)
        return Vocabulary(words, entries, entries[:, 2] > 0, article, pa.concat_arrays([words, pa.array(self._pool, pa.string())]))

    def _entries_of(self, tokens: Sequence[str], places: Sequence[int]) -> list[Entry]:
        """The entries of tokens, which hold the words of the table at these places."""
        if len(self._entries) > _CACHED:
            self._entries, self._pool = {}, list(self._synonyms.pool)
        for token, place in zip(tokens, places, strict=True):
            if token not in self._entries:
                self._entries[token] = self._entry(token, self._synonyms.entries[place])
        return [self._entries[token] for token in tokens]

    def _entry(self, token: str, of_word: Entry) -> Entry:
        match = _PLAIN.fullmatch(token)
        cased = _casing(match[2]) if match else None
        if match is None or cased is None:
            return _NONE
        first, (before, _, after) = len(self._pool), match.groups()
        self._pool += [before + cased(synonym) + after for synonym in self._synonyms.of(of_word)]
        return Entry(first, of_word.after_article, of_word.choices, cased is str.capitalize)


def _swappable(rows: pa.Table, tokens: Lists, known: Vocabulary) -> Swappable:
    """The tokens to choose from."""
    codes = tokens.codes
    place = np.flatnonzero(known.swapped.take(codes))
    row = tokens.owners()[place]
    position = place - tokens.offsets[row]
    first, after_article, count, title = known.entries[codes[place]].T
    before, starts_row = codes[place - 1], position == 0
    count = np.where(~starts_row & known.article[before], after_article, count)
    allowed = (count > 0) & _outside(rows, row, position)
    named = np.flatnonzero((title == 1) & ~starts_row & allowed)
    before_named = known.words.take(pa.array(before[named]))
    allowed[named] = pc.match_substring_regex(before_named, _ENDS_SENTENCE).to_numpy(zero_copy_only=False)
    return Swappable(*(field[allowed] for field in (place, row, position, first, count)))


def _table(entries: Sequence[Entry]) -> Integers:
    """Entries as rows of numbers, [n, 4]."""
    return np.array(entries, dtype=np.int64).reshape(-1, len(Entry._fields))


def _casing(word: str) -> Callable[[str], str] | None:
    """What gives a lower-case word the case of this one; None for a mixed case, which only names have."""
    if word.islower():
        return str.lower
    if word.isupper():
        return str.upper
    return str.capitalize if word[0].isupper() and word[1:].islower() else None


def _outside(rows: pa.Table, row: Integers, position: Integers) -> Mask:
    """Whether tokens, each at a position of a row, lie outside all entities, [n]."""
    outside = np.ones(len(row), dtype=bool)
    for name in tag_columns(rows):
        tags = Lists.of(rows[name])
        tagged = tags.lengths[row] > 0
        place = tags.offsets[row[tagged]] + position[tagged]
        outside[tagged] &= tags.codes[place] == pc.index(tags.words, "O").as_py()
    return outside


def _first(owner: Integers, order: npt.NDArray[np.uint64], of_owner: Integers, wanted: Integers) -> Mask:
    """Whether each item is among the first of its owner's, by ``order``.

    Args:
        owner: [n], ascending, below 2²⁴.
        order: [n]; of two items whose first 40 bits are the same, both are taken where one is.
        of_owner: how many items each owner has, [owners].
        wanted: how many are taken, at least one, at most ``of_owner`` where that is not 0, [owners].
    """
    if not len(owner):
        return np.zeros(0, dtype=bool)
    keys = (owner.astype(np.uint64) << np.uint64(40)) | (order >> np.uint64(24))
    last = np.cumsum(of_owner) - of_owner + wanted - 1
    chosen: Mask = keys <= np.sort(keys)[np.minimum(last, len(keys) - 1)][owner]
    return chosen
