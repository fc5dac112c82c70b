"""Labels of many rows in few bytes: whatever the parts they come in, they read as the list that they stand for."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtl.training.columns import PART, Column, Columns

CLASSES = ["a", None, "b", "a", "c", None]
NUMBERS = [1.5, None, -2.0, 0.0, None, 3.25]
TAGS = [["O", "B-x"], None, [], ["B-y"], ["O", "O", "I-x"], None]
ARROW = {"class": pa.string(), "number": pa.float64(), "tags": pa.list_(pa.string())}


def column(kind: str, labels: list[Any]) -> Column:
    return Column.of(pa.chunked_array([pa.array(labels, ARROW[kind])]))


@pytest.mark.parametrize(("kind", "labels"), [("class", CLASSES), ("number", NUMBERS), ("tags", TAGS)])
@pytest.mark.parametrize("cuts", [[6], [2, 4], [1, 1, 1, 1, 1, 1], [0, 6, 0]])
def test_parts_read_as_the_whole(kind: str, labels: list[Any], cuts: list[int]) -> None:
    whole, start = Columns(kind), 0
    for size in cuts:
        whole.add(column(kind, labels[start : start + size]))
        start += size
    whole.skip(2)
    joined = whole.joined()
    assert joined.kind == kind
    assert list(joined) == [*labels, None, None]
    assert joined.known.tolist() == [label is not None for label in [*labels, None, None]]


@pytest.mark.parametrize("kind", ["class", "number", "tags"])
def test_a_column_of_no_part_is_empty(kind: str) -> None:
    assert list(Columns(kind).joined()) == []


def test_rows_without_a_label_may_come_first() -> None:
    whole = Columns("tags")
    whole.skip(3)
    whole.add(column("tags", TAGS))
    assert list(whole.joined()) == [None, None, None, *TAGS]


@pytest.mark.parametrize(("distinct", "size"), [(128, 1), (129, 2), (40_000, 4)])
def test_codes_take_as_few_bytes_as_the_number_of_classes_allows(distinct: int, size: int) -> None:
    names = [f"class-{i}" for i in range(distinct)]
    whole = Columns("class")
    for part in np.array_split(np.array(names, dtype=object), 7):
        whole.add(column("class", [*part, None]))
    joined = whole.joined()
    assert joined.codes.itemsize == size
    assert [label for label in joined if label is not None] == names
    assert joined.distinct() == set(names)


@pytest.mark.parametrize("kind", ["class", "tags"])
def test_what_occurs_is_looked_for_in_all_parts(kind: str) -> None:
    labels: list[Any] = ["a"] * (2 * PART + 3)
    labels[PART - 1], labels[-1], labels[5] = "b", "c", "hidden"
    made = column(kind, [[label] for label in labels] if kind == "tags" else labels)
    assert made.masked(np.array([label != "hidden" for label in labels])).distinct() == {"a", "b", "c"}
