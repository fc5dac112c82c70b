"""Rows longer than the encoder takes, as windows that overlap, so that no token goes unseen."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtl.encoders.tokenizer import Cut, Encoded, Ints, Row, SubwordTokenizer, Uncut, beginnings, lost, with_two_fields

Mask = npt.NDArray[np.bool_]


def encode_windows(
    tokenizer: SubwordTokenizer,
    rows: Sequence[Row],
    max_length: int,
    right: Sequence[Row | None] | None = None,
    stride: int | None = None,
) -> Encoded:
    """Encode rows, with further windows of those that are too long. ``owner`` is the row of each, ``word_ids`` count from the row's start.

    The windows of a row of two fields repeat the left one, such as a question, and slide over the right one. Where not all fits, the left
    field keeps half of the room at most. The first windows come first, in the order of the rows.

    Args:
        tokenizer: of the encoder.
        rows, max_length, right: see ``SubwordTokenizer.encode``.
        stride: at most so many subwords from the start of a window to that of the next one, which starts at the first token there. By
            default, and at most, half of a window.

    Raises:
        EncoderError: ``max_length`` leaves no room beside the special subwords.
    """
    words, left, other = tokenizer.coded(rows, right)
    return windows(tokenizer, tokenizer.uncut(words, left, other), with_two_fields(left, other), max_length, stride)


def windows(tokenizer: SubwordTokenizer, fields: list[Uncut], pairs: Mask, max_length: int, stride: int | None = None) -> Encoded:
    """The same of rows that are subwords already; ``pairs`` says which rows have two fields, ``[rows]``."""
    sliding = _sliding(tokenizer, fields, pairs, max_length, stride)
    owner, place, begin = sliding.windows()
    unseen = np.where(pairs, fields[0].lost(sliding.repeated), 0)
    unseen = np.concatenate([unseen, 0 * owner[len(pairs) :]])
    return tokenizer.framed(sliding.cuts(owner, place), pairs[owner], unseen, owner=owner, begin=begin)


def around(
    tokenizer: SubwordTokenizer, fields: list[Uncut], pairs: Mask, max_length: int, passages: Ints, stride: int | None = None
) -> Encoded:
    """Rows, each cut to one window: the one of ``windows`` in which a passage has the most context on both sides.

    Args:
        tokenizer, fields, pairs, max_length, stride: see ``windows``.
        passages: ``[rows, 2]``, the tokens ``[start, end)`` of each in the last field; -1 for a row whose beginning is kept.
    """
    sliding = _sliding(tokenizer, fields, pairs, max_length, stride)
    moved = sliding.too_long & (passages[:, 0] >= 0)
    place, begin = np.zeros((2, len(moved)), dtype=np.int64)
    for row in np.flatnonzero(moved).tolist():
        place[row], begin[row] = sliding.around(row, *passages[row].tolist())
    whole_left = np.where(sliding.pairs, np.minimum(sliding.fields[0].lengths, sliding.room), 0)
    cuts = sliding._replace(repeated=np.where(moved, sliding.repeated, whole_left)).cuts(np.arange(len(moved)), place)
    unseen = begin + np.sum([cut.field.lost(cut.starts + cut.sizes - cut.field.offsets[:-1]) for cut in cuts], axis=0)
    return tokenizer.framed(cuts, sliding.pairs, unseen, begin=begin)


class _Sliding(NamedTuple):
    """How the windows of some rows slide over their last field; all arrays ``[rows]``."""

    fields: list[Uncut]
    pairs: Mask
    """Whether a row has two fields."""
    room: Ints
    """Subwords of a window beside special ones."""
    too_long: Mask
    repeated: Ints
    """Subwords of the left field of a pair in each window."""
    steps: Ints
    """Subwords from the start of a window to that of the next one."""

    @property
    def size(self) -> Ints:
        """Subwords of the last field in a window."""
        return self.room - self.repeated

    def starts(self, row: int) -> Iterator[tuple[int, int]]:
        """The subword and the token that each window but the first starts with."""
        return _starts(_tokens(self.fields[int(self.pairs[row])], row), int(self.size[row]), int(self.steps[row]))

    def windows(self) -> tuple[Ints, Ints, Ints]:
        """Of each window its row, and the subword and the token of the last field that it begins with."""
        further = sorted(
            (number, row, place, token)
            for row in np.flatnonzero(self.too_long).tolist()
            for number, (place, token) in enumerate(self.starts(row))
        )
        columns = np.array(further, dtype=np.int64).reshape(-1, 4).T[1:]
        rows = len(self.pairs)
        first = np.array([np.arange(rows), np.zeros(rows), np.zeros(rows)], dtype=np.int64)
        owner, place, begin = np.concatenate([first, columns], axis=1)
        return owner, place, begin

    def around(self, row: int, start: int, end: int) -> tuple[int, int]:
        """The subword and the token that begin the window in which tokens ``[start, end)`` have the most context."""
        field = self.fields[int(self.pairs[row])]
        begins: list[int] = [*_tokens(field, row).tolist(), int(field.lengths[row])]
        first, last, size = int(begins[start]), int(begins[end]), int(self.size[row])

        def context(window: tuple[int, int]) -> int:
            return min(first - window[0], window[0] + size - last)

        return max([(0, 0), *self.starts(row)], key=context)

    def cuts(self, owner: Ints, place: Ints) -> list[Cut]:
        """The ranges of both fields in windows that begin at a subword of the last one."""
        own, cuts = self.pairs[owner], []
        for field, slides, size in zip(self.fields, (~own, own), (self.repeated, 0 * self.repeated), strict=False):
            starts, rest = field.offsets[owner] + np.where(slides, place, 0), field.lengths[owner] - place
            cuts.append(Cut(field, starts, np.where(slides, np.minimum(rest, self.size[owner]), size[owner])))
        return cuts


def _sliding(tokenizer: SubwordTokenizer, fields: list[Uncut], pairs: Mask, max_length: int, stride: int | None) -> _Sliding:
    room = tokenizer.room(pairs, max_length)
    too_long = lost(beginnings(fields, room)) > 0
    repeated = np.where(pairs, np.minimum(fields[0].lengths, np.where(too_long, room // 2, room)), 0)
    steps = np.where(pairs, (room - repeated) // 2, max_length // 2 - len(tokenizer.single.first))
    return _Sliding(fields, pairs, room, too_long, repeated, steps if stride is None else np.minimum(steps, stride))


def _tokens(field: Uncut, row: int) -> Ints:
    """``[tokens]``, the subword that each token of a row starts with."""
    return np.flatnonzero(field.word_shape_ids[field.offsets[row] : field.offsets[row + 1]] % 2)


def _starts(tokens: Ints, size: int, step: int) -> Iterator[tuple[int, int]]:
    """The subword and the token that each window but the first starts with."""
    place = token = 0
    while len(tokens) and tokens[-1] >= place + size:
        token = max(token + 1, int(np.searchsorted(tokens, place + min(step, size))))
        place = int(tokens[token])
        yield place, token


def best_windows(encoded: Encoded, windows: Sequence[int]) -> tuple[Ints, Ints]:
    """For each token of a row, the window in which it is farthest from an edge, and its index among the tokens of that window.

    The ends of the text are not edges: nothing is missing there. Of a row of two fields, the tokens are those of the right one.

    Args:
        encoded: from ``encode_windows``.
        windows: those of one row, in order.

    Returns:
        Index into ``windows``, and index into the tokens of that field in the window, both ``[tokens]``.
    """
    own_rows = np.asarray(windows)
    begins, ends, second = encoded.offsets[own_rows], encoded.offsets[own_rows + 1], encoded.boundary[own_rows]
    begins = begins + np.where(begins + second < ends, second, 0)
    words = [encoded.word_ids[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    tokens = max(int(word_ids.max(initial=-1)) for word_ids in words) + 1
    distance, window, place = np.full(tokens, -1.0), np.zeros(tokens, dtype=np.int64), np.zeros(tokens, dtype=np.int64)
    for i, word_ids in enumerate(words):
        (at,) = np.nonzero(word_ids >= 0)
        left = at if i else np.inf
        right = len(word_ids) - 1 - at if i + 1 < len(words) else np.inf
        own = np.minimum(left, right) + np.zeros(len(at))
        better = own > distance[word_ids[at]]
        chosen = word_ids[at][better]
        distance[chosen], window[chosen], place[chosen] = own[better], i, np.flatnonzero(better)
    return window, place
