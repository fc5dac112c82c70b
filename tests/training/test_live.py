"""The files of a run's metrics grow with its history, and begin anew with a resumed run."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.config import Params
from mtl.training.gradients import StepResult
from mtl.training.live import live_metrics
from mtl.training.loop import Loop
from mtl.training.run import Preempted, train

TRAIN = {"kind": "train", "learning_rate": 0.5}
RECORDS: list[dict[str, Any]] = [
    {**TRAIN, "step": 2, "loss": {"mood": 1.5, "names": 2.0}},
    {**TRAIN, "step": 4, "loss": {"mood": float("nan")}},
    {"kind": "validation", "step": 4, "score": 0.25, "metrics": {"mood": {"macro_f1": 0.25, "accuracy": 0.5}}},
]


def rows(folder: Path, name: str) -> list[list[str]]:
    with (folder / f"plots/metrics/{name}.tsv").open() as file:
        return list(csv.reader(file, delimiter="\t"))


def test_files_grow_with_the_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    history = RECORDS[:1]
    with live_metrics(tmp_path / "live", lambda: history) as update:
        assert rows(tmp_path / "live", "loss/mood") == [["step", "mood"], ["2", "1.5"]]
        history = RECORDS
        update()
        assert rows(tmp_path / "live", "loss/mood")[1:] == [["2", "1.5"], ["4", "nan"]]
        assert rows(tmp_path / "live", "loss/names")[1:] == [["2", "2.0"]]
        assert rows(tmp_path / "live", "validation/mood/macro_f1")[1:] == [["4", "0.25"]]
    last = json.loads((tmp_path / "live/metrics.json").read_text())
    assert last["validation"] == {"mood": {"macro_f1": 0.25, "accuracy": 0.5}}
    assert (last["step"], last["score"], last["learning_rate"]) == (4, 0.25, 0.5)


def test_a_run_that_goes_on_shows_each_step_once(
    project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(empty("elsewhere"))
    params, out, live = make_settings(), empty("out"), empty("live")

    def run() -> None:
        train(params, params.runs()["joint-plain-1"], project / "examples", project / "shards", None, out, live=live)

    step = Loop._step

    def terminated(loop: Loop) -> StepResult | None:
        result = step(loop)
        if loop.progress.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", terminated)
        with pytest.raises(Preempted):
            run()
    assert [row[0] for row in rows(live, "loss/mood")[1:]] == ["1", "2", "3", "4", "5", "6", "7"]
    run()
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    expected = [[str(record["step"]), str(record["loss"]["mood"])] for record in history if record["kind"] == "train"]
    assert rows(live, "loss/mood")[1:] == expected
    assert [row[1] for row in rows(live, "score")[1:]] == [str(record["score"]) for record in history if record["kind"] == "validation"]
