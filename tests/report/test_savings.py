"""What one model saves: amounts of the runs that are compared, added up and averaged over seeds."""

from pathlib import Path
from typing import Any

from mtl.report import savings
from mtl.report.inputs import load

from .conftest import settings


def test_single_task_models_are_added_up_and_memory_of_training_is_the_largest(finished: Any) -> None:
    runs = load(finished.params, finished.data).runs
    joint = savings.costs(runs, finished.params, ["joint"])
    separate = savings.costs(runs, finished.params, list(finished.params.tasks))
    assert joint == {
        "on disk": 88 * 2**20,
        "weights in memory": 86 * 2**20,
        "CPU time per text": 2.3,
        "training time": 126.0,
        "training memory": 900 * 2**20,
    }
    assert (separate["on disk"], round(separate["CPU time per text"], 9)) == (3 * 88 * 2**20, 6.3)
    assert (separate["training time"], separate["training memory"]) == (126.0, 900 * 2**20)
    sentence = "One joint model in place of 3 single-task models: 88 MiB instead of 264 MiB on disk, 2.3 ms instead of 6.3 ms of CPU time"
    assert savings.saving(runs, finished.params).startswith(sentence)


def test_seeds_are_averaged_and_what_was_not_recorded_is_left_out(finished: Any) -> None:
    params = settings(experiment={"seeds": [1, 2], "joint": ["plain"], "single_task": ["plain"]})
    runs = {name: {"seconds": 10.0 * run.seed * len(run.tasks)} for name, run in params.runs().items()}
    assert savings.costs(runs, params, ["joint"]) == {"training time": 45.0}
    table = savings.table(runs, params)
    assert table is not None
    assert [[cell.text for cell in row] for row in table.rows()] == [
        ["1 joint model", "–", "–", "–", "45 s (100 %)", "–"],
        ["3 single-task models", "–", "–", "–", "45 s (100 %)", "–"],
    ]


def test_without_single_task_runs_nothing_is_said(finished: Any, tmp_path: Path) -> None:
    params = settings(experiment={"seeds": [1], "joint": ["augmented"], "single_task": []})
    runs = load(finished.params, finished.data).runs
    assert savings.saving(runs, params) == ""
    assert savings.table(runs, params) is None
