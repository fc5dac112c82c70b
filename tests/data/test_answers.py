"""Questions and answers: SQuAD files and tables become rows whose answers are tokens of the context."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.config import Params, parse
from mtl.data import schema
from mtl.data.labels.answers import Answers
from mtl.data.prepare import prepare
from mtl.data.spans import legal_iob2
from mtl.errors import DataError, ParamsError

CONTEXT = "In  1852\nAnn-Lee's house (near Rome) cost $1,000."
LABEL = {"type": "answers", "column": "answers", "field": "context"}


def settings(reader: dict[str, Any], label: dict[str, Any] = LABEL, **dataset: Any) -> Params:
    own = {"source": {"url": "x"}, "reader": reader, "text": ["question", "context"], "labels": {"answers": label}, "segmentation": "words"}
    return parse(
        {
            "seed": 1,
            "datasets": {"d": own | {"split": {"train": 1.0}} | dataset},
            "tasks": {"t": {"type": "question_answering", "label": "answers"}},
            "encoder": {"type": "cnn"},
        }
    )


def prepared(tmp_path: Path, params: Params, content: str | pa.Table) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    folder = tmp_path / "raw" / "all"
    folder.mkdir(parents=True)
    if isinstance(content, str):
        (folder / "file").write_text(content, encoding="utf-8")
    else:
        pq.write_table(content, folder / "file")
    (tmp_path / "out").mkdir()
    prepare(params, "d", tmp_path / "raw", tmp_path / "out")
    return schema.read(tmp_path / "out" / "d.parquet").to_pylist(), json.loads((tmp_path / "out" / "d.json").read_text())


def answer(text: str, start: int | None = None) -> dict[str, Any]:
    return {"text": text, "answer_start": CONTEXT.index(text) if start is None else start}


def squad(*questions: list[dict[str, Any]]) -> str:
    """A file of SQuAD with one paragraph, and the answers to each of its questions."""
    asked = [
        {"id": f"q{i}", "question": f"Why {i}?", "answers": answers, "is_impossible": not answers} for i, answers in enumerate(questions)
    ]
    return json.dumps({"version": "v2.0", "data": [{"title": "T", "paragraphs": [{"context": CONTEXT, "qas": asked}]}]}, indent=1)


def test_answers_of_squad_become_the_tokens_that_cover_them(tmp_path: Path) -> None:
    questions = [answer("1852"), answer("Ann"), answer("house (near Rome)"), answer("1,00")], [], [answer("In  1852")]
    rows, card = prepared(tmp_path, settings({"format": "squad"}), squad(*questions))
    tokens = rows[0]["context.tokens"]
    assert tokens[:4] == ["In", "1852", "Ann-Lee", "'s"]
    covered = [" ".join(tokens[item["start"] : item["end"]]) for item in rows[0]["answers"]]
    assert covered == ["1852", "Ann-Lee", "house ( near Rome )", "1,000"]
    assert [item["text"] for item in rows[0]["answers"]] == ["1852", "Ann", "house (near Rome)", "1,00"]
    assert [row["answers"] for row in rows[1:]] == [[], [{"text": "In  1852", "start": 0, "end": 2}]]
    assert card["labels"]["answers"]["train"]["answers"] == {"with an answer": 2, "without an answer": 1}


LISTS = {"text": ["1852"], "answer_start": [4]}
ONE = {**LABEL, "column": "answer", "start": "offset"}


@pytest.mark.parametrize(
    ("label", "row", "expected"),
    [
        (LABEL, {"answers": LISTS}, [{"text": "1852", "start": 1, "end": 2}]),
        (LABEL, {"answers": [answer("1852")]}, [{"text": "1852", "start": 1, "end": 2}]),
        (LABEL, {"answers": {"text": [], "answer_start": []}}, []),
        (LABEL, {"answers": None}, None),
        (ONE, {"answer": " 1852 ", "offset": 3}, None),
        (ONE, {"answer": "1852", "offset": "4"}, [{"text": "1852", "start": 1, "end": 2}]),
        (ONE, {"answer": "", "offset": -1}, []),
        (ONE, {"answer": "", "offset": ""}, None),
    ],
)
def test_tables_name_answers_in_their_own_way(label: dict[str, Any], row: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    params = settings({"format": "jsonl"}, label, max_malformed=0.9)
    filler = {"question": "?", "context": CONTEXT, "answers": [answer("Rome")], "answer": "Rome", "offset": CONTEXT.index("Rome")}
    rows, _ = prepared(tmp_path, params, "\n".join(json.dumps(line) for line in (filler, {**filler, **row})))
    found = [row["answers"] for row in rows if row["id"] == "all-2"]
    assert found == ([] if expected is None else [expected])


def test_a_parquet_file_of_the_hub_is_read(tmp_path: Path) -> None:
    table = pa.table({"question": ["Why?"], "context": [CONTEXT], "answers": [LISTS]})
    rows, _ = prepared(tmp_path, settings({"format": "parquet"}), table)
    assert rows[0]["answers"] == [{"text": "1852", "start": 1, "end": 2}]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([answer("1852", 5)], "answers: the answer '1852' is not at its offset 5, where there is '852\\n'"),
        ([answer("Rome", 99)], "answers: the answer 'Rome' is not at its offset 99, where the text has 49 characters"),
        ([answer("Rome", -2)], "answers: the answer 'Rome' is not at its offset -2, where the text has 49 characters"),
        ([answer(" ", 2)], "answers: the answer at 2 is not a text: ' '"),
        ([{"text": "Rome"}], "answers: 'None' is not an offset in characters"),
        ([{"text": "Rome", "answer_start": 31.5}], "answers: '31.5' is not an offset in characters"),
        ({"text": ["a"], "answer_start": []}, "answers: has 1 texts, but 0 offsets"),
        ("Rome", "answers: must be {text: [...], answer_start: [...]} or a list of {text, answer_start}, not 'Rome'"),
    ],
)
def test_a_wrong_answer_is_a_malformed_row(value: Any, reason: str, tmp_path: Path) -> None:
    lines = [{"question": "?", "context": CONTEXT, "answers": [answer("Rome")]}, {"question": "?", "context": CONTEXT, "answers": value}]
    with pytest.raises(DataError, match="1 of 2 rows malformed") as caught:
        prepared(tmp_path, settings({"format": "jsonl"}), "\n".join(map(json.dumps, lines)))
    assert f"all, line 2: {reason}: " in str(caught.value)


def test_the_malformed_question_of_a_squad_file_is_counted_and_named(tmp_path: Path) -> None:
    wrong = [answer("Rome", 0)]
    rows, card = prepared(tmp_path, settings({"format": "squad"}, max_malformed=0.5), squad([answer("Rome")], wrong))
    assert len(rows) == 1
    assert card["malformed"]["samples"][0]["line"] == 2
    assert card["malformed"]["samples"][0]["reason"] == "answers: the answer 'Rome' is not at its offset 0, where there is 'In  '"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not SQuAD JSON: the file has no list of objects 'data'"),
        ('{"data": [{"title": "T"}]}', "an object in 'data' has no list of objects 'paragraphs'"),
        ('{"data": [{"paragraphs": [{"context": "c", "qas": 1}]}]}', "an object in 'paragraphs' has no list of objects 'qas'"),
    ],
)
def test_a_file_of_another_form_is_an_error(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, settings({"format": "squad"}), content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"answers": {**LABEL, "field": "question"}}}, "'d' has text fields question, context, label about question"),
        ({"text": "context", "labels": {"answers": {"type": "answers", "column": "answers"}}}, "needs two, label about the second"),
        ({"unescape_html": True}, "unescape_html changes the text whose characters the label 'answers' counts"),
        (
            {"text": ["question", "body"], "labels": {"answers": {**LABEL, "field": "body"}}},
            "'body' is not a column; choose from: id, title",
        ),
    ],
)
def test_a_dataset_without_a_context_is_an_issue(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        settings({"format": "squad"}, **changes)


ranges = st.tuples(st.integers(0, 9), st.integers(1, 4)).map(lambda pair: {"text": "x", "start": pair[0], "end": min(10, sum(pair))})


@given(st.lists(ranges, max_size=5), st.integers(0, 3))
def test_answers_move_with_the_tokens_that_they_cover(value: list[dict[str, Any]], before: int) -> None:
    """Answers may overlap: what they cover stays together, so each keeps its tokens."""
    tags = Answers.to_tags(value, 10)
    assert tags is not None
    assert legal_iob2(tags)
    assert {i for i, tag in enumerate(tags) if tag != "O"} == {i for item in value for i in range(item["start"], item["end"])}
    moved = Answers.from_tags(["O"] * before + tags, value)
    assert moved == [{**item, "start": item["start"] + before, "end": item["end"] + before} for item in value]


def test_a_variant_that_changes_an_answer_is_an_error() -> None:
    value = [{"text": "x", "start": 1, "end": 3}]
    with pytest.raises(ValueError, match="the tokens of an answer are not those of the original row"):
        Answers.from_tags(["O", "B-answer", "O"], value)
    assert Answers.from_tags(None, value) is None
    assert Answers.to_tags(None, 3) is None
