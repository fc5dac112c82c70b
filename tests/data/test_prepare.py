"""From raw files to the canonical table and the data card."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mtl.config import Params, parse
from mtl.data import schema
from mtl.data.prepare import prepare
from mtl.errors import DataError

CLASS = {"type": "class", "column": "label"}
TSV = {"format": "tsv", "quoting": "none"}
ALL_TRAIN = {"train": 1.0}


def settings(dataset: dict[str, Any], seed: int = 1) -> Params:
    label, spec = next(iter(dataset["labels"].items()))
    kind = {"class": "classification", "number": "regression", "tags": "token_classification"}[spec["type"]]
    return parse(
        {
            "seed": seed,
            "datasets": {"d": {"source": {"url": "x"}, **dataset}},
            "tasks": {"t": {"type": kind, "label": label}},
            "encoder": {"type": "cnn"},
            **{section: {} for section in ("augment", "train", "evaluate", "report")},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


def run(tmp_path: Path, dataset: dict[str, Any], seed: int = 1, **raw: bytes) -> tuple[pa.Table, dict[str, Any]]:
    """Prepare a dataset whose sources hold one file each; returns the table and the card."""
    for name, content in raw.items():
        (tmp_path / "raw" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name / "file").write_bytes(content)
    (tmp_path / "out").mkdir(exist_ok=True)
    prepare(settings(dataset, seed), "d", tmp_path / "raw", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["d.json", "d.parquet"]
    return schema.read(tmp_path / "out" / "d.parquet"), json.loads((tmp_path / "out" / "d.json").read_text())


def test_two_labels_of_one_column_and_white_space(tmp_path: Path) -> None:
    labels = {
        "mood": {"type": "class", "column": "r", "bins": {"bad": [-4, 0], "good": [0, 4]}},
        "score": {"type": "number", "column": "r"},
    }
    dataset = {"reader": {**TSV, "columns": ["r", "text"]}, "labels": labels, "split": ALL_TRAIN, "unescape_html": True}
    table, card = run(tmp_path, dataset, all="-4\t a  &amp;\u00a0b \n0\t&lt;3\n4\tc\n9\td\n\te\n".encode())
    assert table["tokens"].to_pylist() == [["a", "&", "b"], ["<3"], ["c"], ["d"]]
    assert table["space_after"].to_pylist() == [[True, True, False], [False], [False], [False]]
    assert table["mood"].to_pylist() == ["bad", "good", "good", None]  # 9 is in no bin
    assert table["score"].to_pylist() == [-4.0, 0.0, 4.0, 9.0]
    assert table["id"].to_pylist() == ["all-1", "all-2", "all-3", "all-4"]
    assert table["parent_id"].null_count == table["augmenter"].null_count == 4
    assert schema.labels_of(table.schema) == {"mood": "class", "score": "number"}
    assert card["unlabelled"] == {"total": 1, "all": 1}
    assert card["labels"]["mood"]["train"] == {"rows": 3, "classes": {"bad": 1, "good": 2}}
    assert card["labels"]["score"]["train"] == {"rows": 4, "mean": 2.25, "std": pytest.approx(4.81534), "min": -4.0, "max": 9.0}
    assert card["longest"] == {"id": "all-1", "tokens": 3, "characters": 5}


def test_conll_in_bioes_with_given_splits(tmp_path: Path) -> None:
    source = {"train": {"url": "x"}, "test": {"url": "y"}}
    labels = {"e": {"type": "tags", "column": "tags", "scheme": "bioes"}}
    train = b"-DOCSTART- O\n\nA B-P\nB E-P\nc O\n\nD S-Q\n"
    table, card = run(tmp_path, {"source": source, "reader": {"format": "conll"}, "labels": labels}, train=train, test=b"A S-P\nc O")
    assert table["e"].to_pylist() == [["B-P", "I-P", "O"], ["B-Q"], ["B-P", "O"]]
    assert table["split"].to_pylist() == ["train", "train", "test"]
    assert table["id"].to_pylist() == ["train-1", "train-2", "test-1"]
    assert card["labels"]["e"]["train"] == {"rows": 2, "entities": {"P": 1, "Q": 1}}
    assert card["rows"] == {"total": 3, "train": 2, "validation": 0, "test": 1}
    assert card["tokens"] == {"total": 6, "train": 4, "validation": 0, "test": 2}


def test_parallel_and_lists_of_tokens(tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "all"
    raw.mkdir(parents=True)
    (raw / "in").write_text("play it\nstop \n")
    (raw / "out").write_text("O B-x\nO\n")
    (raw / "label").write_text("A\nB\n")
    reader = {"format": "parallel", "files": {"text": "in", "tags": "out", "label": "label"}}
    table, _ = run(tmp_path, {"reader": reader, "labels": {"i": CLASS, "s": {"type": "tags", "column": "tags"}}, "split": ALL_TRAIN})
    assert table.select(["tokens", "i", "s"]).to_pylist() == [
        {"tokens": ["play", "it"], "i": "A", "s": ["O", "B-x"]},
        {"tokens": ["stop"], "i": "B", "s": ["O"]},
    ]
    lines = b'{"text": ["New York", "x"], "label": true}\n{"text": "a b", "label": null}\n{"text": "a b", "label": 2}\n'
    for file in raw.iterdir():
        file.unlink()
    table, card = run(tmp_path, {"reader": {"format": "jsonl"}, "tokens": True, "labels": {"c": CLASS}, "split": ALL_TRAIN}, all=lines)
    assert table.select(["tokens", "c"]).to_pylist() == [{"tokens": ["New York", "x"], "c": "true"}, {"tokens": ["a", "b"], "c": "2"}]
    assert table["id"].to_pylist() == ["all-1", "all-3"]
    assert card["unlabelled"]["total"] == 1


MALFORMED: list[tuple[dict[str, Any], bytes, str]] = [
    (
        {"c": {**CLASS, "values": {"0": "no", "1": "yes"}}},
        b'{"text": "x", "label": "2"}',
        "'2' is not a known value; choose from: 0, 1",
    ),
    ({"c": CLASS}, b'{"text": "x", "label": [1]}', "a list is not a class"),
    ({"c": CLASS}, b'{"text": " ", "label": "a"}', "the text is empty"),
    ({"c": CLASS}, b'{"text": 5, "label": "a"}', "the text is no text: '5'"),
    ({"c": CLASS}, b'{"text": ["x"], "label": "a"}', "set the dataset's key tokens to true"),
    ({"c": CLASS}, b'{"text": "\\ud800", "label": "a"}', "surrogate"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": "3,5"}', "'3,5' is not a number"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": true}', "'True' is not a number"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": "inf"}', "not finite"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": -1e200}', "label: -1e+200 is too large"),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "x y", "label": "O"}', "1 tags for 2 tokens"),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "x y", "label": ["O", "I-P"]}', "'I-P' after 'O' is not legal iob2"),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "x", "label": [3]}', "must be a list of tags"),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "x", "label": ["B-\\ud800"]}', "surrogate"),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "New\\u00a0York \\u00a0 Oslo", "label": "B-P O B-P"}', "a token is empty"),
]


@pytest.mark.parametrize(("labels", "line", "reason"), MALFORMED, ids=[case[2][:30] for case in MALFORMED])
def test_malformed_rows_are_counted_shown_and_refused_above_the_share(tmp_path: Path, labels: Any, line: bytes, reason: str) -> None:
    good = {"c": "0", "n": 1, "t": "O"}[next(iter(labels))]
    fine = json.dumps({"text": "word", "label": good}).encode()
    dataset = {"reader": {"format": "jsonl"}, "labels": labels, "split": ALL_TRAIN}
    table, card = run(tmp_path, {**dataset, "max_malformed": 0.5}, all=b"\n".join([fine, line]))
    assert table["id"].to_pylist() == ["all-1"]
    assert card["malformed"]["total"] == card["malformed"]["all"] == 1
    assert card["malformed"]["share"] == 0.5
    assert card["malformed"]["samples"][0]["line"] == 2
    assert reason in card["malformed"]["samples"][0]["reason"]
    with pytest.raises(DataError, match=r"1 of 2 rows are malformed \(50.00%\), more than datasets.d.max_malformed = 0.49") as caught:
        run(tmp_path, {**dataset, "max_malformed": 0.49}, all=b"\n".join([fine, line]))
    assert "all, line 2: " in str(caught.value)
    assert reason in str(caught.value)


def test_the_first_ten_malformed_rows_are_kept(tmp_path: Path) -> None:
    dataset = {"reader": {**TSV, "columns": ["label", "text"]}, "labels": {"c": CLASS}, "split": ALL_TRAIN, "max_malformed": 1.0}
    _, card = run(tmp_path, dataset, all=b"a\tx\n" + b"bad\n" * 25)
    assert card["malformed"]["total"] == 25
    assert [sample["line"] for sample in card["malformed"]["samples"]] == list(range(2, 12))


def many(count: int) -> bytes:
    letters = "abcdefghijklmnopqrst"
    return "".join(f"{i % 2}\tq{letters[i % 20]} w{letters[i // 20 % 20]} e{letters[i // 400]}\n" for i in range(count)).encode()


def test_fractions_deal_out_train_single_and_the_same_bytes_come_out(tmp_path: Path) -> None:
    dataset = {
        "source": {"train": {"url": "x"}, "test": {"url": "y"}},
        "reader": {**TSV, "columns": ["label", "text"]},
        "labels": {"c": CLASS},
        "split": {"train": 0.8, "validation": 0.2},
    }
    table, card = run(tmp_path, dataset, train=many(800), test=b"0\tQA wa ea !\n1\tnew\n")
    assert card["rows"]["train"] + card["rows"]["validation"] == 800
    assert 120 < card["rows"]["validation"] < 200
    assert card["rows"]["test"] == 2
    assert set(table.filter(pa.compute.equal(table["split"], "validation"))["id"].to_pylist()) <= {f"train-{i}" for i in range(1, 801)}
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    run(tmp_path, dataset)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first
    run(tmp_path, dataset, seed=2)
    assert (tmp_path / "out" / "d.parquet").read_bytes() != first["d.parquet"]


def test_duplicates_and_leakage_are_reported(tmp_path: Path) -> None:
    dataset = {
        "source": {"train": {"url": "x"}, "validation": {"url": "y"}, "test": {"url": "z"}},
        "reader": {**TSV, "columns": ["label", "text"]},
        "labels": {"c": CLASS},
    }
    _, card = run(
        tmp_path,
        dataset,
        train=b"0\tone two three\n1\tone two three\n0\tfour\n",
        validation=b"0\tfour\n",
        test=b"0\tOne two, three 4\n1\tsix\n",
    )
    assert card["duplicates"] == {"total": 2, "train": 1, "validation": 0, "test": 0}
    assert card["leakage"]["exact"] == {"validation": 1, "test": 0}
    assert card["leakage"]["near"] == {"validation": 0, "test": 1}
    assert [(s["kind"], s["id"], s["train_id"]) for s in card["leakage"]["samples"]] == [
        ("exact", "validation-1", "train-3"),
        ("near", "test-1", "train-1"),
    ]


def test_a_split_without_rows_is_an_error(tmp_path: Path) -> None:
    dataset = {"reader": {**TSV, "columns": ["label", "text"]}, "labels": {"c": CLASS}, "split": {"train": 0.99, "test": 0.01}}
    with pytest.raises(DataError, match=r"none of its 1 labelled rows fell to test; raise its share in datasets\.d\.split"):
        run(tmp_path, dataset, all=b"0\tone\n")
    with pytest.raises(DataError, match="its source all holds no row"):
        run(tmp_path, dataset, all=b"")
    with pytest.raises(DataError, match="no row of train carries the label 'c'"):
        run(
            tmp_path,
            {**dataset, "split": ALL_TRAIN, "labels": {"c": CLASS, "n": {"type": "number", "column": "text"}}},
            all=b"\t5\n",
        )
