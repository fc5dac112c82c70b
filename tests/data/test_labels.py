"""Label types: reading, malformed values, statistics, tags and illegal columns."""

import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mtl.config.datasets import Label
from mtl.data.labels import LabelType, label_type, reader_of
from mtl.data.schema import check, schema
from mtl.data.spans import legal_iob2
from mtl.errors import DataError

SETTINGS: TypeAdapter[Any] = TypeAdapter(Label)
CLASSES = {"type": "classes", "column": "topics"}
SPANS = {"type": "spans", "column": "answers"}
RELATION = {"type": "relation", "column": "relation", "head": "subject", "tail": "object"}
CLASS = {"type": "class", "column": "label"}
TAGS = {"type": "tags", "column": "tags"}
TEXT = {"type": "text", "column": "target"}
LENGTH = 5


def reader(settings: dict[str, Any]) -> LabelType:
    return reader_of(SETTINGS.validate_python(settings))


def span(start: Any, end: Any, type_: Any = "x") -> dict[str, Any]:
    return {"start": start, "end": end, "type": type_}


def related(name: str, head: tuple[int, int], tail: tuple[int, int]) -> dict[str, Any]:
    return {"class": name, "head_start": head[0], "head_end": head[1], "tail_start": tail[0], "tail_end": tail[1]}


READ: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
    (CLASSES, {"topics": "sport, news,,sport"}, ["news", "sport"]),
    (CLASSES, {"topics": ["b", 1.0, True, " a "]}, ["1", "a", "b", "true"]),
    (CLASSES, {"topics": []}, []),
    (CLASSES, {"topics": " "}, None),
    (CLASSES, {"topics": None}, None),
    (CLASSES, {}, None),
    (CLASSES, {"topics": 3}, ["3"]),
    ({**CLASSES, "separator": "|"}, {"topics": "a,b|c"}, ["a,b", "c"]),
    ({**CLASSES, "values": {"0": "no", "1": "yes", "2": "yes"}}, {"topics": "2,1"}, ["yes"]),
    (SPANS, {"answers": [span(3, 5), span(0, 1, "y"), span(1, 3)]}, [span(0, 1, "y"), span(1, 3), span(3, 5)]),
    (SPANS, {"answers": []}, []),
    (SPANS, {"answers": None}, None),
    (SPANS, {"answers": [span(0, 5, 7)]}, [span(0, 5, "7")]),
    (RELATION, {"relation": " owns ", "subject": [3, 5], "object": [0, 3]}, related("owns", (3, 5), (0, 3))),
    ({**RELATION, "names": ["owns", "knows"]}, {"relation": 1, "subject": [0, 1], "object": [1, 2]}, related("knows", (0, 1), (1, 2))),
    (RELATION, {"relation": "", "subject": "anything", "object": None}, None),
    (TEXT, {"target": "  ein \n Satz\t"}, "ein Satz"),
    (TEXT, {"target": " \n"}, None),
    (TEXT, {}, None),
    ({**CLASS, "names": ["no", "yes"]}, {"label": 1}, "yes"),
    ({**CLASS, "names": ["no", "yes"]}, {"label": "0"}, "no"),
    ({**CLASSES, "names": ["no", "yes"]}, {"topics": [1, 0]}, ["no", "yes"]),
    ({**TAGS, "names": ["O", "B-x", "I-x"]}, {"tags": [1, 2, 0, 0, 1]}, ["B-x", "I-x", "O", "O", "B-x"]),
    ({**TAGS, "names": ["O", "S-x"], "scheme": "bmes"}, {"tags": "1 0 0 0 0"}, ["B-x", "O", "O", "O", "O"]),
    *(({**CLASS, "missing": ["NA", -1]}, {"label": value}, None) for value in ("NA", " NA ", -1, -1.0, "-1", None)),
    *(({**CLASS, "missing": ["NA"]}, {"label": value}, value) for value in ("na", "-1", "NAB")),
    ({**CLASS, "missing": ["0"], "names": ["no", "yes"]}, {"label": 0}, None),
    ({"type": "number", "column": "n", "missing": ["N/A", "-99"]}, {"n": -99.0}, None),
    ({**CLASSES, "missing": ["-1"]}, {"topics": [-1, -1]}, None),
    ({**CLASSES, "missing": ["-1"]}, {"topics": []}, []),
    ({**CLASSES, "missing": ["-1"]}, {"topics": [-1, 2]}, ["-1", "2"]),
    ({**TAGS, "missing": ["-1"]}, {"tags": [-1] * 5}, None),
    ({**SPANS, "missing": ["none"]}, {"answers": "none"}, None),
    ({**CLASS, "normalize": "nfc"}, {"label": "cafe\u0301\u200b "}, "caf\u00e9"),
    ({**CLASS, "normalize": "nfc"}, {"label": "\ufeff\u200b"}, None),
    ({**CLASS, "normalize": "nfc"}, {"label": "New\u00a0York"}, "New\u00a0York"),
    ({**CLASS, "normalize": "nfkc"}, {"label": "\uff2eew\u00a0York"}, "New York"),
    ({**CLASS, "normalize": "nfc", "missing": ["NA"]}, {"label": "NA\u200b"}, None),
    ({**CLASSES, "normalize": "nfc"}, {"topics": ["e\u0301", "\u00e9\u200b"]}, ["\u00e9"]),
    ({**SPANS, "normalize": "nfc"}, {"answers": [span(0, 1, "e\u0301")]}, [span(0, 1, "\u00e9")]),
]


@pytest.mark.parametrize(("settings", "row", "expected"), READ)
def test_read(settings: dict[str, Any], row: dict[str, Any], expected: Any) -> None:
    label = reader(settings).label_of(row, ["token"] * LENGTH)
    assert label == expected
    assert pa.array([label], label_type(settings["type"]).arrow()).to_pylist() == [expected]


MALFORMED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({**CLASSES, "values": {"a": "A", "b": "B"}}, {"topics": "a,c"}, "topics: 'c' is not a known value; choose from: a, b"),
    (CLASSES, {"topics": ["a", ["b"]]}, "topics: a list is not a class"),
    ({**CLASS, "names": ["a", "b"]}, {"label": 2}, "label: '2' is not a known value; choose from: 0, 1"),
    (
        {**CLASS, "values": {"0": "a"}},
        {"label": "N/A"},
        "'N/A' is not a known value; choose from: 0; if it means that there is no label, write missing: [\"N/A\"]",
    ),
    (
        {"type": "number", "column": "n"},
        {"n": "NA"},
        "n: 'NA' is not a number; if it means that there is no label, write missing: [\"NA\"]",
    ),
    (TAGS, {"tags": [1, 0]}, "tags: the tags are numbers, [1, 0]; list the names of 0, 1, … in the label's key names"),
    (TAGS, {"tags": "1 0"}, "tags: the tags are numbers, 1 0; list the names"),
    ({**TAGS, "names": ["O", "B-x"]}, {"tags": [0, 2]}, "tags: '2' is not a known value; choose from: 0, 1"),
    (TAGS, {"tags": [None]}, "tags: must be a list of tags, not '[None]'"),
    (TAGS, {"tags": [True]}, "tags: must be a list of tags, not '[True]'"),
    (CLASSES, {"topics": {"a": 1}}, "topics: a dict is not a class"),
    (SPANS, {"answers": "0-2"}, "answers: must be a list of {start, end, type}, not '0-2'"),
    (SPANS, {"answers": [[0, 2]]}, "answers: must be a list of {start, end, type}, not '[[0, 2]]'"),
    (SPANS, {"answers": [span("0", 2)]}, "answers: must be [start, end) in tokens, not \"['0', 2]\""),
    (SPANS, {"answers": [span(True, 2)]}, "answers: must be [start, end) in tokens, not '[True, 2]'"),
    (SPANS, {"answers": [{"start": 0, "type": "x"}]}, "answers: must be [start, end) in tokens, not '[0, None]'"),
    (SPANS, {"answers": [span(4, 6)]}, "answers: [4, 6) is not a range inside the text, whose tokens are [0, 5)"),
    (SPANS, {"answers": [span(2, 2)]}, "answers: [2, 2) is not a range inside the text"),
    (SPANS, {"answers": [span(-1, 2)]}, "answers: [-1, 2) is not a range inside the text"),
    (SPANS, {"answers": [span(0, 3), span(2, 4)]}, "answers: ranges overlap at token 2"),
    (SPANS, {"answers": [span(0, 3), span(0, 3)]}, "answers: ranges overlap at token 0"),
    (SPANS, {"answers": [span(0, 3, " ")]}, "answers: the range [0, 3) has no type"),
    (SPANS, {"answers": [{"start": 0, "end": 3}]}, "answers: the range [0, 3) has no type"),
    (
        {**RELATION, "values": {"a": "b"}},
        {"relation": "r", "subject": [0, 1], "object": [2, 3]},
        "relation: 'r' is not a known value; choose from: a",
    ),
    (RELATION, {"relation": "r", "subject": [0, 1]}, "object: must be [start, end) in tokens, not 'None'"),
    (RELATION, {"relation": "r", "subject": [0, 1, 2], "object": [3, 4]}, "subject: must be [start, end) in tokens, not '[0, 1, 2]'"),
    (RELATION, {"relation": "r", "subject": "01", "object": [3, 4]}, "subject: must be [start, end) in tokens, not '01'"),
    (RELATION, {"relation": "r", "subject": [0, 1], "object": [3, 9]}, "object: [3, 9) is not a range inside the text"),
    (RELATION, {"relation": "r", "subject": [0, 3], "object": [2, 5]}, "subject and object overlap at token 2"),
    (RELATION, {"relation": ["r"], "subject": [0, 1], "object": [2, 3]}, "relation: a list is not a class"),
    (TEXT, {"target": 5}, "target: the target is not a text: '5'"),
    (TEXT, {"target": ["a"]}, "target: the target is not a text: \"['a']\""),
]


@pytest.mark.parametrize(("settings", "row", "message"), MALFORMED)
def test_malformed_values_name_the_column_and_the_value(settings: dict[str, Any], row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        reader(settings).read(row, ["token"] * LENGTH)


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        ("classes", [["a", "b"], [], ["b"]], {"classes": {"a": 1, "b": 2}}),
        ("spans", [[span(0, 1, "y"), span(1, 2)], [], [span(0, 2)]], {"entities": {"x": 2, "y": 1}}),
        ("relation", [related("r", (0, 1), (1, 2)), related("q", (0, 1), (1, 2))], {"classes": {"q": 1, "r": 1}}),
        ("text", ["one two", "three four five six"], {"words": 3.0}),
        ("text", [], {"words": None}),
    ],
)
def test_summary(type_: str, values: list[Any], expected: dict[str, Any]) -> None:
    assert label_type(type_).summary(values) == expected


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A number of tokens, and two or more sorted ranges that may touch but do not overlap."""
    result, position = [], 0
    for _ in range(draw(st.integers(2, 5))):
        start = position + draw(st.integers(0, 2))
        position = start + draw(st.integers(1, 3))
        result.append((start, position))
    return position + draw(st.integers(0, 2)), result


NAMES = st.sampled_from(["PER", "geo-loc", "I-", "O"])


@given(ranges(), st.data())
def test_spans_become_tags_and_back(case: tuple[int, list[tuple[int, int]]], data: st.DataObject) -> None:
    length, pairs = case
    value = [span(start, end, data.draw(NAMES)) for start, end in pairs]
    tags = label_type("spans").to_tags(value, length)
    assert tags is not None
    assert len(tags) == length
    assert legal_iob2(tags)
    assert label_type("spans").from_tags(tags, value) == value


@given(ranges(), st.booleans(), NAMES)
def test_relations_become_tags_and_back(case: tuple[int, list[tuple[int, int]]], tail_first: bool, name: str) -> None:
    length, pairs = case
    head, tail = (pairs[-1], pairs[0]) if tail_first else (pairs[0], pairs[-1])
    value = related(name, head, tail)
    tags = label_type("relation").to_tags(value, length)
    assert tags is not None
    assert legal_iob2(tags)
    assert label_type("relation").from_tags(tags, value) == value


@pytest.mark.parametrize("type_", ["spans", "relation", "tags"])
def test_no_label_has_no_tags(type_: str) -> None:
    assert label_type(type_).to_tags(None, 3) is None
    assert label_type(type_).from_tags(None, None) is None


@pytest.mark.parametrize("type_", ["class", "classes", "number", "text"])
def test_labels_of_the_whole_row_have_no_tags(type_: str) -> None:
    with pytest.raises(NotImplementedError, match="does not refer to positions"):
        label_type(type_).to_tags("x", 3)
    with pytest.raises(NotImplementedError, match="does not refer to positions"):
        label_type(type_).from_tags(["O"], "x")


def table(type_: str, labels: list[Any]) -> pa.Table:
    """Rows of two tokens, in one chunk per row."""
    rows = [
        {"id": str(number), "split": "train", "tokens": ["a", "b"], "space_after": [True, False], "label": label}
        for number, label in enumerate(labels)
    ]
    return pa.concat_tables([pa.Table.from_pylist([row], schema=schema({"label": type_})) for row in rows])


ILLEGAL: list[tuple[str, Any, str]] = [
    ("tags", ["O"], "label has another length than tokens"),
    ("tags", ["O", "I-x"], "label is not legal IOB2: O I-x"),
    *(
        ("spans", value, "label has a range outside the text or overlapping ranges")
        for value in ([span(-1, 1)], [span(1, 1)], [span(0, 3)], [span(0, 2), span(1, 2)], [span(1, 2), span(0, 1)])
    ),
    *(
        ("relation", value, "label has a range outside the text or overlapping ranges")
        for value in (
            related("r", (0, 1), (0, 2)),
            related("r", (0, 1), (1, 3)),
            related("r", (1, 1), (0, 1)),
            related("r", (0, 1), (-1, 0)),
        )
    ),
]


@pytest.mark.parametrize(("type_", "value", "message"), ILLEGAL)
def test_an_illegal_label_names_its_row(type_: str, value: Any, message: str) -> None:
    legal = {"tags": ["B-x", "I-x"], "spans": [span(0, 1), span(1, 2)], "relation": related("r", (1, 2), (0, 1))}[type_]
    check(table(type_, [legal, None, legal]), "legal.parquet")
    with pytest.raises(DataError, match=f"file.parquet: row '3': {message}"):
        check(table(type_, [legal, None, legal, value, legal]), "file.parquet")
    with pytest.raises(DataError, match="row '1'"):
        check(table(type_, [None, value]).combine_chunks(), "file.parquet")


@pytest.mark.parametrize("type_", ["class", "classes", "number", "text", "tags", "spans", "relation"])
def test_columns_without_labels_are_legal(type_: str) -> None:
    check(table(type_, [None, None]), "file.parquet")
    check(table(type_, [None]).slice(0, 0), "file.parquet")
