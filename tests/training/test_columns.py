"""Labels of many rows in few bytes: whatever the parts they come in, they read as the list that they stand for."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtl.data.labels.base import Storage
from mtl.training.columns import PART, Column, Columns

CLASSES = ["a", None, "b", "a", "c", None]
NUMBERS = [1.5, None, -2.0, 0.0, None, 3.25]
TAGS = [["O", "B-x"], None, [], ["B-y"], ["O", "O", "I-x"], None]
ARROW: dict[Storage, pa.DataType] = {"codes": pa.string(), "numbers": pa.float64(), "code_lists": pa.list_(pa.string())}


def column(storage: Storage, labels: list[Any]) -> Column:
    return Column.of(pa.chunked_array([pa.array(labels, ARROW[storage])]), storage)


@pytest.mark.parametrize(("storage", "labels"), [("codes", CLASSES), ("numbers", NUMBERS), ("code_lists", TAGS)])
@pytest.mark.parametrize("cuts", [[6], [2, 4], [1, 1, 1, 1, 1, 1], [0, 6, 0]])
def test_parts_read_as_the_whole(storage: Storage, labels: list[Any], cuts: list[int]) -> None:
    whole, start = Columns(storage), 0
    for size in cuts:
        whole.add(column(storage, labels[start : start + size]))
        start += size
    whole.skip(2)
    joined = whole.joined()
    assert joined.storage == storage
    assert list(joined) == [*labels, None, None]
    assert joined.known.tolist() == [label is not None for label in [*labels, None, None]]


@pytest.mark.parametrize("storage", ["codes", "numbers", "code_lists"])
def test_a_column_of_no_part_is_empty(storage: Storage) -> None:
    assert list(Columns(storage).joined()) == []


def test_rows_without_a_label_may_come_first() -> None:
    whole = Columns("code_lists")
    whole.skip(3)
    whole.add(column("code_lists", TAGS))
    assert list(whole.joined()) == [None, None, None, *TAGS]


@pytest.mark.parametrize(("distinct", "size"), [(128, 1), (129, 2), (40_000, 4)])
def test_codes_take_as_few_bytes_as_the_number_of_classes_allows(distinct: int, size: int) -> None:
    names = [f"class-{i}" for i in range(distinct)]
    whole = Columns("codes")
    for part in np.array_split(np.array(names, dtype=object), 7):
        whole.add(column("codes", [*part, None]))
    joined = whole.joined()
    assert joined.codes.itemsize == size
    assert [label for label in joined if label is not None] == names
    assert joined.distinct() == set(names)


@pytest.mark.parametrize("storage", ["codes", "code_lists"])
def test_what_occurs_is_looked_for_in_all_parts(storage: Storage) -> None:
    labels: list[Any] = ["a"] * (2 * PART + 3)
    labels[PART - 1], labels[-1], labels[5] = "b", "c", "hidden"
    made = column(storage, [[label] for label in labels] if storage == "code_lists" else labels)
    assert made.masked(np.array([label != "hidden" for label in labels])).distinct() == {"a", "b", "c"}


def test_objects_are_read_masked_joined_and_selected() -> None:
    ranges = [[{"start": 0, "end": 2, "type": "x"}], None, [], [{"start": 1, "end": 2, "type": "y"}]]
    whole = Columns("objects")
    whole.skip(1)
    whole.add(Column.of(pa.chunked_array([pa.array(ranges)]), "objects"))
    joined = whole.joined()
    assert list(joined) == [None, *ranges]
    assert joined.vocabulary() == set()
    selected = joined.only(np.array([False, True, True, False, True]))
    assert list(selected) == [ranges[0], None, ranges[3]]
    assert list(selected.masked(np.array([False, True, True]))) == [None, None, ranges[3]]
    assert selected.digest() != joined.digest()
