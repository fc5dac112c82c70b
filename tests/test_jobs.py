"""What jobs write beside their results."""

from pathlib import Path

import pyarrow as pa
import pytest

import mtl.config
from mtl.config import Params
from mtl.data.schema import schema, write
from mtl.jobs import augment_shard, prepare_dataset

APERTIUM = """#!/bin/sh
[ "$1" = -l ] && for mode in $MODES; do echo "  $mode"; done
"""


@pytest.fixture
def settings() -> Params:
    return mtl.config.parse(
        {
            "seed": 1,
            "datasets": {
                "d": {
                    "source": {"url": "d.csv"},
                    "reader": {"format": "csv"},
                    "labels": {"mood": {"type": "class", "column": "mood"}},
                    "split": {"train": 1},
                }
            },
            "tasks": {"mood": {"type": "classification", "label": "mood"}},
            "augment": {"shards": 1, "methods": {"there": {"type": "synonym"}, "back": {"type": "back_translate"}}},
            "encoder": {"type": "fnn"},
            **{section: {} for section in ("train", "experiment", "evaluate", "report")},
        }
    )


@pytest.mark.parametrize(
    ("modes", "missing"),
    [
        (None, ["en-eo", "en-es", "eo-en", "es-en"]),
        ("en-eo eng-spa spa-eng", ["eo-en"]),
    ],
    ids=["no Apertium", "one direction missing"],
)
def test_a_shard_names_the_missing_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Params, modes: str | None, missing: list[str]
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if modes is not None:
        monkeypatch.setenv("MODES", modes)
        (tmp_path / "bin/apertium").write_text(APERTIUM)
        (tmp_path / "bin/apertium").chmod(0o755)
    row = {"id": "r1", "split": "train", "tokens": ["a", "movie"], "space_after": [True, False], "mood": "good"}
    write(pa.Table.from_pylist([row], schema=schema({"mood": "class"})), tmp_path / "examples/d.parquet")
    (tmp_path / "out").mkdir()
    job = "d-00000-of-00001"
    augment_shard(settings, job, tmp_path, tmp_path / "out")
    marks = [f"{job}.missing-apertium.{mode}" for mode in missing]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*marks, f"{job}.parquet"]


def test_warnings_about_a_dataset_are_printed(tmp_path: Path, settings: Params, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw/d/all").mkdir(parents=True)
    (tmp_path / "raw/d/all/d.csv").write_text("mood,text\ngood,a\nGood,b\n")
    (tmp_path / "out").mkdir()
    prepare_dataset(settings, "d", tmp_path, tmp_path / "out")
    assert capsys.readouterr().err.startswith(
        "warning: d: label mood: names that look alike are different classes: 'Good' (1) and 'good' (1)"
    )
