"""Each reader: its rows, malformed rows and errors."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mtl.config import Reader
from mtl.data.readers import Malformed, Row, read
from mtl.errors import DataError

SETTINGS: TypeAdapter[Any] = TypeAdapter(Reader)


def rows(
    folder: Path, content: bytes, encoding: str | None = None, required: tuple[str, ...] = (), **settings: Any
) -> list[Row | Malformed]:
    (folder / "file").write_bytes(content)
    return list(read(folder, SETTINGS.validate_python(settings), encoding, required))


def outcomes(result: list[Row | Malformed]) -> list[tuple[int, Any]]:
    """Line and values, or line and reason."""
    return [(row.line, row.values if isinstance(row, Row) else row.reason) for row in result]


AB = {"columns": ["a", "b"]}
TABLE: list[tuple[str, dict[str, Any], bytes, list[tuple[int, Any]]]] = [
    (
        "conll: separators only, DOCSTART, CRLF, BOM, no last newline",
        {"format": "conll"},
        b"\xef\xbb\xbf-DOCSTART- O\r\n\r\nEU B-ORG\r\nsays  O\r\n \t\r\n\r\nx\tO\r\n-DOCSTART- O\r\nlast O",
        [
            (3, {"token": ["EU", "says"], "tags": ["B-ORG", "O"]}),
            (7, {"token": ["x"], "tags": ["O"]}),
            (9, {"token": ["last"], "tags": ["O"]}),
        ],
    ),
    (
        "conll: skipped columns, a wrong count spoils one sentence",
        {"format": "conll", "columns": ["token", "_", "tags"], "separator": "space"},
        b"a X O\nb X\n\nc X O\n",
        [(2, "the number of columns is 2, not 3 (token, _, tags)"), (4, {"token": ["c"], "tags": ["O"]})],
    ),
    (
        "conll: a token may contain a space if tabs separate columns",
        {"format": "conll", "separator": "tab"},
        b"New York\tB-LOC\n\t\nx\tO\n",
        [(1, {"token": ["New York"], "tags": ["B-LOC"]}), (3, {"token": ["x"], "tags": ["O"]})],
    ),
    (
        "csv: header, quotes, a cell over two lines, empty lines",
        {"format": "csv"},
        b'a,b\r\n1,"x, ""y"""\r\n\r\n2,"two\r\nlines"\r\n3,5" disk\r\n',
        [(2, {"a": "1", "b": 'x, "y"'}), (4, {"a": "2", "b": "two\nlines"}), (6, {"a": "3", "b": '5" disk'})],
    ),
    (
        "csv: an unmatched quote spoils only its line",
        {"format": "csv", **AB},
        b'1,"open\n2,fine\n3,"closed"\n4\n5,6,7\n6,"never\n7,ok\n',
        [
            (1, "unmatched quote or other error: ',' expected after '\"'"),
            (2, {"a": "2", "b": "fine"}),
            (3, {"a": "3", "b": "closed"}),
            (4, "the number of columns is 1, not 2 (a, b)"),
            (5, "the number of columns is 3, not 2 (a, b)"),
            (6, "a quote is opened and never closed"),
            (7, {"a": "7", "b": "ok"}),
        ],
    ),
    (
        "tsv: no quoting",
        {"format": "tsv", "quoting": "none", **AB},
        b'1\t"a\n2\tb,c\n',
        [(1, {"a": "1", "b": '"a'}), (2, {"a": "2", "b": "b,c"})],
    ),
    (
        "csv: another delimiter",
        {"format": "csv", "delimiter": ";", **AB},
        b"1;x,y\n",
        [(1, {"a": "1", "b": "x,y"})],
    ),
    (
        "csv: label and text separated by the first space",
        {"format": "csv", "delimiter": " ", "quoting": "none", **AB},
        b"1 a fine film\n0\n",
        [(1, {"a": "1", "b": "a fine film"}), (2, "the number of columns is 1, not 2 (a, b)")],
    ),
    (
        "tsv: any number of further columns",
        {"format": "tsv", "columns": ["a", "_", "b", "_*"]},
        b"1\tx\t2\n1\tx\t2\t3\t4\n1\tx\n",
        [(1, {"a": "1", "b": "2"}), (2, {"a": "1", "b": "2"}), (3, "the number of columns is 2, not 3 (a, _, b, _*)")],
    ),
    (
        "jsonl",
        {"format": "jsonl"},
        b'{"a": 1, "b": ["x"]}\n\n[1]\n{"a": NaN}\n{"b": null}\n{"a": \n' + b"[" * 100_000,
        [
            (1, {"a": 1, "b": ["x"]}),
            (3, "not a JSON object"),
            (4, "not JSON: NaN is not a JSON value"),
            (5, {"b": None}),
            (6, "not JSON: Expecting value: line 1 column 7 (char 6)"),
            (7, "not JSON: nested too deeply"),
        ],
    ),
]


@pytest.mark.parametrize(("settings", "content", "expected"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_formats(tmp_path: Path, settings: dict[str, Any], content: bytes, expected: list[tuple[int, Any]]) -> None:
    assert outcomes(rows(tmp_path, content, **settings)) == expected


@pytest.mark.parametrize("cell", ["word " * 40_000, '"' + "word\n" * 900 + "word " * 40_000 + '"'], ids=["plain", "quoted"])
def test_a_cell_may_be_as_long_as_a_book(tmp_path: Path, cell: str) -> None:
    result = rows(tmp_path, f"1,{cell}\n2,b\n".encode(), format="csv", **AB)
    assert [row.values for row in result if isinstance(row, Row)] == [{"a": "1", "b": cell.strip('"')}, {"a": "2", "b": "b"}]


def test_two_stray_quotes_do_not_swallow_the_rows_between_them(tmp_path: Path) -> None:
    content = 'a\tb\n0\t"open\n' + "".join(f"{i}\ttext\n" for i in range(1, 40)) + '40\tshut"\n41\t"two\nlines"\n'
    result = rows(tmp_path, content.encode(), format="tsv", required=("a", "b"))
    (malformed,) = [row for row in result if not isinstance(row, Row) and "with complete records between" in row.reason]
    assert malformed.line == 2
    assert [row.values["a"] for row in result if isinstance(row, Row)] == [*(str(i) for i in range(1, 41)), "41"]


def test_parquet(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["x", None], "tokens": [["a"], []], "other": [1, 2]}), sink)
    result = rows(tmp_path, sink.getvalue(), format="parquet", required=("text", "tokens"))
    single = io.BytesIO()
    pq.write_table(pa.table({"rating": pa.array([0.7, None], pa.float32())}), single)
    assert outcomes(rows(tmp_path, single.getvalue(), format="parquet", required=("rating",))) == [
        (1, {"rating": 0.7}),
        (2, {"rating": None}),
    ]
    assert outcomes(result) == [(1, {"text": "x", "tokens": ["a"]}), (2, {"text": None, "tokens": []})]
    with pytest.raises(DataError, match="no column 'label'; choose from: text, tokens, other"):
        rows(tmp_path, sink.getvalue(), format="parquet", required=("label",))
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        rows(tmp_path, b"PAR1 not really", format="parquet")


def test_parallel(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a b\r\nc\n\n")
    (tmp_path / "out").write_bytes(b"O O\nO\n\n")
    settings = SETTINGS.validate_python({"format": "parallel", "files": {"text": "in", "tags": "out"}})
    assert outcomes(list(read(tmp_path, settings, None, ("text", "tags")))) == [
        (1, {"text": "a b", "tags": "O O"}),
        (2, {"text": "c", "tags": "O"}),
    ]
    (tmp_path / "out").write_bytes(b"O O\n")
    with pytest.raises(DataError, match="differ in length: no line 2 in out"):
        list(read(tmp_path, settings, None, ()))
    (tmp_path / "out").unlink()
    with pytest.raises(DataError, match="out: cannot be read"):
        list(read(tmp_path, settings, None, ()))


@pytest.mark.parametrize(
    ("encoding", "content", "expected"),
    [
        (None, "é 1\n".encode(), "é 1"),
        ("cp1252", "é\n".encode(), "é"),  # UTF-8 comes first
        ("cp1252", "“é”\n".encode("cp1252"), "“é”"),
        ("shift_jis", "日本\n".encode("shift_jis"), "日本"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str | None, content: bytes, expected: str) -> None:
    assert outcomes(rows(tmp_path, content, encoding, format="tsv", columns=["a"])) == [(1, {"a": expected})]


@pytest.mark.parametrize(
    ("encoding", "content", "message"),
    [
        (None, b"fine\nbad \xe9!\n", r"file: line 2, byte 5 \(0xe9\) cannot be decoded as utf-8; name the file's encoding"),
        (
            "ascii",
            b"bad \xe9!\n",
            r"line 1, byte 5 \(0xe9\) cannot be decoded as ascii, nor as utf-8; the dataset's key encoding is 'ascii'",
        ),
    ],
)
def test_undecodable_bytes_name_file_line_and_byte(tmp_path: Path, encoding: str | None, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(tmp_path, content, encoding, format="tsv", columns=["a"])


@pytest.mark.parametrize(
    ("settings", "content", "message"),
    [
        ({"format": "csv"}, b"x,y\n1,2\n", "no column 'a'; choose from: x, y"),
        ({"format": "csv"}, b"a,a\n1,2\n", "two columns are named 'a'"),
        ({"format": "csv"}, b"", "the file is empty"),
        ({"format": "jsonl"}, b'{"x": 1}\n', "no column 'a'; choose from: x"),
    ],
)
def test_a_missing_column_names_the_choices(tmp_path: Path, settings: dict[str, Any], content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(tmp_path, content, required=("a",), **settings)


def test_a_source_of_several_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    with pytest.raises(DataError, match="exactly one file for this reader; it contains: file, one"):
        rows(tmp_path, b"", format="jsonl")


def test_reading_is_lazy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\nb\n\xff\n")
    result = read(tmp_path, SETTINGS.validate_python({"format": "tsv", "columns": ["a"]}), None, ("a",))
    assert [next(result), next(result)] == [Row(1, {"a": "a"}), Row(2, {"a": "b"})]
    with pytest.raises(DataError):
        next(result)


CELLS = st.text(st.sampled_from(list("ab\",\n' é\t")), max_size=6)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=6), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], quoting: Any) -> None:
    sink = io.StringIO(newline="")
    csv.writer(sink, quoting=quoting).writerows(table)
    result = rows(tmp_path_factory.mktemp("csv"), sink.getvalue().encode(), format="csv", columns=["a", "b"])
    assert [row.values for row in result if isinstance(row, Row)] == [{"a": first, "b": second} for first, second in table]


def test_a_token_that_begins_with_docstart_is_a_token(tmp_path: Path) -> None:
    result = rows(tmp_path, b"-DOCSTART- O\n\na O\n-DOCSTART-s O\nb O\n", format="conll", columns=("token", "tags"), required=("token",))
    assert [row.values["token"] for row in result if isinstance(row, Row)] == [["a", "-DOCSTART-s", "b"]]
