"""Several processes, connected by gloo on loopback: they train what one would, agree on all that happens to one of them, and resume
bitwise after a kill."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mtl.config import Params
from mtl.training.distributed import SINGLE_PROCESS, Processes, _buckets
from mtl.training.run import train

RUN = "joint-augmented-1"
EQUAL: dict[str, tuple[int, dict[str, Any]]] = {
    "static": (2, {"balancing": "static"}),
    "gradient_norm": (3, {"balancing": "gradient_norm"}),
    "pcgrad": (2, {"balancing": "pcgrad", "epochs": 4}),  # which draws an order of the tasks
    "consistency": (2, {"consistency": {"datasets": ["places"], "confidence": 0.55}}),  # aligned by the predictions of all processes
}
"""Name to the number of processes and what is special about the settings."""
INTERRUPTED = ({"rank": 1, "event": "int:6"}, {"rank": 0, "event": "kill:9"}, {})
"""What happens to a run that is started again and again."""


def without_dropout(make_settings: Callable[..., Params], name: str) -> Params:
    """The settings of a run of ``EQUAL``."""
    special = dict(EQUAL[name][1])
    consistency = special.pop("consistency", None)
    content = make_settings(encoder__dropout=0.0, **special).model_dump(mode="json")
    content["tasks"]["mood"]["consistency"] = consistency
    return Params.model_validate(content)


@pytest.fixture(scope="module")
def out(project: Path, make_settings: Callable[..., Params], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs that several processes made, and the statuses of those processes."""
    folder = tmp_path_factory.mktemp("together")

    def job(name: str, processes: int, params: Params, **event: Any) -> dict[str, Any]:
        (folder / name).mkdir(exist_ok=True)
        paths = {"project": str(project), "out": str(folder / name)}
        return {"settings": params.model_dump_json(), "run": RUN, "processes": processes, **paths, **event}

    dropout = make_settings(encoder__dropout=0.1)
    jobs = [job(name, number, without_dropout(make_settings, name)) for name, (number, _) in EQUAL.items()]
    jobs += [job("dropout", 2, dropout), job("nan", 2, dropout, rank=1, event="nan:3")]
    jobs += [job("interrupted", 2, dropout, **event) for event in INTERRUPTED]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, str(Path(__file__).with_name("together.py")), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder / "statuses.json").write_text(json.dumps([json.loads(line) for line in done.stdout.splitlines()]))
    return folder


def history(folder: Path) -> list[dict[str, Any]]:
    """History without the times."""
    records = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "tokens_per_second"} for record in records]


@pytest.mark.parametrize("name", EQUAL)
def test_several_processes_train_what_one_trains(
    name: str, out: Path, project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path]
) -> None:
    number, _ = EQUAL[name]
    single, params = empty("single"), without_dropout(make_settings, name)
    train(params, params.runs()[RUN], project / "examples", project / "shards", None, single)
    expected, result = history(single), history(out / name)
    assert len(result) == len(expected) > 10
    assert any(record.get("followed", {}).get("mood") for record in expected) == (name == "consistency")
    for one, other in zip(expected, result, strict=True):
        assert (other.keys(), other["kind"]) == (one.keys(), one["kind"])
        for key in set(one) - {"metrics", "kind"}:
            assert other[key] == pytest.approx(one[key], rel=2e-3), (one["step"], key)
    weights, others = load_file(single / "model.safetensors"), load_file(out / name / "model.safetensors")
    for key, weight in weights.items():
        torch.testing.assert_close(others[key], weight, rtol=0, atol=1e-3)
    facts = json.loads((out / name / "run.json").read_text())
    assert (facts["processes"], json.loads((single / "run.json").read_text())["processes"]) == (number, 1)


def test_after_a_request_and_a_kill_of_one_process_all_resume_bitwise(out: Path) -> None:
    statuses = json.loads((out / "statuses.json").read_text())
    killed = statuses.pop(7)
    assert statuses == [[0, 0], [0, 0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [143, 143], [0, 0]]
    assert killed[0] == -signal.SIGKILL
    assert killed[1]  # killed too, or ended by the lost connection
    assert (out / "interrupted/model.safetensors").read_bytes() == (out / "dropout/model.safetensors").read_bytes()
    assert history(out / "interrupted") == history(out / "dropout")


def test_a_loss_that_is_not_finite_in_one_process_is_left_out_in_all(out: Path) -> None:
    warnings = json.loads((out / "nan/run.json").read_text())["warnings"]
    assert warnings == ["rating was not finite in 1 step and was left out there"]


def test_rows_are_assigned_evenly() -> None:
    lengths = np.array([5, 1, 9, 1, 7, 3, 2])
    rows = np.arange(100, 107)
    shares = [Processes(rank, 3).share(rows, lengths) for rank in range(3)]
    assert sorted(np.concatenate(shares).tolist()) == rows.tolist()
    assert [len(share) for share in shares] == [3, 2, 2]
    assert SINGLE_PROCESS.share(rows, lengths) is rows
    assert len(Processes(2, 3).share(rows[:1], lengths[:1])) == 0


def test_buckets_hold_everything_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl.training.distributed.BUCKET", 5)
    tensors = [torch.zeros(size) for size in (2, 3, 9, 1, 1)]
    assert [[len(tensor) for tensor in bucket] for bucket in _buckets(tensors)] == [[2, 3], [9], [1, 1]]
