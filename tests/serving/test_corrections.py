"""Corrected predictions become labelled rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.serving.process import Serving

from mtl.config import parse
from mtl.data import schema
from mtl.data.prepare import prepare
from mtl.serving import corrections as saving

TEXT = "Angela Merkel visited Paris"


@pytest.mark.parametrize(
    ("task", "correction", "label"),
    [
        ("mood", {"label": "bad"}, {"mood": "bad"}),
        ("topics", {"labels": ["place", "film"]}, {"topics": ["place", "film"]}),
        ("stars", {"value": 4.5}, {"stars": 4.5}),
        (
            "names",
            {"entities": [{"type": "place", "start": 22, "end": 27}, {"type": "person", "start": 0, "end": 13}]},
            {"tags": ["B-person", "I-person", "O", "B-place"]},
        ),
        ("names", {"entities": []}, {"tags": ["O"] * 4}),
    ],
)
def test_a_correction_is_appended_as_a_labelled_row(serving: Serving, corrections: Path, task: str, correction: Any, label: Any) -> None:
    reply = serving.post("/corrections", {"text": TEXT, "task": task, "correction": correction})
    assert reply.status == 200, reply.body
    row = json.loads(corrections.read_text().splitlines()[-1])
    assert row == reply.json["row"]
    assert row.items() >= ({"text": TEXT, "tokens": TEXT.split(), "model": reply.json["model"]} | label).items()


def test_the_rows_are_read_as_a_dataset(serving: Serving, corrections: Path, tmp_path: Path) -> None:
    """With the settings of the guide."""
    guide = (Path(__file__).parents[2] / "docs/how-to/serve.md").read_text()
    dataset = YAML(typ="safe").load(guide.partition("```yaml\n")[2].partition("```")[0])["datasets"]["corrections"]
    dataset["labels"] = {"tags": dataset["labels"]["entities"] | {"column": "tags"}}
    corrections.write_bytes(b"")
    for task, correction in (("mood", {"label": "bad"}), ("names", {"entities": [{"type": "place", "start": 22, "end": 27}]})):
        assert serving.post("/corrections", {"text": TEXT, "task": task, "correction": correction}).status == 200
    params = parse(
        {
            "seed": 1,
            "datasets": {"corrections": dataset | {"split": {"train": 1.0}}},
            "tasks": {"names": {"type": "token_classification", "label": "tags"}},
            "encoder": {"type": "cnn"},
            **{section: {} for section in ("augment", "train", "evaluate", "report")},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )
    raw = tmp_path / "raw/all/file"
    raw.parent.mkdir(parents=True)
    raw.write_bytes(corrections.read_bytes())
    prepare(params, "corrections", tmp_path / "raw", tmp_path)
    rows = schema.read(tmp_path / "corrections.parquet").to_pylist()
    assert [(row["tokens"], row["tags"]) for row in rows] == [(TEXT.split(), ["O", "O", "O", "B-place"])]


def test_a_pair_keeps_both_texts(serving: Serving) -> None:
    pair = {"premise": "a film", "hypothesis": "it is great"}
    row = serving.post("/corrections", {"text": pair, "task": "follows", "correction": {"label": "no"}}).json["row"]
    assert row.items() >= (pair | {"follows": "no"}).items()
    assert "tokens" not in row


@pytest.mark.parametrize(
    ("task", "correction", "reason"),
    [
        ("mood", {"label": "fine"}, "'fine' is unknown; choose from: bad, good"),
        ("mood", {"value": 1.0}, "mood predicts"),
        ("topics", {"labels": ["sport"]}, "choose from: film, place"),
        ("names", {"entities": [{"type": "place", "start": 22, "end": 26}]}, "characters 22 to 26 do not begin and end with a token"),
        ("names", {"entities": [{"type": "place", "start": 0, "end": 13}, {"type": "place", "start": 7, "end": 13}]}, "overlaps"),
        ("names", {"entities": [{"type": "city", "start": 0, "end": 13}]}, "choose from: person, place"),
        ("follows", {"label": "no"}, "needs"),
        ("cause", {"label": "Other"}, "cause predicts null"),
    ],
)
def test_a_wrong_correction_is_refused(serving: Serving, corrections: Path, task: str, correction: Any, reason: str) -> None:
    before = corrections.read_bytes()
    reply = serving.post("/corrections", {"text": TEXT, "task": task, "correction": correction})
    assert reply.status == 422
    assert reason in reply.json["detail"][0]["msg"]
    assert corrections.read_bytes() == before


def test_a_full_disk_leaves_whole_lines(disk: Path) -> None:
    path = disk / "rows.jsonl"
    while True:
        try:
            saving.append(path, {"text": "a" * 3000})
        except OSError:
            break
    lines = path.read_text().splitlines()
    assert len(lines) > 5
    assert {len(json.loads(line)["text"]) for line in lines} == {3000}
