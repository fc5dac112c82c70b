"""Scratch files of parts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mtl.data.spill import Spill, divided

SCHEMA = pa.schema([pa.field("words", pa.list_(pa.string())), pa.field("number", pa.int64())])


def spilled(path: Path, parts: list[int]) -> Spill:
    with Spill(path, SCHEMA) as spill:
        for size in parts:
            numbers = range(len(spill), len(spill) + size)
            spill.write(pa.table({"words": [[str(number)] * (number % 3) for number in numbers], "number": list(numbers)}, schema=SCHEMA))
    return spill


def test_rows_are_read_by_their_numbers(tmp_path: Path) -> None:
    spill = spilled(tmp_path / "rows", [3, 1, 4, 2])
    assert len(spill) == 10
    parts = list(spill.read(np.array([0, 2, 8, 9])))
    assert [numbers.tolist() for numbers, _ in parts] == [[0, 2], [8, 9]]  # the others are not read
    assert [table["number"].to_pylist() for _, table in parts] == [[0, 2], [8, 9]]
    assert pa.concat_tables([table for _, table in spill.read(np.arange(10))])["words"].to_pylist()[4] == ["4"]
    assert list(spill.read(np.array([], np.int64))) == []


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    spill = spilled(tmp_path / "rows", [])
    assert len(spill) == 0
    assert list(spill.read(np.array([], np.int64))) == []


@given(st.lists(st.integers(0, 5), max_size=6), st.data())
def test_numbers_are_divided_by_ranges(sizes: list[int], data: st.DataObject) -> None:
    starts = np.cumsum([0, *sizes]).tolist()
    rows = sorted(data.draw(st.sets(st.integers(0, max(starts[-1] - 1, 0))))) if starts[-1] else []
    parts = divided(np.array(rows, np.int64), starts)
    assert [part.tolist() for part in parts] == [
        [row for row in rows if start <= row < start + size] for start, size in zip(starts, sizes, strict=False)
    ]
