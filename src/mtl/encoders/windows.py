"""Rows longer than the encoder takes, as windows that overlap, so that no token goes unseen."""

from collections.abc import Iterator, Sequence

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
        stride: the subwords from the start of a window to that of the next one, which starts at the first token there. By default the next
            one starts in the middle.

    Raises:
        EncoderError: ``max_length`` leaves no room beside the special subwords.
    """
    words, left, other = tokenizer.coded(rows, right)
    fields, pairs = tokenizer.uncut(words, left, other), with_two_fields(left, other)
    room = tokenizer.room(pairs, max_length)
    too_long = lost(beginnings(fields, room)) > 0
    repeated = np.where(pairs, np.minimum(fields[0].lengths, np.where(too_long, room // 2, room)), 0)
    slide = room - repeated
    steps = np.where(pairs, slide // 2, max_length // 2 - len(tokenizer.single.first)) if stride is None else np.full(len(rows), stride)

    owner, place, begin = _windows(fields, pairs, too_long, slide, steps)
    own, cuts = pairs[owner], []
    for field, slides, size in zip(fields, (~own, own), (repeated, 0 * repeated), strict=False):
        starts, rest = field.offsets[owner] + np.where(slides, place, 0), field.lengths[owner] - place
        cuts.append(Cut(field, starts, np.where(slides, np.minimum(rest, slide[owner]), size[owner])))
    unseen = np.where(pairs, fields[0].lost(repeated), 0)
    return tokenizer.framed(cuts, own, np.concatenate([unseen, 0 * owner[len(rows) :]]), owner=owner, begin=begin)


def _windows(fields: Sequence[Uncut], pairs: Mask, too_long: Mask, sizes: Ints, steps: Ints) -> tuple[Ints, Ints, Ints]:
    """Of each window its row, and the subword and the token of the sliding field that it begins with."""
    rows = len(pairs)
    further = sorted(
        (number, row, place, token)
        for row in np.flatnonzero(too_long).tolist()
        for number, (place, token) in enumerate(_starts(_tokens(fields[int(pairs[row])], row), int(sizes[row]), int(steps[row])))
    )
    columns = np.array(further, dtype=np.int64).reshape(-1, 4).T[1:]
    first = np.array([np.arange(rows), np.zeros(rows), np.zeros(rows)], dtype=np.int64)
    owner, place, begin = np.concatenate([first, columns], axis=1)
    return owner, place, begin


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
