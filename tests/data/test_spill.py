"""Scratch files of parts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data import spill
from mtl.data.spill import Spill, divided
from mtl.errors import StorageError

SCHEMA = pa.schema([pa.field("words", pa.list_(pa.string())), pa.field("number", pa.int64())])


def spilled(path: Path, parts: list[int]) -> Spill:
    with Spill(path, SCHEMA) as file:
        for size in parts:
            numbers = range(len(file), len(file) + size)
            file.write(pa.table({"words": [[str(number)] * (number % 3) for number in numbers], "number": list(numbers)}, schema=SCHEMA))
    return file


def test_rows_are_read_by_their_numbers(tmp_path: Path) -> None:
    file = spilled(tmp_path / "rows", [3, 1, 4, 2])
    assert len(file) == 10
    parts = list(file.read(np.array([0, 2, 8, 9])))
    assert [numbers.tolist() for numbers, _ in parts] == [[0, 2], [8, 9]]  # the others are not read
    assert [table["number"].to_pylist() for _, table in parts] == [[0, 2], [8, 9]]
    assert pa.concat_tables([table for _, table in file.read(np.arange(10))])["words"].to_pylist()[4] == ["4"]
    assert list(file.read(np.array([], np.int64))) == []


def test_parts_end_by_rows_or_by_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "ROWS", 3)
    monkeypatch.setattr(spill, "TOKENS", 10)
    assert list(spill.parts([1, 2, 3, 4, 9, 20, 1], int)) == [[1, 2, 3], [4, 9], [20], [1]]
    assert list(spill.parts([], int)) == []


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    file = spilled(tmp_path / "rows", [])
    assert len(file) == 0
    assert list(file.read(np.array([], np.int64))) == []


def test_a_full_disk_is_named(disk: Path) -> None:
    words = [np.random.default_rng(i).bytes(512).hex() for i in range(200)]
    with pytest.raises(StorageError, match=r"rows: the disk is full"), Spill(disk / "rows", SCHEMA) as file:
        file.write(pa.table({"words": [[word] for word in words], "number": list(range(200))}, schema=SCHEMA))


@given(st.lists(st.integers(0, 5), max_size=6), st.data())
def test_numbers_are_divided_by_ranges(sizes: list[int], data: st.DataObject) -> None:
    starts = np.cumsum([0, *sizes]).tolist()
    rows = sorted(data.draw(st.sets(st.integers(0, max(starts[-1] - 1, 0))))) if starts[-1] else []
    parts = divided(np.array(rows, np.int64), starts)
    assert [part.tolist() for part in parts] == [
        [row for row in rows if start <= row < start + size] for start, size in zip(starts, sizes, strict=False)
    ]
