"""Coded tables hold the same values as tables of strings."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.data import coded as codes_of
from mtl.data import schema as schemas
from mtl.data.coded import Lists, coded, look_up, plain, pruned, same, slices, take
from mtl.data.schema import Writer, read, read_parts, schema, write
from mtl.errors import DataError

LABELS = {"tags": "tags", "topic": "class", "grade": "number"}
CONTENT = [
    (["Ann", "ran", ""], ["B-person", "O", "O"], "sport"),
    ([], [], None),
    (["a", "a"], None, "news"),
    (["Ann"], ["B-person"], "sport"),
]


def table(repeats: int = 1) -> pa.Table:
    rows = [
        {
            "id": f"{repeat}.{number}",
            "split": "train",
            "tokens": words,
            "space_after": [True] * len(words),
            "tags": tags,
            "topic": topic,
            "grade": 0.5,
        }
        for repeat in range(repeats)
        for number, (words, tags, topic) in enumerate(CONTENT)
    ]
    return pa.Table.from_pylist(rows, schema=schema(LABELS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(table(5), tmp_path / "d.parquet")
    return tmp_path / "d.parquet"


WRITERS = {"schema.write": None, "no dictionaries": {"use_dictionary": False}, "a full dictionary": {"dictionary_pagesize_limit": 1}}


@pytest.mark.parametrize("options", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("group", [3, 100])
@pytest.mark.parametrize("most", [2, 100])
def test_parts_equal_the_written_table(
    options: dict[str, object] | None, group: int, most: int, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(schemas, "ROW_GROUP", group)
    if options is None:
        write(table(5), path)
    else:
        pq.write_table(table(5), path, row_group_size=group, **options)
    parts = list(read_parts(path, most))
    assert max(map(len, parts)) <= most
    assert all(part.schema.equals(coded(table().schema)) for part in parts)
    assert pa.concat_tables(map(plain, parts)).equals(table(5))
    assert pa.concat_tables(read_parts(path, most, ["tokens"])).schema.names == ["tokens"]


def test_a_missing_column_is_an_error(path: Path):
    with pytest.raises(DataError, match="has no column 'text'"):
        next(read_parts(path, 2, ["text"]))


def test_lists_concatenate_items(path: Path):
    (part,) = read_parts(path, 100)
    for column in (part["tokens"], table(5)["tokens"]):
        tokens = Lists.of(column.slice(1, 5))
        assert tokens.words.take(pa.array(tokens.codes)).to_pylist() == ["a", "a", "Ann", "Ann", "ran", ""]
        assert tokens.offsets.tolist() == [0, 0, 2, 3, 6, 6]
        assert tokens.owners().tolist() == [1, 1, 2, 3, 3, 3]
        assert tokens.array().to_pylist() == column.slice(1, 5).to_pylist()
    tags = Lists.of(part["tags"].slice(1, 3))
    assert tags.words.take(pa.array(tags.codes)).to_pylist() == ["B-person"]
    assert tags.lengths.tolist() == [0, 0, 1]
    assert Lists.of(pa.array([["a", None]])).array().to_pylist() == [["a", ""]]
    assert Lists.of(pa.chunked_array([], pa.list_(pa.string()))).offsets.tolist() == [0]


def test_blank_rows():
    assert Lists.of(pa.array([["", "a"], [""], [], ["", ""]])).blank().tolist() == [False, True, True, True]
    assert Lists.of(pa.array([["a"], []])).blank().tolist() == [False, True]


@pytest.mark.parametrize("few", [0, 100])
def test_pruned_dictionaries_hold_only_strings_that_occur(few: int, path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(codes_of, "_FEW", few)
    (part,) = read_parts(path, 100)
    doubled = Lists.of(part["tokens"].slice(2, 1))
    doubled = doubled._replace(
        words=pa.concat_arrays([doubled.words, pa.array(["zoo", "a"])]), codes=np.array([0, len(doubled.words) + 1], np.int32)
    )
    other = part.slice(2, 1).set_column(2, part.schema.field("tokens"), doubled.array().cast(part.schema.field("tokens").type))
    for tables in ([part.slice(2, 1)], [part.slice(2, 1), part.slice(6, 2)], [part.slice(2, 1), other]):
        result = pruned(pa.concat_tables(tables))
        assert plain(result).equals(pa.concat_tables(map(plain, tables)))
        words = result["tokens"].chunk(0).flatten().dictionary.to_pylist()
        assert sorted(words) == sorted({token for row in result["tokens"].to_pylist() for token in row})
    assert len(pruned(part.slice(0, 0))) == 0


@pytest.mark.parametrize("values", [np.array([3, 2**64 - 1, 5], np.uint64), np.array([True, False, True]), np.array([-1, 0, 7])])
def test_values_are_looked_up_by_codes(values: np.ndarray):
    result = look_up(values, np.array([2, 0, 0, 1], np.int32))
    assert result.dtype == values.dtype
    assert result.tolist() == values[[2, 0, 0, 1]].tolist()
    assert look_up(values[:0], np.zeros(0, np.int32)).tolist() == []
    for code in (3, -1):
        with pytest.raises(IndexError):
            look_up(values, np.array([0, code], np.int32))


@pytest.mark.parametrize("rows", [[], [1], [0, 2, 3], [5, 2, 2, 0], list(range(20))])
def test_rows_are_taken_as_arrow_takes_them(rows: list[int], path: Path):
    (part,) = read_parts(path, 100)
    for source in (part, part.slice(3, 10), plain(part)):
        indices = np.array(rows, np.int64) % len(source)
        result = take(source, indices)
        assert result.schema.equals(source.schema, check_metadata=True)
        assert result.to_pylist() == source.take(pa.array(indices)).to_pylist()


def test_a_null_item_is_refused(tmp_path: Path):
    row = {"id": "0", "split": "train", "tokens": ["a", None], "space_after": [True, False]}
    with pytest.raises(pa.ArrowInvalid, match="non-nullable"):
        write(pa.Table.from_pylist([row], schema=schema({})), tmp_path / "n.parquet")


def test_coded_tables_are_written_as_strings(path: Path, tmp_path: Path):
    with Writer(tmp_path / "e.parquet", coded(table().schema)) as file:
        for part in read_parts(path, 7):
            file.write(part)
    assert read(tmp_path / "e.parquet").equals(read(path))
    assert read(tmp_path / "e.parquet").schema.equals(read(path).schema, check_metadata=True)


def test_slices_are_released_once_yielded():
    before = pa.total_allocated_bytes()
    parts = slices(pa.table({"a": [1] * 10}), 4)
    assert [len(next(parts)) for _ in range(3)] == [4, 4, 2]
    assert pa.total_allocated_bytes() == before
    assert not list(parts)


def test_equal_strings():
    words = pa.array(["a", "b", "c"])
    assert same(words, words)
    assert same(words.slice(1, 2), pa.array(["b", "c"]))
    assert not same(words.slice(0, 2), words.slice(1, 2))
    assert not same(words, words.slice(0, 2))
