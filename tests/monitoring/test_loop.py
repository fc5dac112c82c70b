"""From a service to a better model and back into the service: corrections, drift, training, promotion, reload."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.serving.process import Serving
from tests.workflow.make_project import ratings

from mtl.cli import main
from mtl.config import load
from mtl.pipeline.stages import STAGES

NOUNS = ("plot", "cast", "score", "sound", "light", "pace", "script", "ending", "scene", "tone", "joke", "song")
NEW = [(f"what a {word} {noun} {place}", mood) for noun in NOUNS for place in ("here", "there", "again", "today", "twice", "at last")
       for word, mood in (("stellar", "good"), ("dire", "bad"))]  # fmt: skip
OLD = {
    "source": {"url": "mood.csv"},
    "reader": {"format": "csv"},
    "labels": {"mood": {"type": "class", "column": "rating", "bins": {"bad": [-4, 0], "good": [0, 4]}}},
    "split": {"train": 0.6, "validation": 0.1, "test": 0.3},
}
COLLECTED = {
    "incoming": "incoming",
    "source": {"url": "collected.jsonl"},
    "reader": {"format": "jsonl"},
    "labels": {"mood": {"type": "class", "column": "mood"}},
    "split": {"train": 0.6, "test": 0.4},
}


def declare(datasets: dict[str, Any]) -> None:
    content = {
        "seed": 1,
        "datasets": datasets,
        "tasks": {"mood": {"type": "classification", "label": "mood"}},
        "encoder": {"type": "fnn", "width": 16, "layers": 1, "vocabulary": 400, "max_length": 32},
        "train": {"epochs": 8, "batch_tokens": 256, "learning_rate": 0.01, "head_learning_rate": 0.01},
    }
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)


def build() -> None:
    """Run the jobs up to training, as the workflow does."""
    for stage in ("download", "prepare", "augment", "train"):
        for job in STAGES[stage].jobs(load(Path("params.yaml"))):
            assert main([job.rule, "--settings", "params.yaml", "--job", job.name]) == 0
        assert main(["publish", stage, "--settings", "params.yaml"]) == 0


def test_corrections_become_a_promoted_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mood.csv").write_text(ratings(240))
    Path("incoming").mkdir()
    declare({"mood": OLD})
    assert main(["checksums", "--write"]) == 0
    build()
    assert main(["promote"]) == 0
    with Serving(Path("data/promoted/current"), "--corrections", "incoming/corrections.jsonl") as serving:
        first = serving.get("/model").json["model"]
        for text, mood in NEW:
            assert serving.post("/corrections", {"text": text, "task": "mood", "correction": {"label": mood}}).status == 200
        declare({"mood": load(Path("params.yaml")).model_dump(mode="json", exclude_unset=True)["datasets"]["mood"], "collected": COLLECTED})
        assert main(["ingest"]) == 0
        assert f"collected: {len(NEW)} new rows from 1 file" in capfd.readouterr().out
        Path("today.txt").write_text("".join(f"{text}\n" for text, _ in NEW))
        assert main(["drift", "--model", "data/promoted/current", "--json", "today.txt"]) == 1
        Path("drift.json").write_text(capfd.readouterr().out)
        build()
        assert main(["promote", "--drift", "drift.json"]) == 0
        assert "promoted as joint@v1.1.0 (gain: mood (recent))" in capfd.readouterr().out
        assert serving.get("/model").json["model"] == first
        assert serving.post("/reload").status == 200
        assert serving.get("/model").json["model"] != first
        texts = [text for text, _ in NEW]
        predictions = serving.post("/predict", {"texts": texts}).json["predictions"]
    right = [prediction["mood"]["label"] == mood for prediction, (_, mood) in zip(predictions, NEW, strict=True)]
    assert sum(right) > 0.9 * len(NEW)
    decision = json.loads(Path("data/promoted/decisions.jsonl").read_text().splitlines()[-1])
    assert decision["drift"]
    assert {one["split"] for one in decision["compared"]} == {"frozen", "recent"}
