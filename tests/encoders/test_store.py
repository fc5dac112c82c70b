"""Encoded rows in files: the same rows as in memory, read back in any order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.store import Coded, coded, encode_stored
from mtl.encoders.tokenizer import Marker, with_markers

ROWS = [["one", "row"], [], ["another", "unfathomable", "ROW", "3"], ["last"], ["x"] * 40]
FIELDS = ("subwords", "offsets", "word_shape_ids", "lost", "word_ids", "boundary")


@pytest.fixture(scope="module")
def tokenizer() -> SubwordTokenizer:
    return SubwordTokenizer.train(ROWS, 300)


def parts(*cuts: int) -> list[pa.Array]:
    rows = pa.array(ROWS, pa.list_(pa.string()))
    return [rows.slice(start, stop - start) for start, stop in zip([0, *cuts], [*cuts, len(ROWS)], strict=True)]


def same(one: Encoded, other: Encoded) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("cuts", [(), (2,), (0, 1, 2, 3, 4)])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [4, 0, 4, 1], [2], [1], []])
def test_rows_are_read_back_as_they_were_encoded(
    tokenizer: SubwordTokenizer, tmp_path: Path, cuts: tuple[int, ...], rows: list[int]
) -> None:
    stored, chosen = encode_stored(tokenizer, parts(*cuts), 16, tmp_path), np.array(rows, dtype=np.int64)
    found = stored.take(chosen)
    same(found, tokenizer.encode([ROWS[row] for row in rows], 16))
    same(found, tokenizer.encode(ROWS, 16).take(chosen))
    np.testing.assert_array_equal(found.lengths, stored.lengths[chosen])
    assert not list(tmp_path.iterdir())


def test_what_is_known_of_all_rows(tokenizer: SubwordTokenizer) -> None:
    stored, encoded = encode_stored(tokenizer, parts(3), 16), tokenizer.encode(ROWS, 16)
    assert stored.used.tolist() == sorted(set(encoded.subwords.tolist()))
    assert stored.lost.tolist() == encoded.lost.tolist()
    assert stored.lost[4] > 0
    other = encode_stored(tokenizer, parts(3)[:1], 16)
    assert stored.digest() == encode_stored(tokenizer, parts(3), 16).digest() != other.digest()


def test_no_rows(tokenizer: SubwordTokenizer) -> None:
    stored = encode_stored(tokenizer, [], 16)
    assert len(stored.lengths) == len(stored.used) == 0
    assert len(stored.take(np.array([], dtype=np.int64)).subwords) == 0


def test_rows_of_two_fields_and_of_one_are_read_back(tokenizer: SubwordTokenizer) -> None:
    rights = [["a", "row"], [], None, ["x"] * 30, ["y"]]
    left, right = pa.array(ROWS, pa.list_(pa.string())), pa.array(rights, pa.list_(pa.string()))
    mixed = [coded(left[1:4], right[1:4]), left]  # slices have the strings of the whole behind them
    stored = encode_stored(tokenizer, mixed, 16)
    expected = tokenizer.encode([*ROWS[1:4], *ROWS], 16, [*rights[1:4], *[None] * 5])
    for rows in ([0, 1, 2, 3, 4, 5, 6, 7], [2, 0]):
        same(stored.take(np.array(rows)), expected.take(np.array(rows)))
    assert stored.take(np.array([0])).pairs.tolist() == [True]
    assert stored.digest() != encode_stored(tokenizer, [left[1:4], left], 16).digest()


def test_markers_are_stored(tmp_path: Path) -> None:
    tokenizer = SubwordTokenizer.train(ROWS, 300)
    ids = tokenizer.add_markers(["[E1]"])
    words, left, right, _ = coded(pa.array(ROWS[:1], pa.list_(pa.string())))
    part = Coded(words, with_markers(left, np.array([[1]]), np.array([ids["[E1]"]])), right)
    same(encode_stored(tokenizer, [part], 16).take(np.array([0])), tokenizer.encode([["one", Marker("[E1]"), "row"]], 16))
