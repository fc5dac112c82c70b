"""Rows longer than the encoder takes, as windows that overlap by half, so that no token goes unseen."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtl.encoders.tokenizer import Encoded, SubwordTokenizer

Places = npt.NDArray[np.int64]


def encode_windows(tokenizer: SubwordTokenizer, rows: Sequence[Sequence[str]], max_length: int) -> Encoded:
    """Encode rows, with further windows of those that are too long; ``owner`` says whose each is, ``word`` counts from the row's start.

    A window starts at the token that stands in the middle of the one before it. The first windows come first, in the order of the rows.

    Raises:
        EncoderError: ``max_length`` leaves no room beside the special subwords.
    """
    owner, begin = np.arange(len(rows)), np.zeros(len(rows), dtype=np.int64)
    parts, owners, begins = [tokenizer.encode(rows, max_length)], [owner], [begin]
    while len(owner := owner[parts[-1].lost > 0]):
        begin = begin[parts[-1].lost > 0] + _middles(parts[-1])
        # Tokens have a subword at least, so that more than these cannot be in the window; one more tells whether it is the last.
        texts = [rows[row][start : start + max_length + 1] for row, start in zip(owner.tolist(), begin.tolist(), strict=True)]
        parts.append(tokenizer.encode(texts, max_length))
        owners.append(owner)
        begins.append(begin)
    subwords, word_shape_ids, lengths = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("subwords", "word_shape_ids", "lengths")
    )
    lost = np.zeros(len(lengths), dtype=np.int32)  # to all windows
    return Encoded(
        subwords, np.concatenate([[0], np.cumsum(lengths)]), word_shape_ids, lost, np.concatenate(owners), np.concatenate(begins)
    )


def _middles(encoded: Encoded) -> Places:
    """For each row that was cut, how many tokens start before its middle, at least one."""
    places = np.arange(len(encoded.subwords)) - np.repeat(encoded.offsets[:-1], encoded.lengths)
    before = (encoded.word_ids >= 0) & (places < np.repeat(encoded.lengths // 2, encoded.lengths))
    counts = np.add.reduceat(before, encoded.offsets[:-1]) if len(encoded) else np.zeros(0, dtype=np.int64)
    middles: Places = np.maximum(counts, 1)[encoded.lost > 0]
    return middles


def best_windows(encoded: Encoded, windows: Sequence[int]) -> tuple[Places, Places]:
    """For each token of a row, the window that it stands farthest from an edge of, and its place among the tokens of that window.

    The ends of the text are no edges: nothing is missing there.

    Args:
        encoded: from ``encode_windows``.
        windows: those of one row, in order.

    Returns:
        Index into ``windows`` and into the tokens of the window, both ``[tokens]``.
    """
    word = encoded.word_ids
    words = [word[encoded.offsets[w] : encoded.offsets[w + 1]] for w in windows]
    tokens = max(int(word.max()) for word in words) + 1
    distance, window, place = np.full(tokens, -1.0), np.zeros(tokens, dtype=np.int64), np.zeros(tokens, dtype=np.int64)
    for i, own_words in enumerate(words):
        (at,) = np.nonzero(own_words >= 0)
        left = at if i else np.inf
        right = len(own_words) - 1 - at if i + 1 < len(words) else np.inf
        own = np.minimum(left, right) + np.zeros(len(at))
        better = own > distance[own_words[at]]
        chosen = own_words[at][better]
        distance[chosen], window[chosen], place[chosen] = own[better], i, np.flatnonzero(better)
    return window, place
