"""Tokens to subwords: flat arrays that know, for each subword, whether a token starts there and what shape its word has."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from mtl.errors import EncoderError
from mtl.files import write_text

WORD_SHAPES = ("lower", "upper", "title", "digit", "punctuation", "mixed")
SHAPES = 1 + 2 * len(WORD_SHAPES)
"""Shape classes: 0 for special subwords; 1 + 2s for the first and 2 + 2s for an inner subword of a word of shape s."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """Rows as flat arrays; row i is ``offsets[i]:offsets[i + 1]``."""

    subwords: npt.NDArray[np.integer]
    """``[n_subwords]``, vocabulary indices."""
    offsets: npt.NDArray[np.int64]
    """``[rows + 1]``."""
    word_shape_ids: npt.NDArray[np.int8]
    """``[n_subwords]``, shape class of the word; odd at the first subword of each token, even elsewhere."""
    lost: npt.NDArray[np.int32]
    """``[rows]``, tokens without a subword because the row was too long."""
    owner: npt.NDArray[np.int64] | None = None
    """``[rows]``, where rows are windows of longer ones: the row that each is cut from (see ``mtl.encoders.windows``)."""
    begin: npt.NDArray[np.int64] | None = None
    """``[rows]``, of windows: the token that each begins with."""
    numbers: npt.NDArray[np.int32] | None = None
    """``[vocabulary]``, where the encoder is narrowed: what each subword goes by there."""

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """``[rows]``, subwords of each row."""
        return np.diff(self.offsets)

    @property
    def word_ids(self) -> npt.NDArray[np.int32]:
        """``[n_subwords]``, index of the token at its first subword, -1 on special and continuation subwords."""
        first = self.word_shape_ids % 2 == 1
        before = np.concatenate([[0], np.cumsum(first)])
        begin = before[self.offsets[:-1]] - (0 if self.begin is None else self.begin)
        return np.where(first, before[:-1] - np.repeat(begin, self.lengths), -1).astype(np.int32)

    def take(self, rows: npt.NDArray[np.integer]) -> "Encoded":
        """Some of the rows, in this order."""
        owner, begin = (None if array is None else array[rows] for array in (self.owner, self.begin))
        return Encoded(*taken(self.subwords, self.word_shape_ids, self.offsets, rows), self.lost[rows], owner, begin, self.numbers)

    def digest(self) -> str:
        """sha256 of all rows."""
        found = hashlib.sha256()
        for array in (self.subwords, self.word_shape_ids, self.offsets):
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()


class Flat(Protocol):
    """An array, or a file that can be read like one."""

    def __getitem__(self, part: slice, /) -> npt.NDArray[Any]:
        """A part of it."""


def taken(subwords: Flat, word_shape_ids: Flat, offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.integer]) -> tuple[Any, Any, Any]:
    """Subwords, offsets and word_shape_ids of some rows."""
    parts = [slice(start, stop) for start, stop in zip(offsets[rows].tolist(), offsets[rows + 1].tolist(), strict=True)]
    own = [np.concatenate([flat[part] for part in parts]) if parts else flat[0:0] for flat in (subwords, word_shape_ids)]
    return own[0], _starts(offsets[rows + 1] - offsets[rows]), own[1]


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
        self._tokenizer = _for_single_words(tokenizer)
        sample = self._tokenizer.encode(["a"], is_pretokenized=True)
        special = np.array(sample.special_tokens_mask, dtype=bool)
        body = np.flatnonzero(~special)
        self._first = np.array(sample.ids[: body[0]], dtype=np.int32)
        self._last = np.array(sample.ids[body[-1] + 1 :], dtype=np.int32)
        self.unknown = _unknown(self._tokenizer)

    @property
    def size(self) -> int:
        """The number of subwords in the vocabulary."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def special(self) -> int:
        """How many special subwords frame a row."""
        return len(self._first) + len(self._last)

    def encode(self, rows: Sequence[Sequence[str]], max_length: int) -> Encoded:
        """Encode rows of tokens, cutting each at ``max_length`` subwords, special ones included.

        Raises:
            EncoderError: ``max_length`` leaves no room beside the special subwords.
        """
        index: dict[str, int] = {}
        token = np.array([index.setdefault(word, len(index)) for row in rows for word in row], dtype=np.int64)
        return self.encode_distinct(list(index), token, np.array([len(tokens) for tokens in rows], dtype=np.int64), max_length)

    def encode_distinct(self, words: list[str], token: Ints, counts: Ints, max_length: int) -> Encoded:
        """The same for rows given by their distinct tokens.

        Args:
            words: the distinct tokens.
            token: ``[tokens]``, the place in ``words`` of each token of all rows, end to end.
            counts: ``[rows]``, tokens of each row.
            max_length: as in ``encode``.
        """
        room = max_length - self.special
        if room < 1:
            raise EncoderError(f"max_length {max_length} leaves no room for text beside {self.special} special subwords")
        rows = len(counts)
        subwords, starts, word_shape_ids = self._words(words)
        row = np.repeat(np.arange(rows), counts)
        first_of_row = _starts(counts)
        sizes = np.diff(starts)[token]
        begin = _starts(sizes)  # of each token, in the uncut text of all rows
        row_begin = begin[first_of_row]

        of = np.repeat(np.arange(len(token)), sizes)  # the token of each subword
        inner = np.arange(len(of)) - begin[of]
        place = np.arange(len(of)) - row_begin[row[of]]
        of, inner, place = (array[place < room] for array in (of, inner, place))

        offsets = _starts(np.minimum(np.diff(row_begin), room) + self.special)
        encoded = self._framed(offsets, rows)
        at = offsets[row[of]] + len(self._first) + place
        encoded.subwords[at] = subwords[starts[token[of]] + inner]
        encoded.word_shape_ids[at] = word_shape_ids[token[of]] + (inner > 0)
        encoded.lost[:] = np.bincount(row[begin[:-1] - row_begin[row] >= room], minlength=rows)
        return encoded

    def _framed(self, offsets: Ints, rows: int) -> Encoded:
        """Empty rows of the given size with their special subwords."""
        total = int(offsets[-1])
        subwords = np.zeros(total, dtype=np.int32)
        subwords[offsets[:-1, None] + np.arange(len(self._first))] = self._first
        subwords[offsets[1:, None] - len(self._last) + np.arange(len(self._last))] = self._last
        return Encoded(subwords, offsets, np.zeros(total, dtype=np.int8), np.zeros(rows, dtype=np.int32))

    def _words(self, words: list[str]) -> tuple[npt.NDArray[np.int32], Ints, npt.NDArray[np.int8]]:
        """Subwords of all words end to end, where each starts ``[words + 1]``, and the shape class of its first subword."""
        # Half a surrogate pair, which JSON can spell, has no UTF-8 form and would stop the tokenizer.
        clean = [[word.encode("utf-8", "replace").decode()] for word in words]
        encodings = self._tokenizer.encode_batch(clean, is_pretokenized=True, add_special_tokens=False)
        ids = [encoding.ids or [self.unknown] for encoding in encodings]
        flat = np.array([subword for word in ids for subword in word], dtype=np.int32)
        word_shape_ids = np.array([1 + 2 * word_shape(word) for word in words], dtype=np.int8)
        return flat, _starts(np.array([len(word) for word in ids], dtype=np.int64)), word_shape_ids

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``, to a temporary name first."""
        write_text(path, self._tokenizer.to_str(pretty=True))

    @classmethod
    def load(cls, path: Path) -> "SubwordTokenizer":
        """Read ``tokenizer.json``.

        Raises:
            EncoderError: the file is missing or no tokenizer.
        """
        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise EncoderError(f"{path}: cannot be read: {error.strerror}") from None
        except Exception as error:  # the library raises bare Exception
            raise EncoderError(f"{path}: is no tokenizer: {error}") from None
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
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
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
            single="[CLS] $A [SEP]", special_tokens=[(subword, tokenizer.token_to_id(subword)) for subword in ("[CLS]", "[SEP]")]
        )
        return cls(tokenizer)


def _starts(sizes: npt.NDArray[Any]) -> Ints:
    """Where items of these sizes begin when laid end to end, and where the last ends: ``[n + 1]``."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def _for_single_words(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that neither pads nor cuts, reads special subwords in a text as plain text, and takes each token as a word of its own."""
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
    found = [subword for subword in known if subword is not None]
    if not found:
        raise EncoderError(f"the tokenizer has no unknown subword; looked for: {', '.join(filter(None, candidates))}")
    return int(found[0])
