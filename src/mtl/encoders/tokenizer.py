"""Tokens to subwords: flat arrays that know, for each subword, whether a token starts there and what shape its word has."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Encoding, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from mtl.errors import EncoderError, one_line
from mtl.files import write_text

WORD_SHAPES = ("lower", "upper", "title", "digit", "punctuation", "mixed")
SHAPES = 1 + 2 * len(WORD_SHAPES)
"""Shape classes: 0 for special subwords; 1 + 2s for the first and 2 + 2s for an inner subword of a word of shape s."""

UNUSED = 100_000
"""Indices of a vocabulary that may be unused, beside three for each that is used."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker token among the tokens of a row. It is not a string, so no text can spell it; see ``SubwordTokenizer.add_markers``."""

    name: str


Row = Sequence[str | Marker]
"""The tokens of one field of a row."""


class Field(NamedTuple):
    """One text field of some rows, as indices into a list of distinct tokens."""

    token: Ints
    """``[tokens]``, of all rows end to end: the index of each token in the list, or ``~id`` for the marker with that vocabulary index."""
    counts: Ints
    """``[rows]``, tokens of each row, markers included; -1 where the row does not have the field."""


@dataclass(frozen=True)
class Encoded:
    """Rows of one or two text fields as flat arrays; row i is ``offsets[i]:offsets[i + 1]``."""

    subwords: npt.NDArray[np.integer]
    """``[n_subwords]``, vocabulary indices."""
    offsets: npt.NDArray[np.int64]
    """``[rows + 1]``."""
    word_shape_ids: npt.NDArray[np.int8]
    """``[n_subwords]``, shape class of the word; odd at the first subword of each token, even elsewhere."""
    lost: npt.NDArray[np.int32]
    """``[rows]``, tokens of both fields without a subword because the row was too long."""
    boundary: npt.NDArray[np.int32]
    """``[rows]``, the position in the row where the second field begins; the length of the row if it has one field."""
    owner: npt.NDArray[np.int64] | None = None
    """``[rows]``, where rows are windows of longer ones: the row that each is cut from (see ``mtl.encoders.windows``)."""
    begin: npt.NDArray[np.int64] | None = None
    """``[rows]``, of windows: the token of the last field that each begins with."""
    numbers: npt.NDArray[np.int32] | None = None
    """``[vocabulary]``, where the encoder's vocabulary is pruned: the index of each subword there."""

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """``[rows]``, subwords of each row."""
        return np.diff(self.offsets)

    @property
    def pairs(self) -> npt.NDArray[np.bool_]:
        """``[rows]``, whether each row has a second field."""
        return self.boundary < self.lengths

    @property
    def segment_ids(self) -> npt.NDArray[np.int8]:
        """``[n_subwords]``, 0 in the first field, 1 in the second; special subwords count with the field before them."""
        return (np.arange(len(self.subwords)) >= np.repeat(self.offsets[:-1] + self.boundary, self.lengths)).astype(np.int8)

    @cached_property
    def word_ids(self) -> npt.NDArray[np.int32]:
        """``[n_subwords]``, index of the token in its field at its first subword; -1 on special, marker and continuation subwords."""
        first = self.word_shape_ids % 2 == 1
        before = np.concatenate([[0], np.cumsum(first)])
        skipped = 0 if self.begin is None else self.begin
        left, right = before[self.offsets[:-1]], before[self.offsets[:-1] + self.boundary] - skipped
        if (pairs := self.pairs).any():
            base = np.where(self.segment_ids, np.repeat(right, self.lengths), np.repeat(left - skipped * ~pairs, self.lengths))
        else:
            base = np.repeat(left - skipped, self.lengths)
        return np.where(first, before[:-1] - base, -1).astype(np.int32)

    def take(self, rows: npt.NDArray[np.integer]) -> "Encoded":
        """Some of the rows, in this order."""
        sizes = self.lengths[rows]
        own = ranges(self.offsets[rows], sizes)
        owner, begin = (None if array is None else array[rows] for array in (self.owner, self.begin))
        lost, boundary = self.lost[rows], self.boundary[rows]
        return Encoded(self.subwords[own], starts_of(sizes), self.word_shape_ids[own], lost, boundary, owner, begin, self.numbers)

    def digest(self) -> str:
        """sha256 of all rows."""
        result = hashlib.sha256()
        for array in (self.subwords, self.word_shape_ids, self.offsets, self.boundary):
            result.update(np.ascontiguousarray(array).data)
        return result.hexdigest()


@dataclass(frozen=True, slots=True)
class Uncut:
    """One field of rows as subwords, without special ones and however many they are."""

    subwords: npt.NDArray[np.int32]
    word_shape_ids: npt.NDArray[np.int8]
    offsets: Ints
    """``[rows + 1]``."""

    @property
    def lengths(self) -> Ints:
        """``[rows]``, subwords of each row."""
        return np.diff(self.offsets)

    def lost(self, kept: Ints) -> Ints:
        """``[rows]``, tokens that do not start among the first subwords kept of each row, ``[rows]``."""
        before = starts_of(self.word_shape_ids % 2)
        beyond: Ints = before[self.offsets[1:]] - before[self.offsets[:-1] + kept]
        return beyond

    @property
    def tokens(self) -> Ints:
        """``[rows]``, tokens of each row, without markers."""
        return self.lost(0 * self.offsets[1:])


def with_markers(field: Uncut, places: Ints, markers: Ints) -> Uncut:
    """Put markers between the tokens of a field. Each is a token of one subword, of the shape class of special ones.

    Args:
        field: of some rows.
        places: ``[rows, markers]``, how many tokens of the row stand before each marker; -1 for no marker.
        markers: ``[markers]``, their vocabulary indices. Those with the same place stay in this order.
    """
    used = places >= 0
    shapes = field.word_shape_ids
    token = np.append(np.flatnonzero((shapes % 2 == 1) | (shapes == 0)), len(shapes))
    at = token[(np.searchsorted(token, field.offsets[:-1])[:, None] + places)[used]]
    subwords = np.insert(field.subwords, at, np.broadcast_to(markers, places.shape)[used])
    return Uncut(subwords, np.insert(shapes, at, 0), field.offsets + starts_of(used.sum(1)))


class Cut(NamedTuple):
    """A range of each row's subwords of one field."""

    field: Uncut
    starts: Ints
    """``[rows]``, indices into the flat arrays of the field."""
    sizes: Ints
    """``[rows]``."""


class Frame(NamedTuple):
    """The special subwords around and between the fields of a row."""

    first: npt.NDArray[np.int32]
    middle: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]

    @property
    def size(self) -> int:
        """How many they are."""
        return sum(map(len, self))


def word_shape(token: str) -> int:
    """The index in ``WORD_SHAPES`` of a token; letters without case count as lower, a single capital as title."""
    letters = [c for c in token if c.isalpha()]
    digits = any(c.isdigit() for c in token)
    if not letters:
        return WORD_SHAPES.index("digit" if digits else "punctuation")
    capitals = [c != c.lower() for c in letters]
    if digits or (any(capitals[1:]) and not all(capitals)):
        return WORD_SHAPES.index("mixed")
    if not any(capitals):
        return WORD_SHAPES.index("lower")
    return WORD_SHAPES.index("upper" if all(capitals) and len(capitals) > 1 else "title")


class SubwordTokenizer:
    """Cuts pre-tokenised text into subwords, each token by itself, so that every token has a first subword to carry its tag."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        _check_indices(tokenizer)
        self._tokenizer = _for_single_words(tokenizer)
        self.single = _frame(self._tokenizer.encode(["a"], is_pretokenized=True))
        pair = _frame(self._tokenizer.encode(["a"], ["a"], is_pretokenized=True))
        # A tokenizer without a template for pairs puts nothing around them.
        self.pair = pair if pair.size > self.single.size else Frame(self.single.first, self.single.last, self.single.last)
        self.unknown = _unknown(self._tokenizer)

    @property
    def size(self) -> int:
        """The number of subwords in the vocabulary."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def special(self) -> int:
        """How many special subwords frame a row of one field."""
        return self.single.size

    def add_markers(self, names: Sequence[str]) -> dict[str, int]:
        """Make marker tokens entries of the vocabulary; those added before, or loaded, keep their index.

        A row holds one as ``Marker(name)``. The same name in a text stays plain text.

        Returns:
            The vocabulary index of each. The encoder's embedding must have as many: see ``Encoder.grow_vocabulary``.

        Raises:
            EncoderError: a name is an ordinary subword, or a special one that the tokenizer needs itself.
        """
        taken = {*self.single.first.tolist(), *self.pair.middle.tolist(), *self.pair.last.tolist(), self.unknown}
        for name in names:
            index = self._tokenizer.token_to_id(name)
            if index in taken or (index is not None and not self._is_special(index)):
                raise EncoderError(f"{name!r} cannot be a marker: it is a subword of the tokenizer")
        self._tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
        return self.markers(names)

    def shared_prefix(self, other: "SubwordTokenizer") -> int | None:
        """How many indices from the first on mean the same subword in another tokenizer; None unless only markers follow in both."""
        own, others = self._by_index(), other._by_index()
        size = max(self.size, other.size)
        first = next((index for index in range(size) if own.get(index) != others.get(index)), size)
        rest = [(tokenizer, index) for tokenizer, known in ((self, own), (other, others)) for index in known if index >= first]
        return first if all(tokenizer._is_special(index) for tokenizer, index in rest) else None

    def _by_index(self) -> dict[int, str]:
        return {index: subword for subword, index in self._tokenizer.get_vocab(with_added_tokens=True).items()}

    def normalized(self, text: str) -> str:
        """A text as the vocabulary sees it: perhaps in lower case and without accents."""
        normalizer = self._tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def markers(self, names: Iterable[str]) -> dict[str, int]:
        """The vocabulary index of each of some markers.

        Raises:
            EncoderError: one was not added.
        """
        return {name: self.marker(Marker(name)) for name in names}

    def marker(self, marker: Marker) -> int:
        """The vocabulary index of a marker.

        Raises:
            EncoderError: it was not added.
        """
        index = self._tokenizer.token_to_id(marker.name)
        if index is None or not self._is_special(index):
            raise EncoderError(f"the tokenizer has no marker {marker.name!r}")
        return int(index)

    def _is_special(self, index: int) -> bool:
        added = self._tokenizer.get_added_tokens_decoder().get(index)
        return added is not None and added.special

    def encode(self, rows: Sequence[Row], max_length: int, right: Sequence[Row | None] | None = None) -> Encoded:
        """Encode rows of tokens, cutting each at ``max_length`` subwords, special ones included.

        Args:
            rows: the only field of each row, or the left one.
            max_length: in subwords. Of a row that is longer the right field is cut, and the left one only if it does not fit by itself.
            right: the right field of each row, ``None`` for a row that has one field.

        Raises:
            EncoderError: ``max_length`` leaves no room beside the special subwords.
        """
        words, left, other = self.coded(rows, right)
        return self.encode_distinct(words, left, max_length, other)

    def coded(self, rows: Sequence[Row], right: Sequence[Row | None] | None = None) -> tuple[list[str], Field, Field | None]:
        """Distinct tokens, and the fields as indices into them.

        Raises:
            ValueError: there are not as many right fields as rows.
        """
        if right is not None and len(right) != len(rows):
            raise ValueError(f"{len(rows)} rows have {len(right)} right fields")
        index: dict[str | Marker, int] = {}
        fields = [
            Field(
                np.array([index.setdefault(token, len(index)) for row in field if row is not None for token in row], dtype=np.int64),
                np.array([-1 if row is None else len(row) for row in field], dtype=np.int64),
            )
            for field in ([rows] if right is None else [rows, right])
        ]
        words = [token for token in index if isinstance(token, str)]
        if len(words) < len(index):
            codes = {word: number for number, word in enumerate(words)}
            code = np.array([~self.marker(token) if isinstance(token, Marker) else codes[token] for token in index])
            fields = [Field(code[field.token], field.counts) for field in fields]
        return words, fields[0], fields[1] if right is not None else None

    def encode_distinct(self, words: list[str], left: Field, max_length: int, right: Field | None = None) -> Encoded:
        """The same for rows given by their distinct tokens.

        Args:
            words: the distinct tokens.
            left: the only field of each row, or the left one.
            max_length, right: as in ``encode``.
        """
        return self.beginning(self.uncut(words, left, right), with_two_fields(left, right), max_length)

    def beginning(self, fields: Sequence[Uncut], pairs: npt.NDArray[np.bool_], max_length: int) -> Encoded:
        """The same for rows that are subwords already; ``pairs`` says which rows have two fields, ``[rows]``."""
        cuts = beginnings(fields, self.room(pairs, max_length))
        return self.framed(cuts, pairs, lost(cuts))

    def room(self, pairs: npt.NDArray[np.bool_], max_length: int) -> Ints:
        """``[rows]``, subwords that a row has for its text; ``pairs`` says which rows have two fields, ``[rows]``.

        Raises:
            EncoderError: there are none.
        """
        special = max(self.single.size, self.pair.size if pairs.any() else 0)
        if max_length <= special:
            raise EncoderError(f"max_length {max_length} leaves no room for text beside {special} special subwords")
        return max_length - np.where(pairs, self.pair.size, self.single.size)

    def uncut(self, words: list[str], left: Field, right: Field | None = None) -> list[Uncut]:
        """The subwords of each field."""
        table = self.table(words)
        return [table.look_up(field) for field in (left, right) if field is not None]

    def framed(
        self, cuts: Sequence[Cut], pairs: npt.NDArray[np.bool_], lost: Ints, owner: Ints | None = None, begin: Ints | None = None
    ) -> Encoded:
        """Rows made of a range of each field and special subwords.

        Args:
            cuts: of one or two fields.
            pairs: ``[rows]``, whether a row has two.
            lost, owner, begin: see ``Encoded``.
        """
        sizes = [np.where(pairs, len(two), len(one)) for one, two in zip(self.single, self.pair, strict=True)]
        starts = [sizes[0], sizes[0] + cuts[0].sizes + sizes[1]]  # of each field in its row
        lengths = np.sum([*sizes, *(cut.sizes for cut in cuts)], axis=0)
        offsets = starts_of(lengths)
        total, boundary = int(offsets[-1]), np.where(pairs, starts[1], lengths).astype(np.int32)
        subwords, word_shape_ids = np.zeros(total, dtype=np.int32), np.zeros(total, dtype=np.int8)
        for frame, rows in ((self.single, ~pairs), (self.pair, pairs)):
            for part, stop in zip(frame, (*starts, lengths), strict=True):
                subwords[((offsets[:-1] + stop)[rows, None] - len(part)) + np.arange(len(part))] = part
        for cut, start in zip(cuts, starts, strict=False):
            at, source = ranges(offsets[:-1] + start, cut.sizes), ranges(cut.starts, cut.sizes)
            subwords[at], word_shape_ids[at] = cut.field.subwords[source], cut.field.word_shape_ids[source]
        return Encoded(subwords, offsets, word_shape_ids, lost.astype(np.int32), boundary, owner, begin)

    def table(self, words: Sequence[str]) -> "Table":
        """The subwords of distinct words."""
        # Half a surrogate pair, which JSON can spell, has no UTF-8 form and would stop the tokenizer.
        clean = [[word.encode("utf-8", "replace").decode()] for word in words]
        with one_line(EncoderError, "the tokenizer cannot encode a text"):
            encodings = self._tokenizer.encode_batch(clean, is_pretokenized=True, add_special_tokens=False)
        ids = [encoding.ids or [self.unknown] for encoding in encodings]
        flat = np.array([subword for word in ids for subword in word], dtype=np.int32)
        word_shape_ids = np.array([1 + 2 * word_shape(word) for word in words], dtype=np.int8)
        return Table(flat, starts_of(np.array([len(word) for word in ids], dtype=np.int64)), word_shape_ids)

    def checksum(self) -> str:
        """sha256 of vocabulary and rules."""
        return hashlib.sha256(self._tokenizer.to_str().encode()).hexdigest()

    def copy(self) -> Tokenizer:
        """Its tokenizer of the library, to be changed."""
        return Tokenizer.from_str(self._tokenizer.to_str())

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``, to a temporary name first."""
        write_text(path, self._tokenizer.to_str(pretty=True))

    @classmethod
    def load(cls, path: Path) -> "SubwordTokenizer":
        """Read ``tokenizer.json``.

        Raises:
            EncoderError: the file is missing or not a tokenizer.
        """
        tokenizer = parse_tokenizer(path)
        with one_line(EncoderError, f"{path}: is not a tokenizer"), without_panic_message():
            return cls(tokenizer)

    @classmethod
    def train(cls, rows: Iterable[Sequence[str]], size: int) -> "SubwordTokenizer":
        """Learn lower-cased byte-level byte pairs (Sennrich et al. 2016, ACL; Radford et al. 2019): no character is unknown.

        Same rows, same vocabulary, in any process and order of rows. The WordPiece trainer of ``tokenizers`` is not like that: it
        breaks ties in the order of a randomly seeded hash table.

        Args:
            rows: tokens of the train rows.
            size: subwords in the vocabulary; the 256 bytes and 4 special subwords are always there.
        """
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        # Spaces around Chinese characters would cost a subword each.
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False, handle_chinese_chars=False)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(map(list, rows), trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(subword, tokenizer.token_to_id(subword)) for subword in ("[CLS]", "[SEP]")],
        )
        return cls(tokenizer)


def parse_tokenizer(path: Path) -> Tokenizer:
    """Read ``tokenizer.json``.

    Raises:
        EncoderError: the file is missing or not a tokenizer.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise EncoderError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise EncoderError(f"{path}: is not a tokenizer: {error}") from None
    with one_line(EncoderError, f"{path}: is not a tokenizer"), without_panic_message():
        return Tokenizer.from_str(content)


@contextmanager
def without_panic_message() -> Iterator[None]:
    """Hide what a panic in Rust prints, beside the exception that it raises: it writes to the process's standard error itself."""
    kept, null = -1, os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError):  # closed
        kept = os.dup(2)
        os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        if kept >= 0:
            os.dup2(kept, 2)
            os.close(kept)


def starts_of(sizes: npt.NDArray[Any]) -> Ints:
    """Where items of these sizes begin when laid end to end, and where the last ends: ``[n + 1]``."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def ranges(starts: Ints, sizes: Ints) -> Ints:
    """The integers of the ranges that begin there and have these sizes, end to end."""
    ends = np.cumsum(sizes)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + sizes, sizes)


class Table(NamedTuple):
    """The subwords of distinct words, end to end."""

    subwords: npt.NDArray[np.int32]
    starts: Ints
    """``[words + 1]``."""
    word_shape_ids: npt.NDArray[np.int8]
    """``[words]``, the shape class of each word's first subword."""

    def look_up(self, field: Field) -> Uncut:
        """The subwords of all rows of a field."""
        if (field.token < 0).any():
            return self._with_markers(field)
        sizes = np.diff(self.starts)[field.token]
        begin = starts_of(sizes)
        first = self.word_shape_ids[field.token]
        word_shape_ids = np.repeat(first + (first > 0), sizes)
        word_shape_ids[begin[:-1]] = first
        offsets = begin[starts_of(np.maximum(field.counts, 0))]
        return Uncut(self.subwords[ranges(self.starts[field.token], sizes)], word_shape_ids, offsets)

    def _with_markers(self, field: Field) -> Uncut:
        """Markers are one more word each, of the shape class of special subwords."""
        markers = np.unique(field.token[field.token < 0])
        table = Table(
            np.concatenate([self.subwords, ~markers]).astype(np.int32),
            np.concatenate([self.starts, self.starts[-1] + 1 + np.arange(len(markers))]),
            np.concatenate([self.word_shape_ids, np.zeros(len(markers), dtype=np.int8)]),
        )
        words = len(self.word_shape_ids) + np.searchsorted(markers, field.token)
        return table.look_up(Field(np.where(field.token < 0, words, field.token), field.counts))


def with_two_fields(left: Field, right: Field | None) -> npt.NDArray[np.bool_]:
    """``[rows]``, whether a row has two fields."""
    return np.zeros(len(left.counts), dtype=np.bool_) if right is None else right.counts >= 0


def beginnings(fields: Sequence[Uncut], room: Ints) -> list[Cut]:
    """As much of the left field as has room, ``[rows]``, then of the right one."""
    cuts = []
    for field in fields:
        cuts.append(Cut(field, field.offsets[:-1], np.minimum(field.lengths, room)))
        room = room - cuts[-1].sizes
    return cuts


def lost(cuts: Sequence[Cut]) -> Ints:
    """``[rows]``, tokens beyond what is kept of the beginning of each field."""
    beyond: Ints = np.sum([cut.field.lost(cut.sizes) for cut in cuts], axis=0)
    return beyond


def _frame(sample: Encoding) -> Frame:
    """The special subwords of an encoded sample of one or two fields."""
    ids, fields = np.array(sample.ids, dtype=np.int32), np.array([-1 if field is None else field for field in sample.sequence_ids])
    left, right = (np.flatnonzero(fields == field) for field in (0, 1))
    last = right if len(right) else left
    return Frame(ids[: left[0]], ids[left[-1] + 1 : last[0]], ids[last[-1] + 1 :])


def _check_indices(tokenizer: Tokenizer) -> None:
    """The library walks through all indices up to the highest one, whether they are used or not.

    Raises:
        EncoderError: far more are unused than used.
    """
    indices = tokenizer.get_vocab(with_added_tokens=True).values()
    if (highest := max(indices, default=0)) > 4 * len(indices) + UNUSED:
        raise EncoderError(f"the tokenizer has {len(indices)} subwords, but one of them has the index {highest}")


def _for_single_words(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that neither pads nor cuts, reads special subwords in a text as plain text, and encodes each token by itself."""
    spec = json.loads(tokenizer.to_str())
    spec["truncation"] = spec["padding"] = None
    _separate_words(spec.get("pre_tokenizer"))
    copy = Tokenizer.from_str(json.dumps(spec))
    copy.encode_special_tokens = True
    return copy


def _separate_words(step: dict[str, Any] | None) -> None:
    """Have byte-level pre-tokenizers (RoBERTa's and its like) mark the start of every token by a space; metaspace ones do so anyway."""
    if step is None:
        return
    for part in step.get("pretokenizers", ()):
        _separate_words(part)
    if step["type"] == "ByteLevel":
        step["add_prefix_space"] = True


def _unknown(tokenizer: Tokenizer) -> int:
    """The subword for a token that yields none: the unknown subword, else another special one.

    Raises:
        EncoderError: the vocabulary has none of them.
    """
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    candidates = [model.get("unk_token"), "[UNK]", "<unk>", "[MASK]", "<mask>"]
    known = [tokenizer.token_to_id(subword) for subword in candidates if subword]
    unknown = [subword for subword in known if subword is not None]
    if not unknown:
        raise EncoderError(f"the tokenizer has no unknown subword; looked for: {', '.join(filter(None, candidates))}")
    return int(unknown[0])
