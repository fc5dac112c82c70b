"""New rows are checked and appended, and neither move nor repeat the rows of other datasets."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mtl.cli import main
from mtl.config import Params, load, parse
from mtl.data import schema
from mtl.data.prepare import prepare
from mtl.errors import DataError, ParamsError

CLASS = {"type": "class", "column": "mood"}
OLD = {
    "source": {"url": "old.jsonl"},
    "reader": {"format": "jsonl"},
    "labels": {"mood": CLASS},
    "split": {"train": 0.5, "validation": 0.2, "test": 0.3},
}
NEW = {
    "source": {"url": "collected.jsonl"},
    "incoming": "incoming",
    "reader": {"format": "jsonl"},
    "labels": {"mood": CLASS},
    "split": {"train": 0.7, "test": 0.3},
}
TAGS = {"text": "tokens", "tokens": True, "labels": {"mood": CLASS, "names": {"type": "tags", "column": "names"}}}


def settings(new: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "seed": 1,
        "datasets": {"old": OLD, **({"collected": NEW | new} if new is not None else {})},
        "tasks": {"mood": {"type": "classification", "label": "mood"}},
        "encoder": {"type": "cnn"},
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "incoming").mkdir()
    return tmp_path


def declare(project: Path, new: dict[str, Any]) -> None:
    with (project / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(settings(new), file)


def lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def collected(project: Path) -> list[Any]:
    return [json.loads(line) for line in (project / "collected.jsonl").read_text().splitlines()]


def test_rows_of_all_formats_are_appended_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(project, {})
    row = {"text": "fine day", "tokens": ["fine", "day"], "mood": "good", "names": None, "prediction": {"label": "bad"}, "model": "joint@1"}
    lines(project / "incoming/corrections.jsonl", [row, {**row, "model": "joint@2"}, {**row, "mood": None}])
    (project / "incoming/shop.csv").write_text("text,mood,stars\nbad day,bad,1\n")
    (project / "incoming/shop.tsv").write_text("mood\ttext\ngood\tnice\n")
    choices = [{"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["bad"]}}]
    exported = [
        {"data": {"text": "no good"}, "annotations": [{"was_cancelled": True, "result": []}, {"result": choices}, {"was_cancelled": True}]},
        {"data": {"text": "skipped"}, "annotations": [{"was_cancelled": True, "result": choices}]},
    ]
    (project / "incoming/export.json").write_text(json.dumps(exported))
    assert main(["ingest"]) == 0
    assert capsys.readouterr().out == "collected: 4 new rows from 4 files (1 known, 1 unlabelled, 0 malformed)\n"
    expected = [("fine day", "good"), ("no good", "bad"), ("bad day", "bad"), ("nice", "good")]
    assert [(row["text"], row["mood"]) for row in collected(project)] == expected
    before = load(project / "params.yaml").datasets["collected"].sources["all"].sha256
    assert main(["ingest"]) == 0
    assert len(collected(project)) == 4
    assert load(project / "params.yaml").datasets["collected"].sources["all"].sha256 == before
    with (project / "incoming/shop.csv").open("a") as file:
        file.write("worse day,bad,1\n")
    assert main(["ingest"]) == 0
    assert len(collected(project)) == 5
    assert load(project / "params.yaml").datasets["collected"].sources["all"].sha256 != before


def test_ranges_of_an_export_and_plain_texts_become_tokens(project: Path) -> None:
    declare(project, TAGS)
    entity = {"from_name": "names", "type": "labels", "value": {"start": 4, "end": 8, "text": "Rome", "labels": ["place"]}}
    (project / "incoming/export.json").write_text(json.dumps([{"data": {"text": "Saw Rome."}, "annotations": [{"result": [entity]}]}]))
    lines(project / "incoming/rows.jsonl", [{"text": "I'm fine.", "mood": "good"}])
    assert main(["ingest"]) == 0
    assert collected(project) == [
        {"tokens": ["Saw", "Rome", "."], "mood": None, "names": ["O", "B-place", "O"]},
        {"tokens": ["I", "'m", "fine", "."], "mood": "good", "names": None},
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rows.jsonl", '{"text": "", "mood": "good"}\n{"text": "a"', "rows.jsonl:1: text: the text is empty"),
        ("rows.xlsx", "", "rows.xlsx: has an unknown format; incoming files end with .jsonl, .csv, .tsv or .json (Label Studio)"),
        ("rows.json", "{}", "rows.json: is not an export of Label Studio"),
    ],
)
def test_bad_files_are_named_and_nothing_is_appended(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, reason: str
) -> None:
    declare(project, {})
    (project / "incoming" / name).write_text(content or "x")
    if name == "rows.json":
        (project / "incoming" / name).write_text('{"data": 1}')
    assert main(["ingest"]) == 2
    assert reason in capsys.readouterr().err
    assert not (project / "collected.jsonl").exists()


def test_few_malformed_rows_are_left_out_and_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(project, {"max_malformed": 0.5})
    lines(project / "incoming/rows.jsonl", [{"text": "a", "mood": "good"}, {"text": "b", "mood": ["x"]}])
    assert main(["ingest"]) == 0
    assert "malformed: incoming/rows.jsonl:2: mood" in capsys.readouterr().err
    assert len(collected(project)) == 1


@pytest.mark.parametrize(
    "key", [{"source": {"url": "https://example.org/a.jsonl"}}, {"reader": {"format": "csv"}}, {"source": {"url": "a-*.jsonl"}}]
)
def test_rows_are_only_appended_to_a_file(key: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="it must be the path of a JSON lines file"):
        parse(settings(key))


# --- splits -----------------------------------------------------------------------------------------------------------

WORDS = ["sun", "rain", "snow", "wind", "storm", "cloud", "fog", "ice"]
TEXTS = [f"{a} and {b} over the {c} town tonight" for a in WORDS for b in WORDS for c in ("old", "new")]


def prepared(folder: Path, old: list[str], new: list[Any] | None) -> dict[str, list[Any]]:
    params: Params = parse(settings(None if new is None else {}))
    out = folder / "out"
    for name, rows in (("old", [{"text": text, "mood": "good"} for text in old]), ("collected", new or [])):
        raw = folder / "raw" / name / "all"
        raw.mkdir(parents=True, exist_ok=True)
        lines(raw / "rows.jsonl", rows)
    out.mkdir(exist_ok=True)
    for name in params.datasets:
        prepare(params, name, folder / "raw" / name, out)
    return {name: schema.read(out / f"{name}.parquet").to_pylist() for name in params.datasets}


def test_other_datasets_stay_as_they_are_and_nothing_is_in_two_splits(tmp_path: Path) -> None:
    before = prepared(tmp_path, TEXTS, None)["old"]
    later = [{"text": text, "mood": "bad"} for text in TEXTS] + [
        {"text": f"{text} again {i}", "mood": "bad"} for i, text in enumerate(TEXTS)
    ]
    fresh = [{"text": f"something quite different about {word} {i}", "mood": "bad"} for i, word in enumerate(WORDS * 5)]
    after = prepared(tmp_path, TEXTS, later + fresh)
    assert after["old"] == before
    split_of = {" ".join(row["tokens"]): row["split"] for row in before}
    for row in after["collected"]:
        text = " ".join(row["tokens"])
        if text in split_of:
            assert (row["split"], split_of[text]) == ("train", "train")
    kept = {" ".join(row["tokens"]): row["split"] for row in after["collected"]}
    assert len(set(kept) & set(split_of)) > 5
    recent = [text for text, split in kept.items() if split == "test"]
    assert recent
    assert all(text.startswith("something") for text in recent)  # the others nearly repeat a row of the old dataset


def test_more_rows_leave_the_splits_of_the_earlier_ones(tmp_path: Path) -> None:
    fresh = [{"text": f"report {i} from {word}", "mood": "bad"} for i, word in enumerate(WORDS * 4)]
    first = {" ".join(row["tokens"]): row["split"] for row in prepared(tmp_path, TEXTS, fresh[:16])["collected"]}
    second = {" ".join(row["tokens"]): row["split"] for row in prepared(tmp_path, TEXTS, fresh)["collected"]}
    assert first.items() <= second.items()
    assert set(second.values()) == {"train", "test"}


def test_the_last_of_several_corrections_counts(tmp_path: Path) -> None:
    rows = [{"text": "so so", "mood": mood} for mood in ("bad", "good", "fine")] + [{"text": "other", "mood": "bad"}]
    assert [row["mood"] for row in prepared(tmp_path, TEXTS, rows)["collected"] if row["tokens"] == ["so", "so"]] == ["fine"]


def test_where_no_row_is_left_that_is_an_error(tmp_path: Path) -> None:
    held_out = next(row for row in prepared(tmp_path, TEXTS, None)["old"] if row["split"] == "test")
    with pytest.raises(DataError, match="no row is left; each is unlabelled, or repeats a text of another dataset"):
        prepared(tmp_path, TEXTS, [{"text": " ".join(held_out["tokens"]), "mood": "bad"}])
