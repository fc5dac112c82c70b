"""Two processes beside one: equal runs have no differences, and others are told apart."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import two_processes

    return two_processes


def write(folder: Path, loss: float, weight: float) -> Path:
    """What is compared of a run."""
    folder.mkdir()
    records = [{"kind": "train", "loss": {"mood": loss}}, {"kind": "validation", "metrics": {}}]
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    save_file({"head": torch.tensor([1.0, weight])}, folder / "model.safetensors")
    return folder


def test_the_largest_differences(two_processes: ModuleType, tmp_path: Path) -> None:
    first = write(tmp_path / "first", 2.0, 0.5)
    assert two_processes.differences(first, first) == {"losses": 0, "weights": 0}
    assert two_processes.differences(first, write(tmp_path / "second", 1.9, 0.75)) == pytest.approx({"losses": 0.05, "weights": 0.25})


def test_they_train_what_one_trains(
    two_processes: ModuleType, joint_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(two_processes, "BALANCING", {"static": "static"})
    assert two_processes.main(["--project", str(joint_project), "--batch-tokens", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["equal"]
    assert found["static"]["losses"] < 1e-4
