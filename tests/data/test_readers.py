"""Each reader: its rows, malformed rows and errors."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mtl.config import Reader
from mtl.data.readers import Malformed, Row, Warn, read
from mtl.errors import DataError

SETTINGS: TypeAdapter[Any] = TypeAdapter(Reader)


UTF8 = ("utf-8",)


def no_warning(text: str) -> NoReturn:
    raise AssertionError(text)


def rows(
    folder: Path,
    content: bytes,
    encodings: Sequence[str] = UTF8,
    required: tuple[str, ...] = (),
    name: str = "file",
    warn: Warn = no_warning,
    **settings: Any,
) -> list[Row | Malformed]:
    (folder / name).write_bytes(content)
    return list(read(folder, SETTINGS.validate_python(settings), encodings, required, warn))


def outcomes(result: list[Row | Malformed]) -> list[tuple[int, Any]]:
    """Line and values, or line and reason."""
    return [(row.line, row.values if isinstance(row, Row) else row.reason) for row in result]


NO_QUOTES = "if quotes are part of the text, set the reader's key quoting to none"
SPACED = f"a quote follows a space; if such quotes enclose cells, set the reader's key skip_initial_space to true; {NO_QUOTES}"
COMMENTS = "if such lines are comments, set the reader's key comments to '#'"
HEADER = "is a header line: its cells are the names of the columns; if the file has one, leave the reader's key columns out"
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
        b'1,"open\n2,fine\n3,"closed"\n4\n5,6,7\n6,"never\n7,ok\n8,a\rb\n',
        [
            (1, f"unmatched quote: ',' expected after '\"'; {NO_QUOTES}"),
            (2, {"a": "2", "b": "fine"}),
            (3, {"a": "3", "b": "closed"}),
            (4, "the number of columns is 1, not 2 (a, b)"),
            (5, "the number of columns is 3, not 2 (a, b)"),
            (6, f"a quote is opened and never closed; {NO_QUOTES}"),
            (7, {"a": "7", "b": "ok"}),
            (8, "a carriage return inside a cell without quotes"),
        ],
    ),
    (
        "tsv: no quoting",
        {"format": "tsv", "quoting": "none", **AB},
        b'1\t"a\n2\tb,c\n',
        [(1, {"a": "1", "b": '"a'}), (2, {"a": "2", "b": "b,c"})],
    ),
    (
        "csv: a quote after a space encloses nothing",
        {"format": "csv", **AB},
        b'"x, y", "p"\n1, "open\n2,3 "b" c\n4,"  ""b"""\n5, "b" c\n',
        [
            (1, SPACED),
            (2, {"a": "1", "b": ' "open'}),
            (3, {"a": "2", "b": '3 "b" c'}),
            (4, {"a": "4", "b": '  "b"'}),
            (5, {"a": "5", "b": ' "b" c'}),
        ],
    ),
    (
        "csv: spaces after delimiters are skipped",
        {"format": "csv", "skip_initial_space": True},
        b'"a", "b"\n"x, y", "p"\n 1,  q\n',
        [(2, {"a": "x, y", "b": "p"}), (3, {"a": "1", "b": "q"})],
    ),
    (
        "tsv: spaces after delimiters are skipped, without quoting",
        {"format": "tsv", "quoting": "none", "skip_initial_space": True, **AB},
        b'1\t "q\n',
        [(1, {"a": "1", "b": '"q'})],
    ),
    (
        "csv: unnamed columns that nobody wants, and a header that is repeated in joined files",
        {"format": "csv"},
        b'a,b,,\n1,2,,\n\xef\xbb\xbf"a","b",,\n3,4,,\n',
        [(2, {"a": "1", "b": "2", "": ""}), (3, "repeats the header line"), (4, {"a": "3", "b": "4", "": ""})],
    ),
    (
        "csv: a header line although the columns are named",
        {"format": "csv", "columns": ["a", "_", "b", "_*"]},
        b"A,x,b,,\n1,x,2,,\na,x,2\n",
        [(1, HEADER), (2, {"a": "1", "b": "2"}), (3, {"a": "a", "b": "2"})],
    ),
    (
        "csv: the delimiter is another one",
        {"format": "csv", **AB},
        b"1;2\n3\t4\n5;6;7\n",
        [
            (1, 'the number of columns is 1, not 2 (a, b); with delimiter: ";" it is 2'),
            (2, 'the number of columns is 1, not 2 (a, b); with delimiter: "\\t" it is 2'),
            (3, "the number of columns is 1, not 2 (a, b)"),
        ],
    ),
    (
        "conll: digits after the first character of each token",
        {"format": "conll", "strip": "digits"},
        "科0 O\n10 B-x\n12 I-x\n，0 O\nA10 O\nno O\n".encode(),
        [(1, {"token": ["科", "1", "1", "，", "A", "no"], "tags": ["O", "B-x", "I-x", "O", "O", "O"]})],
    ),
    (
        "conll: a pattern is removed from each token",
        {"format": "conll", "strip": r"/[A-Z]+$|^_"},
        b"_a/NN O\n/x O\n",
        [(1, {"token": ["a", "/x"], "tags": ["O", "O"]})],
    ),
    (
        "conll: comments stand before the first token of a sentence",
        {"format": "conll", "comments": "#"},
        b"# id 1\n#\tx\na O\n# O\n\n\n#2\nb O\n",
        [(3, {"token": ["a", "#"], "tags": ["O", "O"]}), (8, {"token": ["b"], "tags": ["O"]})],
    ),
    (
        "conll: a hash is a token, unless the file says otherwise",
        {"format": "conll"},
        b"# O\na O\n\nb O\n\n# id 1\nb O\n\ntoken tags\nc O\n",
        [
            (1, {"token": ["#", "a"], "tags": ["O", "O"]}),
            (4, {"token": ["b"], "tags": ["O"]}),
            (6, f"the number of columns is 3, not 2 (token, tags); {COMMENTS}"),
            (9, "is a header line: it holds the names of the columns"),
        ],
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
    assert outcomes(list(read(tmp_path, settings, UTF8, ("text", "tags"), no_warning))) == [
        (1, {"text": "a b", "tags": "O O"}),
        (2, {"text": "c", "tags": "O"}),
    ]
    (tmp_path / "out").write_bytes(b"O O\n")
    with pytest.raises(DataError, match="differ in length: no line 2 in out"):
        list(read(tmp_path, settings, UTF8, (), no_warning))
    (tmp_path / "out").unlink()
    with pytest.raises(DataError, match="out: cannot be read"):
        list(read(tmp_path, settings, UTF8, (), no_warning))


@pytest.mark.parametrize(
    ("encodings", "content", "expected"),
    [
        (["utf-8"], "é 1\n".encode(), ["é 1"]),
        (["cp1252"], "“é”\n".encode("cp1252"), ["“é”"]),
        (["shift_jis"], "日本\n".encode("shift_jis"), ["日本"]),
        (["utf-8", "cp1252"], "é\n".encode() + "é\n".encode("cp1252"), ["é", "é"]),
        (["utf-8", "shift_jis"], b"\xef\xbb\xbf\xef\xbb\xbfa\n", ["a"]),  # byte order marks of joined files
    ],
)
def test_encodings(tmp_path: Path, encodings: list[str], content: bytes, expected: list[str]) -> None:
    assert [row.values["a"] for row in rows(tmp_path, content, encodings, format="tsv", columns=["a"]) if isinstance(row, Row)] == expected


@pytest.mark.parametrize("encoding", ["gbk", "big5", "euc_kr", "shift_jis", "koi8-r", "tis-620"])
@pytest.mark.parametrize("form", ["conll", "csv", "jsonl", "parallel"])
def test_a_named_encoding_decides_for_all_lines(tmp_path: Path, encoding: str, form: str) -> None:
    """Some letters of each are UTF-8 too: 山 and 水 are ɽ and ˮ."""
    letters = {"koi8-r": "цёю", "tis-620": "ยกา", "euc_kr": "솔쩝가"}.get(encoding, "山水王")
    lines = {
        "conll": "".join(f"{letter} O\n" for letter in letters),
        "csv": "tags,token\n" + "".join(f"{letter},{letter}\n" for letter in letters),
        "jsonl": "".join(json.dumps({"token": letter, "tags": letter}, ensure_ascii=False) + "\n" for letter in letters),
        "parallel": "".join(f"{letter}\n" for letter in letters),
    }
    settings = {"files": {"token": "file", "tags": "file"}} if form == "parallel" else {}
    result = rows(tmp_path, lines[form].encode(encoding), [encoding], format=form, warn=lambda _: None, **settings)
    assert "".join("".join(row.values["token"]) for row in result if isinstance(row, Row)) == letters


@pytest.mark.parametrize(
    ("encoding", "valid", "others", "warns"),
    [("cp1252", 1, 9, True), ("latin-1", 9, 1, True), ("gbk", 3, 0, True), ("gbk", 9, 1, False), ("cp1252", 0, 3, False)],
)
def test_a_file_of_another_encoding_is_not_read_unsaid(tmp_path: Path, encoding: str, valid: int, others: int, warns: bool) -> None:
    warned: list[str] = []
    letter = "王" if encoding == "gbk" else "é"
    content = "é\n".encode() * valid + b"plain\n" + f"{letter}\n".encode(encoding) * others
    rows(tmp_path, content, [encoding], format="tsv", columns=["a"], warn=warned.append)
    expected = (
        f"file: {valid} of the {valid + others} lines with characters beyond ASCII are valid UTF-8, but the key encoding is '{encoding}': "
        f"leave the key out if the file is UTF-8{'' if encoding == 'gbk' else f'; if it is mixed, write [utf-8, {encoding}]'}"
    )
    assert warned == [expected] * warns


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_files(tmp_path: Path, suffix: str) -> None:
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[suffix]
    name = f"file.csv{suffix}"
    result = rows(tmp_path, compress("a,b\r\né,2\r\n".encode()), format="csv", name=name)
    assert outcomes(result) == [(2, {"a": "é", "b": "2"})]
    with pytest.raises(DataError, match=rf"file\.csv\{suffix}: cannot be read"):
        rows(tmp_path, compress(random.Random(1).randbytes(100_000).hex().encode())[:-9], format="csv", name=name)
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        rows(tmp_path, compress(b"a" * (65 << 20)), format="csv", name=name)


@pytest.mark.parametrize(
    ("encodings", "content", "message"),
    [
        (UTF8, b"fine\nbad \xe9!\n", r"file: line 2, byte 5 \(0xe9\) cannot be decoded as utf-8; name the file's encoding"),
        (
            ["ascii"],
            b"bad \xe9!\n",
            r"line 1, byte 5 \(0xe9\) cannot be decoded as ascii; name the file's encoding in the dataset's key encoding",
        ),
        (["ascii"], "é".encode(), r"cannot be decoded as ascii; the line is valid UTF-8: leave the dataset's key encoding out"),
        (["utf-8", "ascii"], b"\xe9", "cannot be decoded as utf-8 or ascii; name the encoding of such lines"),
        (UTF8, b"a\rb\rc\r", r"its lines end with CR only; convert it: tr '\\r' '\\n' < file > lf-file"),
        (UTF8, "a\n".encode("utf-16"), "is UTF-16; convert it: iconv -f utf-16 -t utf-8 file > utf8-file"),
    ],
)
def test_undecodable_bytes_name_file_line_and_byte(tmp_path: Path, encodings: Sequence[str], content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(tmp_path, content, encodings, format="tsv", columns=["a"])


@pytest.mark.parametrize(
    ("settings", "content", "message"),
    [
        ({"format": "csv"}, b"x,y\n1,2\n", "no column 'a'; choose from: x, y"),
        ({"format": "csv"}, b"a,a\n1,2\n", "two columns are named 'a'"),
        ({"format": "csv"}, b"", "the file is empty"),
        ({"format": "jsonl"}, b'{"x": 1}\n', "no column 'a'; choose from: x"),
        *(
            ({"format": "jsonl"}, content, r"is a JSON array; write one object per line: jq -c '.\[\]' file > lines-file")
            for content in (b"[\n{}]", b'[{"a": 1}]')
        ),
        (
            {"format": "csv"},
            b"x;a\n1;2\n",
            'choose from: x;a. The header has them with another delimiter: set the reader\'s key delimiter to ";"',
        ),
        ({"format": "tsv"}, b'x,"a"\n1,2\n', 'with another delimiter: set the reader\'s key delimiter to ","'),
        ({"format": "csv"}, "a\u200b,y\n1,2\n".encode(), r"choose from: 'a\\u200b', y"),
        ({"format": "csv"}, b'"x", "a"\n1,2\n', "has no header line: a quote follows a space"),
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
    result = read(tmp_path, SETTINGS.validate_python({"format": "tsv", "columns": ["a"]}), UTF8, ("a",), no_warning)
    assert [next(result), next(result)] == [Row(1, {"a": "a"}), Row(2, {"a": "b"})]
    with pytest.raises(DataError):
        next(result)


CELLS = st.text(st.sampled_from(list("ab\",\n' é\t")), max_size=6)


def test_rows_that_quotes_merge_are_told(tmp_path: Path) -> None:
    warned: list[str] = []
    rows_before = "fine,pos\nbad,neg\n"
    merged = rows_before + '"He said,pos\nNot bad,neg\nend",neg\n' + '"Great, fast\nAgain",neg\n' + 'pos,"a\nneg,b"\n'
    result = rows(tmp_path, merged.encode(), format="csv", **AB, warn=warned.append)
    assert len(result) == 5
    assert warned == [f"file: line 3: a quote opens a cell of 3 lines, which look like rows; {NO_QUOTES}"]
    result = rows(tmp_path, b'pos\tx\nneg\ty\npos\t"open\nneg\tshut"\npos\t"and\nneg\tagain"\n', format="tsv", **AB, warn=warned.append)
    assert warned[1:] == [f"file: line 3: a quote opens a cell of 2 lines, which look like rows, and 1 more such cell; {NO_QUOTES}"]


def test_most_sentences_begin_with_a_comment(tmp_path: Path) -> None:
    warned: list[str] = []
    rows(tmp_path, b"# id 1 x\na _ _ O\n\n# id 2 x\nb _ _ O\n", format="conll", columns=["token", "_", "_", "tags"], warn=warned.append)
    assert warned == [f"file: 2 of 2 sentences begin with a line like '# id 2 x'; {COMMENTS}"]


SHARDS = ["d/train-00000-of-00002.jsonl", "d/train-00001-of-00002.jsonl"]


@pytest.mark.parametrize(
    ("files", "several", "outcome"),
    [
        (SHARDS, False, [0, 1]),
        (["b-1-of-2.jsonl", "b-2-of-2.jsonl"], False, [0, 1]),
        (["b.jsonl", "a.jsonl"], True, [1, 0]),
        (["b.jsonl", "a.jsonl"], False, "exactly one file for this reader; it contains: a.jsonl, b.jsonl"),
        ([*SHARDS, "d/test-00000-of-00001.jsonl"], False, "exactly one file"),
        (["b-0-of-4.jsonl", "b-2-of-4.jsonl"], False, "of 4 shards, these are missing: 1, 3"),
        (["b-0-of-4.jsonl", "b-2-of-4.jsonl"], True, "of 4 shards, these are missing: 1, 3"),
        ([SHARDS[1]], False, "reads shard 1 of 2 only"),
    ],
)
def test_shards(tmp_path: Path, files: list[str], several: bool, outcome: Any) -> None:
    (tmp_path / "d").mkdir()
    for number, name in enumerate(files):
        (tmp_path / name).write_text(json.dumps({"a": number}) + "\nx\n")
    if len(files) == 1:
        (tmp_path / "d" / "empty").mkdir()
    settings, warned = SETTINGS.validate_python({"format": "jsonl"}), list[str]()
    if len(files) > 1 and isinstance(outcome, str):
        with pytest.raises(DataError, match=outcome):
            list(read(tmp_path, settings, UTF8, ("a",), warned.append, several=several))
        return
    result = list(read(tmp_path, settings, UTF8, ("a",), warned.append, several=several))
    if isinstance(outcome, str):
        assert [outcome in text for text in warned] == [True]
        return
    assert [row.values["a"] for row in result if isinstance(row, Row)] == outcome
    assert next(row.reason for row in result if isinstance(row, Malformed)).startswith(f"{Path(sorted(files)[0]).name}: not JSON")


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=6), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_round_trip(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], quoting: Any) -> None:
    sink = io.StringIO(newline="")
    csv.writer(sink, quoting=quoting).writerows(table)
    result = rows(tmp_path_factory.mktemp("csv"), sink.getvalue().encode(), format="csv", columns=["first", "second"], warn=lambda _: None)
    assert [row.values for row in result if isinstance(row, Row)] == [{"first": first, "second": second} for first, second in table]


def test_a_token_that_begins_with_docstart_is_a_token(tmp_path: Path) -> None:
    result = rows(tmp_path, b"-DOCSTART- O\n\na O\n-DOCSTART-s O\nb O\n", format="conll", columns=("token", "tags"), required=("token",))
    assert [row.values["token"] for row in result if isinstance(row, Row)] == [["a", "-DOCSTART-s", "b"]]
