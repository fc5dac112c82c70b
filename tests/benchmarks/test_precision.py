"""The benchmark of number formats runs, and its table compares like with like."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

from mtl.data import schema

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def precision(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import precision

    return precision


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A params file, and examples beside it: 40 texts of which one word decides the class."""
    source = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "split": {"train": 0.8, "test": 0.2}}
    settings = {
        "seed": 1,
        "datasets": {"reviews": {**source, "labels": {"mood": {"type": "class", "column": "mood"}}}},
        "tasks": {"mood": {"type": "classification", "label": "mood"}},
        "augment": {},
        "encoder": {"type": "fnn", "width": 8, "vocabulary": 300, "layers": 1, "max_length": 16},
        "train": {"learning_rate": 0.01},
        "experiment": {"joint": ["plain"], "single_task": []},
        "evaluate": {},
        "report": {},
    }
    (tmp_path / "params.json").write_text(json.dumps(settings))
    rows = [
        {"id": str(i), "split": "validation" if i % 4 == 0 else "train", "tokens": ["the", "film", "was", word], "mood": word}
        | {"space_after": [True] * 4, "parent_id": None, "augmenter": None}
        for i, word in enumerate(["great", "awful"] * 20)
    ]
    schema.write(pa.Table.from_pylist(rows, schema=schema.schema({"mood": "class"})), tmp_path / "examples" / "reviews.parquet")
    return tmp_path


def test_it_runs(precision: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--device", "cpu", "--formats", "fp32", "bf16", "--seeds", "1", "2", "--batch-tokens", "64", "--epochs", "3", "--json"]
    assert precision.main(["--data", str(project), "--params", str(project / "params.json"), *options]) == 0
    printed = capsys.readouterr()
    device, _, *lines, last = printed.out.splitlines()
    found = json.loads(last)
    assert (len(found["bf16"]["scores"]), found["fp32"]["vs_fp32"], found["device"]) == (2, 1, device)
    assert device.startswith("cpu")
    assert [line.split(" | ")[:2] for line in lines[2:]] == [["| fp32", "2"], ["| bf16", "2"]]
    assert [json.loads(line)["precision"] for line in printed.err.splitlines()] == ["fp32", "bf16"] * 2


def test_the_table_compares_run_by_run_of_a_seed(precision: ModuleType) -> None:
    def facts(score: float, speed: float, skipped: int = 0) -> dict[str, Any]:
        return {"best_score": score, "tokens_per_second": speed, "peak_memory_bytes": 2**21, "skipped": skipped}

    found = {"fp32": [facts(0.5, 100), facts(0.7, 1000)], "fp16": [facts(0.6, 300, 2), facts(0.6, 3000, 1)]}
    assert precision.table(found).splitlines()[2:] == [
        "| fp32 | 2 | 0.600 ± 0.141 | 550 | 1.00 | 2 MiB | 0 |",
        "| fp16 | 2 | 0.600 ± 0.000 | 1,650 | 3.00 | 2 MiB | 3 |",
    ]
