"""What DVC shows of a run while it trains."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow.make_project import Project

pytestmark = pytest.mark.workflow
LIVE = "live/joint-augmented-1"


def test_curves_grow_while_a_run_trains(project: Project) -> None:
    project.edit("params.yaml", "epochs: 2,", "epochs: 1000, patience: 1000,")
    project.edit("params.yaml", "eval_every: 5", "eval_every: 50")
    project.commit("train long")
    file = project.folder / LIVE / "plots/metrics/loss/mood.tsv"
    command = ["dvc", "repro", "train"]
    process = subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: lines(file) > 3, process)
        before = lines(file)
        plots = json.loads(project.run("dvc", "plots", "show", "--json", f"{LIVE}/plots/metrics"))["data"]
        assert f"{LIVE}/plots/metrics/loss/names.tsv" in plots
        (plot,) = plots[f"{LIVE}/plots/metrics/loss/mood.tsv"]
        assert len(plot["content"]["data"]["values"]) >= before - 1
        shown = json.loads(project.run("dvc", "metrics", "show", "--json", f"{LIVE}/metrics.json"))
        assert 0 < shown[""]["data"][f"{LIVE}/metrics.json"]["data"]["score"] <= 1
        wait_for(lambda: lines(file) > before, process)
        assert "live" not in project.git("status", "--porcelain")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.1)
