"""From raw files to the canonical table and the data card."""

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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
    task_type = {"class": "classification", "number": "regression", "tags": "token_classification"}[spec["type"]]
    return parse(
        {
            "seed": seed,
            "datasets": {"d": {"source": {"url": "x"}, **dataset}},
            "tasks": {"t": {"type": task_type, "label": label}},
            "encoder": {"type": "cnn"},
            **{section: {} for section in ("augment", "train", "evaluate", "report")},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


def run(tmp_path: Path, dataset: dict[str, Any], seed: int = 1, **raw: bytes) -> tuple[pa.Table, dict[str, Any]]:
    """Prepare a dataset from one file per source; returns the table and the card."""
    for name, content in raw.items():
        (tmp_path / "raw" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name / "file").write_bytes(content)
    (tmp_path / "out").mkdir(exist_ok=True)
    prepare(settings(dataset, seed), "d", tmp_path / "raw", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["d.json", "d.parquet"]
    return schema.read(tmp_path / "out" / "d.parquet"), json.loads((tmp_path / "out" / "d.json").read_text())


def test_given_tokens_are_spaced_by_rules_and_matched(tmp_path: Path) -> None:
    dataset = {"reader": {"format": "conll"}, "labels": {"tags": {"type": "tags", "column": "tags"}}, "split": ALL_TRAIN}
    table, card = run(tmp_path, dataset, all="I O\n'm O\nAnn B-x\n, O\nbye O\n\n王 B-x\n明 I-x\n好 O\n".encode())
    assert table["space_after"].to_pylist() == [[False, True, False, True, False], [False] * 3]
    assert schema.segmentation_of(table.schema) == "words"
    assert card["segmentation"] == {
        "name": "words",
        "reproduced": {"words": 1, "tweets": 0.75, "characters": 0.625, "spaces": 0.125},
        "rows": 2,
    }
    assert card["warnings"] == []
    _, named = run(tmp_path, {**dataset, "segmentation": "spaces"})
    assert named["segmentation"]["name"] == "spaces"
    assert named["warnings"] == [
        "the segmentation of new texts, spaces, reproduces 12.5% of the tokens: compare the scores on raw text in the report"
    ]


@pytest.mark.parametrize(
    ("text", "labels", "segmentation", "tokens"),
    [
        ("Ann's phone.", {"label": CLASS}, "spaces", ["Ann's", "phone."]),
        ("买iPhone了，好！", {"label": CLASS}, "words", ["买", "iPhone", "了", "，", "好", "！"]),
        ("買う", {"t": {"type": "tags", "column": "label"}}, "spaces", ["買う"]),
    ],
)
def test_raw_texts_of_scripts_without_spaces_are_split_into_words(
    tmp_path: Path, text: str, labels: Any, segmentation: str, tokens: list[str]
) -> None:
    dataset = {"reader": {"format": "csv"}, "labels": labels, "split": ALL_TRAIN}
    table, card = run(tmp_path, dataset, all=f"text,label\n{text},O\n".encode())
    assert table["tokens"].to_pylist() == [tokens]
    assert schema.segmentation_of(table.schema) == card["segmentation"]["name"] == segmentation


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


def consistent(dataset: dict[str, Any], **others: dict[str, Any]) -> Params:
    """Settings of a task that learns from rows without labels too."""
    content = settings(dataset).model_dump(mode="json")
    content["tasks"]["t"]["consistency"] = {}
    content["augment"], content["experiment"] = {"methods": {"swap": {"type": "swap"}}}, {"joint": ["augmented"], "single_task": []}
    content["datasets"] |= {name: {"source": {"url": "y"}, **other} for name, other in others.items()}
    return parse(content)


@pytest.mark.parametrize("group_by", ["text", "near", "group"])
def test_rows_without_labels_are_train_rows_and_change_no_other_split(tmp_path: Path, group_by: str) -> None:
    words = [f"{a} {b} house of {c} trees near {d}" for a, b, c, d in itertools.product("abcd", "efgh", "ijk", "lm")]
    labelled = [f"{text} and the sea\tg{number % 30}\t{'ab'[number % 2]}" for number, text in enumerate(words)]
    # Every second text again without a label, changed in one word, so that it is nearly the same; and some texts that are new.
    bare = [line.replace("sea", "sea side").rsplit("\t", 1)[0] + "\t" for line in labelled[::2]]
    bare += [f"other things number{number} come here today\th{number}\t" for number in range(40)]
    dataset = {
        "reader": {**TSV, "columns": ["text", "group", "label"]},
        "labels": {"label": CLASS},
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2, "group_by": group_by},
    }
    plain, _ = run(tmp_path, dataset, all="\n".join([*labelled, *bare]).encode())
    prepare(consistent(dataset), "d", tmp_path / "raw", tmp_path / "out")
    table, card = schema.read(tmp_path / "out" / "d.parquet"), json.loads((tmp_path / "out" / "d.json").read_text())
    rows = {row["id"]: row for row in table.to_pylist()}
    assert {name: row for name, row in rows.items() if row["label"]} == {row["id"]: row for row in plain.to_pylist()}
    kept = [row for row in rows.values() if row["label"] is None]
    assert {row["split"] for row in kept} == {"train"}
    assert card["unlabelled"] == {"total": 88, "all": 88, "kept": len(kept)}
    assert sum(row["tokens"][0] == "other" for row in kept) == 40 or group_by == "group"
    # None of those that are left repeats a held-out text, though every labelled row may.
    held_out = {" ".join(row["tokens"]) for row in rows.values() if row["split"] != "train"}
    assert not held_out & {" ".join(row["tokens"]).replace("sea side", "sea") for row in kept}
    assert 0 < sum(row["tokens"][0] != "other" for row in kept) < 48


def test_rows_without_labels_do_not_connect_near_duplicates(tmp_path: Path) -> None:
    lines = []
    for number in range(30):
        words = [
            f"{chr(97 + number % 26)}{chr(97 + place % 26)}{chr(97 + (number * 7 + place) % 26)}{'xyz'[place % 3]}" for place in range(46)
        ]
        one, other = words[:40], words[40:] + words[6:40]
        between = words[40:43] + words[3:40]  # nearly the same as either of them, which are too different from each other
        lines += [f"{' '.join(one)}\ta", f"{' '.join(other)}\tb", f"{' '.join(between)}\t"]
    split = {"train": 0.5, "test": 0.5, "group_by": "near"}
    dataset = {"reader": {**TSV, "columns": ["text", "label"]}, "labels": {"label": CLASS}, "split": split}
    plain, _ = run(tmp_path, dataset, all="\n".join(lines).encode())
    prepare(consistent(dataset), "d", tmp_path / "raw", tmp_path / "out")
    splits = {row["id"]: row["split"] for row in schema.read(tmp_path / "out" / "d.parquet").to_pylist() if row["label"]}
    assert splits == {row["id"]: row["split"] for row in plain.to_pylist()}
    pairs = [(splits[f"all-{number}"], splits[f"all-{number + 1}"]) for number in range(1, 90, 3)]
    assert any(one != other for one, other in pairs)


def test_a_dataset_without_labels_is_all_train_but_for_held_out_texts(tmp_path: Path) -> None:
    dataset = {"reader": {**TSV, "columns": ["label", "text"]}, "labels": {"label": CLASS}, "split": {"train": 0.5, "test": 0.5}}
    texts = [f"{letter * 3} house, {letter * 4} street and {letter * 5} town" for letter in "abcdefghijklmnopqrst"]
    for name, content in (("d", [f"{'ab'[i % 2]}\t{text}" for i, text in enumerate(texts)]), ("more", [*texts, "a new one"])):
        (tmp_path / "raw" / name / "all").mkdir(parents=True)
        (tmp_path / "raw" / name / "all" / "file").write_text("\n".join(content))
    params = consistent(dataset, more={"reader": {**TSV, "columns": ["text"]}})
    (tmp_path / "out").mkdir()
    for name in ("d", "more"):
        prepare(params, name, tmp_path / "raw" / name, tmp_path / "out")
    labelled, more = (schema.read(tmp_path / "out" / f"{name}.parquet") for name in ("d", "more"))
    held_out = [row["tokens"] for row in labelled.to_pylist() if row["split"] == "test"]
    assert more["tokens"].to_pylist() == [text.split() for text in [*texts, "a new one"] if text.split() not in held_out]
    assert set(more["split"].to_pylist()) == {"train"}
    assert 0 < len(held_out) < 20


def test_conll_in_bioes_with_official_splits(tmp_path: Path) -> None:
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
    ({"c": CLASS}, b'{"text": "x", "label": [1]}', "label: a list is not a class"),
    ({"c": CLASS}, b'{"text": " ", "label": "a"}', "text: the text is empty"),
    ({"c": CLASS}, b'{"text": 5, "label": "a"}', "text: the value is not a text: '5'"),
    (
        {"c": CLASS},
        b'{"text": ["x"], "label": "a"}',
        "text: the text is a list; if it is a list of tokens, set the dataset's key tokens to true",
    ),
    ({"c": CLASS}, b'{"text": "\\ud800", "label": "a"}', "text: contains half of a surrogate pair"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": "3,5"}', "'3,5' is not a number"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": true}', "'True' is not a number"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": "inf"}', "not finite"),
    ({"n": {"type": "number", "column": "label"}}, b'{"text": "x", "label": -1e200}', "label: -1e+200 is too large"),
    (
        {"t": {"type": "tags", "column": "label"}},
        b'{"text": "x y", "label": "O"}',
        "label: the number of tags (1) is not the number of tokens (2)",
    ),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "x y", "label": ["O", "I-P"]}', "'I-P' after 'O' is not legal iob2"),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "x", "label": [3]}', "the tags are numbers, [3]"),
    ({"t": {"type": "tags", "column": "label"}}, b'{"text": "x", "label": ["B-\\ud800"]}', "t: contains half of a surrogate pair"),
    (
        {"t": {"type": "tags", "column": "label"}},
        b'{"text": "New\\u00a0York \\u00a0 Oslo", "label": "B-P O B-P"}',
        "text: a token is empty",
    ),
]


@pytest.mark.parametrize(("labels", "line", "reason"), MALFORMED, ids=[case[2][:30] for case in MALFORMED])
def test_malformed_rows_are_counted_sampled_and_refused_above_the_share(tmp_path: Path, labels: Any, line: bytes, reason: str) -> None:
    good = {"c": "0", "n": 1, "t": "O"}[next(iter(labels))]
    fine = json.dumps({"text": "word", "label": good}).encode()
    dataset = {"reader": {"format": "jsonl"}, "labels": labels, "split": ALL_TRAIN}
    table, card = run(tmp_path, {**dataset, "max_malformed": 0.5}, all=b"\n".join([fine, line]))
    assert table["id"].to_pylist() == ["all-1"]
    assert card["malformed"]["total"] == card["malformed"]["all"] == 1
    assert card["malformed"]["share"] == 0.5
    assert card["malformed"]["samples"][0]["line"] == 2
    assert reason in card["malformed"]["samples"][0]["reason"]
    with pytest.raises(DataError, match=r"1 of 2 rows malformed \(50.00%\), more than datasets.d.max_malformed = 0.49") as caught:
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


def test_fractions_split_only_the_train_source_and_are_reproducible(tmp_path: Path) -> None:
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


def test_neither_parts_nor_row_groups_change_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is the one that is written at once, and the card is the same, however few rows are in memory at a time."""
    dataset = {
        "reader": {**TSV, "columns": ["n", "label", "text"]},
        "labels": {"c": CLASS, "n": {"type": "number", "column": "n", "missing": ["7"]}},
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2, "group_by": "near"},
    }
    texts = [f"{'abcde'[i % 5] * 3} goes {['to', 'from', 'by'][i % 3]} {'wxyz'[i % 4]} now" for i in range(300)]
    rows = "".join(f"{i % 9}\t{i % 2}\t{text}\n" for i, text in enumerate(texts))
    monkeypatch.setattr(schema, "ROW_GROUP", 64)
    table, card = run(tmp_path, dataset, all=rows.encode())
    written = (tmp_path / "out" / "d.parquet").read_bytes()
    assert min(card["rows"].values()) > 10
    assert card["leakage"]["near"]["test"] == 0 < card["duplicates"]["total"]
    schema.write(table.combine_chunks(), tmp_path / "at-once.parquet")
    assert (tmp_path / "at-once.parquet").read_bytes() == written
    monkeypatch.setattr("mtl.data.spill.ROWS", 7)
    monkeypatch.setattr("mtl.data.spill.TOKENS", 25)
    assert run(tmp_path, dataset)[1] == card
    assert (tmp_path / "out" / "d.parquet").read_bytes() == written


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
    with pytest.raises(DataError, match=r"split test has no labelled rows; raise its share in datasets\.d\.split"):
        run(tmp_path, dataset, all=b"0\tone\n")
    with pytest.raises(DataError, match="dataset d: source all has no rows"):
        run(tmp_path, dataset, all=b"")
    both = {"c": CLASS, "n": {"type": "number", "column": "text"}}
    official = {**dataset, "split": None, "source": {"train": {"url": "x"}, "test": {"url": "y"}}, "labels": both}
    with pytest.raises(DataError, match="no row of split train has the label 'c'"):
        run(tmp_path, official, train=b"\t5\n", test=b"a\t5\n")


@pytest.mark.parametrize("more", [{}, {"n": {"type": "number", "column": "text"}}])
def test_a_label_without_any_value_is_about_its_column_not_about_splits(tmp_path: Path, more: dict[str, Any]) -> None:
    dataset = {"reader": {**TSV, "columns": ["label", "text"]}, "labels": {"c": {**CLASS, "missing": ["NA"]}, **more}}
    message = "dataset d: none of the 2 rows has the label 'c': all cells of the column 'label' are empty, marked as missing, or in no bin"
    with pytest.raises(DataError, match=message):
        run(tmp_path, {**dataset, "split": {"train": 0.9, "test": 0.1}}, all=b"NA\t5\n\t6\n")


FLIGHTS = {"reader": {**TSV, "columns": ["n", "label", "text"]}, "labels": {"c": CLASS}}
BOSTON = "".join(f"{i % 50}\t{i % 2}\tshow me flights to boston {i}\n" for i in range(100)).encode()


def test_a_group_that_is_all_of_a_split_is_named_as_the_cause(tmp_path: Path) -> None:
    shares = {"train": 0.5, "test": 0.5}
    cause = r"100 of 100 rows are one group, because datasets.d.split.group_by: {} keeps {} together, such as 'show me flights to boston 0'"
    for group_by, alike in (("text", "texts that differ only in case, digits or punctuation"), ("near", "near duplicates")):
        with pytest.raises(DataError, match=cause.format(group_by, alike)):
            run(tmp_path, {**FLIGHTS, "split": {**shares, "group_by": group_by}}, all=BOSTON)
    table, _ = run(tmp_path, {**FLIGHTS, "split": {**shares, "group_by": "n"}})
    splits = table["split"].to_pylist()
    by_id = dict(zip(table["id"].to_pylist(), splits, strict=True))
    assert 30 < splits.count("test") < 70
    assert all(by_id[f"all-{i}"] == by_id[f"all-{i + 50}"] for i in range(1, 51))


def test_a_column_of_groups_may_have_a_value_for_each_token(tmp_path: Path) -> None:
    dataset = {
        "reader": {"format": "conll", "columns": ["token", "tags", "document"]},
        "labels": {"e": {"type": "tags", "column": "tags"}},
        "split": {"train": 1.0, "group_by": "document"},
        "max_malformed": 1.0,
    }
    table, card = run(tmp_path, dataset, all=b"a O 1\nb O 1\n\nc O 1\nd O 2\n\ne O 2\n")
    assert table["id"].to_pylist() == ["all-1", "all-3"]
    assert "the same for each token" in card["malformed"]["samples"][0]["reason"]


PAIRS = {
    "reader": {"format": "jsonl"},
    "text": {"premise": "sentence1", "hypothesis": "sentence2"},
    "labels": {
        "c": CLASS,
        "marks": {"type": "tags", "column": "tags", "field": "hypothesis"},
        "parts": {"type": "spans", "column": "spans", "field": "premise"},
    },
}


def pair(first: Any, second: Any, label: str = "a", **more: Any) -> bytes:
    row = {"sentence1": first, "sentence2": second, "label": label, "tags": ["O"] * len(str(second).split()), "spans": []}
    return json.dumps({**row, **more}).encode() + b"\n"


def test_two_text_fields_have_their_columns_and_labels(tmp_path: Path) -> None:
    rows = pair(" One  two ", "three", tags="B-x", spans=[{"start": 1, "end": 2, "type": "y"}]) + pair(
        "four", "five six", "b", tags=None, spans=None
    )
    table, card = run(tmp_path, {**PAIRS, "split": ALL_TRAIN}, all=rows)
    fields = ["premise.tokens", "premise.space_after", "hypothesis.tokens", "hypothesis.space_after"]
    assert table.schema.names == ["id", "split", *fields, "c", "marks", "parts", "parent_id", "augmenter"]
    assert table.select([*fields, "c", "marks", "parts"]).to_pylist() == [
        dict(zip([*fields, "c", "marks", "parts"], row, strict=True))
        for row in (
            (["One", "two"], [True, False], ["three"], [False], "a", ["B-x"], [{"start": 1, "end": 2, "type": "y"}]),
            (["four"], [False], ["five", "six"], [True, False], "b", None, None),
        )
    ]
    assert table.schema.metadata == {
        b"segmentation": b"spaces",
        b"label:c": b"class",
        b"label:marks": b"tags",
        b"label:parts": b"spans",
        b"field:marks": b"hypothesis",
    }
    assert schema.fields_of(table.schema) == ["premise", "hypothesis"]
    assert [schema.field_of(table.schema, label) for label in ("c", "marks", "parts")] == ["premise", "hypothesis", "premise"]
    assert schema.positional_labels(table.schema) == ["marks", "parts"]
    assert schema.positional_labels(table.schema, "hypothesis") == ["marks"]
    assert card["tokens"]["total"] == 6
    assert card["labels"]["parts"] == {"type": "spans", "train": {"rows": 1, "entities": {"y": 1}}}


def test_two_text_fields_named_by_their_columns(tmp_path: Path) -> None:
    dataset = {"reader": {"format": "jsonl"}, "text": ["sentence1", "sentence2"], "labels": {"c": CLASS}, "split": ALL_TRAIN}
    table, _ = run(tmp_path, dataset, all=pair("one", "two"))
    assert schema.fields_of(table.schema) == ["sentence1", "sentence2"]


def test_rows_are_split_and_compared_by_both_text_fields(tmp_path: Path) -> None:
    words = ["".join(letters) for letters in itertools.product("abcdefgh", repeat=3)][:300]
    rows = [pair("the same premise", word) for word in words]
    table, card = run(
        tmp_path, {**PAIRS, "split": {"train": 0.5, "test": 0.5}}, all=b"".join([*rows, pair("The same premise!", words[0].upper())])
    )
    splits = table["split"].to_pylist()
    assert 100 < splits.count("test") < 200  # one premise, but not one split
    by_id = dict(zip(table["id"].to_pylist(), splits, strict=True))
    assert by_id["all-1"] == by_id["all-301"]  # equal but for case and signs in both fields
    assert card["duplicates"]["total"] == 0
    source = {"train": {"url": "x"}, "test": {"url": "y"}}
    train = pair("one", "two") + pair("one", "two") + pair("two", "one") + pair("one", "three")
    _, card = run(tmp_path, {**PAIRS, "source": source}, train=train, test=pair("one", "two") + pair("one", "four"))
    assert card["duplicates"] == {"total": 2, "train": 1, "test": 0}
    assert card["leakage"]["exact"] == {"test": 1}
    assert card["leakage"]["samples"][0]["text"] == "one\ntwo"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (pair("one", " "), "sentence2: the text is empty"),
        (pair("one", None), "sentence2: the text is empty"),
        (pair(None, "two"), "sentence1: the text is empty"),
        (pair("one", 2), "sentence2: the value is not a text: '2'"),
        (pair("one", "\ud800"), "sentence2: contains half of a surrogate pair"),
        (pair("one two", "three", tags="O O"), "tags: the number of tags (2) is not the number of tokens (1)"),
        (
            pair("one", "two three", spans=[{"start": 0, "end": 2, "type": "y"}]),
            "spans: [0, 2) is not a range inside the text, whose tokens are [0, 1)",
        ),
    ],
)
def test_a_malformed_field_names_its_column(tmp_path: Path, row: bytes, reason: str) -> None:
    _, card = run(tmp_path, {**PAIRS, "split": ALL_TRAIN, "max_malformed": 0.5}, all=pair("one", "two") + row)
    assert card["malformed"]["total"] == 1
    assert reason in card["malformed"]["samples"][0]["reason"]


def test_flags_and_tokens_of_a_field_must_agree(tmp_path: Path) -> None:
    table, _ = run(tmp_path, {**PAIRS, "split": ALL_TRAIN}, all=pair("one", "two"))
    index = table.schema.get_field_index("hypothesis.space_after")
    short = table.set_column(index, table.schema.field(index), pa.array([[]], table.schema.field(index).type))
    with pytest.raises(DataError, match=r"row 'all-1': hypothesis\.space_after has another length than hypothesis\.tokens"):
        schema.check(short, "d.parquet")


def test_raw_texts_are_split_into_words_where_the_dataset_says_so(tmp_path: Path) -> None:
    dataset = {"reader": {"format": "csv"}, "labels": {"label": CLASS}, "split": ALL_TRAIN, "segmentation": "words"}
    table, _ = run(tmp_path, dataset, all=b"label,text\nx,Ann's  phone.\n")
    (row,) = table.to_pylist()
    assert row["tokens"] == ["Ann", "'s", "phone", "."]
    assert schema.text_of(row["tokens"], row["space_after"]) == "Ann's phone."


def warned(tmp_path: Path, rows: list[str], **label: Any) -> list[str]:
    """Warnings about a label of a dataset whose rows have these classes."""
    content = "".join(f"{name}\tthe text of row {number}\n" for number, name in enumerate(rows)).encode()
    dataset = {"reader": {**TSV, "columns": ["label", "text"]}, "labels": {"c": {**CLASS, **label}}, "split": ALL_TRAIN}
    _, card = run(tmp_path, dataset, all=content)
    return list(card["warnings"])


ALIKE = "label c: names that look alike are different classes: "


@pytest.mark.parametrize(
    ("rows", "label", "expected"),
    [
        (["pos", "neg", "neg", "pos"], {}, []),
        (
            ["caf\u00e9", "cafe\u0301", "caf\u00e9"],
            {},
            [ALIKE + "'caf\\xe9' (2) and 'cafe\\u0301' (1). The label's key normalize: nfc makes them one"],
        ),
        (["caf\u00e9", "cafe\u0301", "caf\u00e9"], {"normalize": "nfc"}, []),
        (["pos", "pos\u200b"], {}, [ALIKE + "'pos' (1) and 'pos\\u200b' (1). The label's key normalize: nfc makes them one"]),
        (["pos", "pos\u00a0"], {}, []),  # white space at the ends never counts
        (
            ["New York", "New\u00a0York"],
            {},
            [ALIKE + "'New York' (1) and 'New\\xa0York' (1). The label's key normalize: nfkc makes them one"],
        ),
        (["1", "1.0", "2", "1"], {}, [ALIKE + "'1' (2) and '1.0' (1). The label's key values can rename them"]),
        (["Spam", "spam", "ham"], {"normalize": "nfc"}, [ALIKE + "'Spam' (1) and 'spam' (1). The label's key values can rename them"]),
        (['"a"', "a", "b"], {}, [ALIKE + "'\"a\"' (1) and 'a' (1). The label's key values can rename them"]),
        (
            [name for letter in "abcde" for name in (letter, letter.upper())],
            {},
            [
                ALIKE
                + "'A' (1) and 'a' (1); 'B' (1) and 'b' (1); 'C' (1) and 'c' (1), and 2 more groups. The label's key values can rename them"
            ],
        ),
        (["NA", "a", "NA"], {}, ["label c: 'NA' (2) is a class; if it means that there is no label, write missing: [\"NA\"]"]),
        (["-1", "0", "1"], {}, ["label c: '-1' (1) is a class; if it means that there is no label, write missing: [\"-1\"]"]),
        (["-1", "0", "1"], {"missing": ["-1"]}, []),
        (["-1", "0", "1"], {"values": {"-1": "bad", "0": "so", "1": "good"}}, []),
    ],
)
def test_class_names_that_look_like_mistakes(tmp_path: Path, rows: list[str], label: dict[str, Any], expected: list[str]) -> None:
    assert warned(tmp_path, rows, **label) == expected


def test_a_header_line_with_other_names(tmp_path: Path) -> None:
    dataset = {"reader": {**TSV, "columns": ["label", "text"]}, "labels": {"c": CLASS}, "split": ALL_TRAIN}
    _, card = run(tmp_path, dataset, all=b"v1\tv2\na\tone\nb\ttwo\na\tthree\n")
    assert card["warnings"] == ["label c: only the first row of source all is 'v1', with the text 'v2': is it a header line?"]


def test_types_of_entities_that_look_alike_and_a_file_in_an_odd_encoding(tmp_path: Path) -> None:
    content = "é B-PER\n\né B-per\n".encode()
    labels = {"e": {"type": "tags", "column": "tags"}}
    _, card = run(tmp_path, {"reader": {"format": "conll"}, "labels": labels, "encoding": "latin-1", "split": ALL_TRAIN}, all=content)
    assert card["warnings"][0].startswith("source all: file: 2 of the 2 lines with characters beyond ASCII are valid UTF-8")
    assert card["warnings"][1] == (
        "label e: names that look alike are different classes: 'PER' (1) and 'per' (1). Rename them in the source if they are one"
    )


def test_warnings_stand_below_the_malformed_rows_that_end_reading(tmp_path: Path) -> None:
    labels = {"e": {"type": "tags", "column": "tags"}}
    reader = {"format": "conll", "columns": ["token", "_", "tags"]}
    with pytest.raises(
        DataError, match=r"1 of 1 rows malformed(?s:.)*\nsource all: file: 1 of 1 sentences begin with a line like '# id 1'"
    ):
        run(tmp_path, {"reader": reader, "labels": labels, "split": ALL_TRAIN}, all=b"# id 1\nx _ O\n")


def test_shards_that_a_pattern_names(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "all"
    folder.mkdir(parents=True)
    for number in (1, 2):
        pq.write_table(pa.table({"text": [f"row {number}"], "label": [number - 1]}), folder / f"part-{number}.parquet")
    dataset = {
        "source": {"url": "mine/part-*.parquet"},
        "reader": {"format": "parquet"},
        "labels": {"c": {**CLASS, "names": ["no", "yes"]}},
        "split": ALL_TRAIN,
    }
    table, _ = run(tmp_path, dataset)
    assert table.select(["id", "c"]).to_pylist() == [{"id": "all-1", "c": "no"}, {"id": "all-2", "c": "yes"}]
