"""Tokens change places within their segment, tags do not."""

from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest

from mtl.augment.randomness import Stream
from mtl.augment.shuffle_within_segments import ShuffleWithinSegmentsAugmenter
from mtl.config import ShuffleWithinSegments

from .rows import tagged
from .test_mention_replace import two_labels


def shuffled(rows: pa.Table, rate: float = 1.0, copies: int = 60) -> list[dict[str, Any]]:
    spec = ShuffleWithinSegments(type="shuffle_within_segments", rate=rate, copies=copies)
    variants: list[dict[str, Any]] = ShuffleWithinSegmentsAugmenter(spec, Stream(1, "s")).augment(rows).to_pylist()
    return variants


@pytest.mark.parametrize(
    ("a", "b", "segments"),
    [
        ("O O B-x I-x I-x O O", None, "0 0 1 1 1 2 2"),
        ("B-x B-x I-x B-y I-y O O", None, "0 1 1 2 2 3 3"),
        ("O O O O O O O", None, "0 0 0 0 0 0 0"),
        ("O O B-x I-x I-x I-x O", "O O O B-y I-y O O", "0 0 1 2 2 3 4"),
    ],
)
def test_tokens_go_everywhere_in_their_segment_and_nowhere_else(a: str, b: str | None, segments: str):
    words = ["a", "b", "c", "d", "e", "f", "g"]
    reached = defaultdict(set)
    for row in shuffled(two_labels((" ".join(words), a, b))):
        if row["reason"] is None:
            assert row["a"] == a.split()
            assert row["b"] == (b and b.split())
            for place, token in enumerate(row["tokens"]):
                reached[token].add(place)
    number = segments.split()
    assert reached == {word: {p for p in range(7) if number[p] == number[own]} for own, word in enumerate(words)}


def test_the_rate_is_the_chance_of_a_segment():
    words, tags = ["p", "q", "r", "s", "t", "u"], ["B-x"] + ["I-x"] * 5
    rows = shuffled(tagged(*[(words * 10, tags * 10)] * 50), 0.3, 1)
    changed = sum(row["tokens"][start : start + 6] != words for row in rows for start in range(0, 60, 6) if row["reason"] is None)
    assert abs(changed / 500 - 0.3) < 0.06  # one in 720 shuffles changes nothing
