"""Swaps words for synonyms of the shipped table (see ``mtl.augment.wordnet``): one token becomes one token, so tags stay where they are.

Never touched: entities, title-case words within a sentence (names), web addresses, handles, hashtags, numbers, and anything else
that is not a plain word with punctuation around it. Rows are worked on as whole columns of codes; the letters of a token are read once
for each distinct token of a part of the file.
"""

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.augment import wordnet
from mtl.augment.languages.base import Language, Word
from mtl.augment.languages.base import Synonyms as WordSynonyms
from mtl.augment.languages.en import starts_with_vowel_sound
from mtl.augment.randomness import Stream, draws, uniform
from mtl.augment.rows import Row, RowAugmenter, rows_of
from mtl.augment.tables import folder_of
from mtl.augment.variants import Augmenter, schema_of, tag_columns
from mtl.config import Synonym
from mtl.data.coded import Lists, look_up, plain, same, take

_PLAIN = r"""\A(?P<before>[("'“‘*\[]*)(?P<word>[A-Za-z]{3,})(?P<after>[.,;:!?…"'”’)*\]]*)\z"""
_AROUND = """("'“‘*[.,;:!?…”’)]"""
"""All that ``_PLAIN`` lets stand around a word."""
_ENDS_SENTENCE = r"""[.!?…]["'”’)\]*]*$"""
_WHOLE = r"^\p{Han}{2,}$"
"""A word of a script without spaces."""
_MARK = r"[@＠#＃\[【]|://|www\."
"""What a handle, hashtag, emoticon, headline or web address begins with, words of which must stay."""
_ARTICLES = ["a", "an", "A", "AN", "An", "aN"]

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


class Entries(NamedTuple):
    """The replacements of distinct tokens; each field is [distinct]."""

    first: Integers  # place of the first one in the pool
    same: Integers  # how many of them take the same article; they come first
    choices: Integers
    title: Integers  # 1 if replaced at the start of a sentence only, else 0

    def of(self, tokens: npt.NDArray[np.integer[Any]]) -> "Entries":
        """Those of some tokens."""
        return Entries(*(field[tokens] for field in self))


_NONE = Entries(*[np.zeros(1, dtype=np.int64)] * len(Entries._fields))


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
        table: each word with its synonyms, of ASCII letters in lower case or of a script without cases.
    """

    def __init__(self, table: WordSynonyms) -> None:
        sound = starts_with_vowel_sound
        pool: list[str] = []
        same = []
        for word, synonyms in table.items():
            vowel = sound(word)
            alike = [synonym for synonym in synonyms if sound(synonym) == vowel]
            pool += [*alike, *(synonym for synonym in synonyms if synonym not in alike)]
            same.append(len(alike))
        self.words, self.pool = pa.array(table, type=pa.string()), pa.array(pool, type=pa.string())
        choices = np.array([len(synonyms) for synonyms in table.values()], dtype=np.int64)
        self.entries = Entries(np.cumsum(choices) - choices, np.array(same, dtype=np.int64), choices, np.zeros_like(choices))


@cache
def _synonyms() -> Synonyms:
    return Synonyms(wordnet.load())


class Vocabulary(NamedTuple):
    """The distinct tokens of some rows, with their replacements."""

    words: pa.Array
    extended: pa.Array
    """The tokens, and behind them the pool of replacements."""
    entry: Integers  # place among ``entries``, [distinct]
    entries: Entries  # ``first`` is a place in ``extended``
    swapped: Mask  # whether there are replacements, [distinct]
    article: Mask


class SynonymAugmenter(Augmenter):
    """Swaps a share of the words that have synonyms, at least one a row."""

    coded = True

    @classmethod
    def for_language(cls, language: Language) -> type[Augmenter]:
        """Columns of codes for the table in the package and for whole words without spaces between them, rows for all else."""
        if not language.table:
            return cls
        return WordSynonymAugmenter if language.spaced else UnspacedSynonymAugmenter

    def __init__(self, spec: Synonym, stream: Stream, synonyms: WordSynonyms | None = None) -> None:
        super().__init__(spec, stream)
        self._synonyms = _synonyms() if synonyms is None else Synonyms(synonyms)
        self._vocabulary: Vocabulary | None = None

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of canonical rows; a row without a word to swap gives ``unchanged`` ones. Rows do not depend on one another."""
        tokens = Lists.of(rows["tokens"])
        if self._vocabulary is None or not same(tokens.words, self._vocabulary.words):
            self._vocabulary = _vocabulary(tokens.words, self._synonyms)
        swappable = self._allowed(rows, tokens, _swappable(rows, tokens, self._vocabulary))
        keys = self.stream.keys(rows["id"])
        copies = [
            self._copy(rows, tokens._replace(words=self._vocabulary.extended), copy, keys, swappable) for copy in range(self.spec.copies)
        ]
        return pa.concat_tables(copies).combine_chunks()

    def _allowed(self, rows: pa.Table, tokens: Lists, swappable: Swappable) -> Swappable:
        """Those of the tokens that may be replaced for all that else stands in their rows."""
        return swappable

    def _copy(self, rows: pa.Table, tokens: Lists, copy: int, keys: npt.NDArray[np.uint64], swappable: Swappable) -> pa.Table:
        """One variant of each row; ``keys`` are those of the stream, [rows]."""
        of_row = np.bincount(swappable.row, minlength=len(rows))
        count = np.maximum(1, (self.spec.rate * of_row + uniform(draws(keys, copy, 0, purpose=1))).astype(np.int64))
        chosen = np.flatnonzero(_first(swappable.row, draws(keys[swappable.row], copy, swappable.position), of_row, count))
        row, position, choices = (field[chosen] for field in (swappable.row, swappable.position, swappable.choices))
        pick = draws(keys[row], copy, position, purpose=2) % choices.astype(np.uint64)
        codes = tokens.codes.copy()
        codes[swappable.place[chosen]] = swappable.first[chosen] + pick.astype(np.int64)
        columns = {
            "row": np.arange(len(rows)),
            "copy": np.full(len(rows), copy),
            "tokens": tokens._replace(codes=codes).array(),
            **{name: rows[name] for name in ("space_after", *tag_columns(rows))},
            "reason": pc.if_else(pa.array(of_row > 0), pa.scalar(None, pa.string()), "unchanged"),
        }
        return pa.table(columns).cast(schema_of(tag_columns(rows), coded=True))


def _vocabulary(words: pa.Array, synonyms: Synonyms) -> Vocabulary:
    """The vocabulary of distinct tokens."""
    bare = pc.ascii_lower(pc.utf8_trim(words, _AROUND))
    places = pc.fill_null(pc.index_in(bare, synonyms.words), -1).to_numpy()
    matches = np.flatnonzero(places >= 0)
    own = _bools(pc.equal(*(tokens.take(pa.array(matches)) for tokens in (bare, words))))
    others = matches[~own]
    forms, pool = _forms(words.take(pa.array(others)), places[others], synonyms)
    entries = Entries(*map(np.concatenate, zip(_NONE, synonyms.entries, forms, strict=True)))
    entry = np.zeros(len(words), dtype=np.int64)  # of a word without replacements, of those of the table, of the forms
    entry[matches[own]] = 1 + places[matches[own]]
    entry[others] = 1 + len(synonyms.words) + np.arange(len(others))
    article = np.zeros(len(words), dtype=bool)
    short = np.flatnonzero(pc.binary_length(words).to_numpy() <= max(map(len, _ARTICLES)))
    article[short] = _bools(pc.is_in(words.take(pa.array(short)), pa.array(_ARTICLES)))
    extended = pa.concat_arrays([words, synonyms.pool, pool])
    return Vocabulary(words, extended, entry, entries._replace(first=entries.first + len(words)), (entries.choices > 0)[entry], article)


def _forms(tokens: pa.Array, places: Integers, synonyms: Synonyms) -> tuple[Entries, pa.Array]:
    """The entries of tokens that are words of the table in another case or with punctuation, and their additions to the pool.

    Words in mixed case, which only names have, get no entry.
    """
    before, word, after = pc.extract_regex(tokens, _PLAIN).flatten()
    lower, upper, title = (_bools(pc.equal(word, case(word))) for case in (pc.ascii_lower, pc.ascii_upper, pc.ascii_capitalize))
    of_word = synonyms.entries.of(places)
    choices = np.where(lower | upper | title, of_word.choices, 0)
    start, token = np.cumsum(choices) - choices, np.repeat(np.arange(len(tokens)), choices)
    swaps = synonyms.pool.take(pa.array(of_word.first[token] + np.arange(len(token)) - start[token]))
    swaps = pc.if_else(pa.array(title[token]), pc.ascii_capitalize(swaps), swaps)
    swaps = pc.if_else(pa.array(upper[token]), pc.ascii_upper(swaps), swaps)
    pool = pc.binary_join_element_wise(before.take(pa.array(token)), swaps, after.take(pa.array(token)), "")
    return Entries(start + len(synonyms.pool), of_word.same, choices, title.astype(np.int64)), pool


def _bools(values: pa.Array) -> Mask:
    """As an array of numpy, where null is false."""
    bools: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return bools


def _swappable(rows: pa.Table, tokens: Lists, known: Vocabulary) -> Swappable:
    """The tokens to choose from."""
    codes = tokens.codes
    place = np.flatnonzero(look_up(known.swapped, codes))
    row = tokens.owners()[place]
    position = place - tokens.offsets[row]
    first, same, count, title = known.entries.of(known.entry[codes[place]])
    before, starts_row = codes[place - 1], position == 0
    count = np.where(~starts_row & known.article[before], same, count)
    allowed = (count > 0) & _outside(rows, row, position)
    named = np.flatnonzero((title == 1) & ~starts_row & allowed)
    before_named = known.words.take(pa.array(before[named]))
    allowed[named] = _bools(pc.match_substring_regex(before_named, _ENDS_SENTENCE))
    kept = np.flatnonzero(allowed)
    return Swappable(*(field[kept] for field in (place, row, position, first, count)))


def _outside(rows: pa.Table, row: Integers, position: Integers) -> Mask:
    """Whether tokens, each at a position of a row, lie outside all entities, [n]."""
    outside = np.ones(len(row), dtype=bool)
    for name in tag_columns(rows):
        tags = Lists.of(rows[name])
        tagged = tags.lengths[row] > 0
        place = tags.offsets[row[tagged]] + position[tagged]
        outside[tagged] &= tags.codes[place] == pc.index(tags.words, "O").as_py()
    return outside


def _first(owner: Integers, order: npt.NDArray[np.uint64], of_owner: Integers, count: Integers) -> Mask:
    """Whether each item is among the first items of its owner, by ``order``.

    Args:
        owner: [n], ascending, below 2²⁴.
        order: [n]; if two items share their first 40 bits, both are taken or none.
        of_owner: how many items each owner has, [owners].
        count: how many are taken, at least one, at most ``of_owner`` where that is not 0, [owners].
    """
    if not len(owner):
        return np.zeros(0, dtype=bool)
    keys = (owner.astype(np.uint64) << np.uint64(40)) | (order >> np.uint64(24))
    last = np.cumsum(of_owner) - of_owner + count - 1
    chosen: Mask = keys <= np.sort(keys)[np.minimum(last, len(keys) - 1)][owner]
    return chosen


class WordSynonymAugmenter(RowAugmenter):
    """Swaps words for synonyms of a table that the settings name; a word of several tokens may become one of fewer or more."""

    @cached_property
    def table(self) -> WordSynonyms:
        """The language's table.

        Raises:
            AugmentError: it was not downloaded, or cannot be read.
        """
        return self.language.synonyms(min(path for path in folder_of(self).rglob("*") if path.is_file()))

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row | None:
        """The row with a share of the words that have synonyms replaced, at least one."""
        chance, pick = numbers
        choices = {word: synonyms for word in self.language.bare(row) if (synonyms := self._choices(row, word, self.table))}
        chosen = [word for word in choices if chance[word.start] < self.spec.rate]
        chosen = chosen or sorted(choices, key=lambda word: chance[word.start])[:1]
        picked = {word: choices[word][int(pick[word.start] * len(choices[word]))] for word in chosen}
        return row.replaced((word.start, word.end, word.tokens(text)) for word, text in picked.items())

    @staticmethod
    def _choices(row: Row, word: Word, table: WordSynonyms) -> Sequence[str]:
        """What may stand in the place of a word; at the start of a sentence it is looked up in lower case too."""
        found = table.get(word.text, ())
        if found or not word.text.istitle() or (word.start and not row.tokens[word.start - 1].endswith((".", "!", "?", "…"))):
            return found
        return [synonym[:1].upper() + synonym[1:] for synonym in table.get(word.text.lower(), ())]


class UnspacedSynonymAugmenter(WordSynonymAugmenter):
    """The same, by columns where most rows have words as tokens: a token that the table has becomes another one."""

    coded = True

    @cached_property
    def _columns(self) -> SynonymAugmenter:
        columns = _WordColumns(self.spec, self.stream, self.table)
        columns.language = self.language
        return columns

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of rows; they do not depend on one another."""
        tokens = Lists.of(rows["tokens"])
        if 2 * np.count_nonzero(tokens.having(_matching(tokens, _WHOLE))) >= len(rows):
            return self._columns.augment(rows)
        return super().augment(plain(rows)).cast(schema_of(tag_columns(rows), coded=True))


class _WordColumns(SynonymAugmenter):
    """Leaves words of handles, hashtags and the like as they are."""

    def _allowed(self, rows: pa.Table, tokens: Lists, swappable: Swappable) -> Swappable:
        marked = np.flatnonzero(tokens.having(_matching(tokens, _MARK)))
        allowed = ~np.isin(swappable.row, marked)
        for number, row in zip(marked.tolist(), rows_of(plain(take(rows, marked))), strict=True):
            whole = [word.start for word in self.language.bare(row) if word.end == word.start + 1]
            own = slice(*np.searchsorted(swappable.row, (number, number + 1)))
            allowed[own] = np.isin(swappable.position[own], whole)
        return Swappable(*(field[allowed] for field in swappable))


def _matching(tokens: Lists, pattern: str) -> Mask:
    """Whether a regular expression matches distinct tokens, [distinct]."""
    return _bools(pc.match_substring_regex(tokens.words, pattern))
