"""The search by the real Snakemake: killed and gone on with, and what it leaves to the other commands."""

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest
from optuna.trial import TrialState

import mtl.config
from mtl.tuning.study import Study
from workflow.make_project import Project

pytestmark = pytest.mark.workflow

TUNE = """\
tune:
  method: random
  trials: 4
  space:
    train.learning_rate: {low: 1.0e-3, high: 1.0e-2, log: true}
    train.epochs: [15, 20]
    encoder.window: [0, 1]
"""


@pytest.fixture
def searching(project: Project) -> Project:
    """A project with a section ``tune``."""
    path = project.folder / "params.yaml"
    path.write_text(path.read_text() + TUNE)
    return project


def study(project: Project) -> dict[int, Any]:
    """The trials of the study on disk by number."""
    (journal,) = project.folder.glob("data/tune/study-*.log")
    return {trial.number: trial for trial in Study(mtl.config.load(project.folder / "params.yaml"), journal).trials()}


def test_a_search_goes_on_after_a_kill_and_ends_with_a_params_file(searching: Project) -> None:
    command = ["snakemake", "--cores", "2", "tune"]
    process = subprocess.Popen(command, cwd=searching.folder, env=searching.environment, stdout=subprocess.DEVNULL, start_new_session=True)
    while not list(searching.folder.glob("work/tune/*/trials/[123]/model/checkpoint/*.pt")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = study(searching)
    over = {number: trial for number, trial in before.items() if trial.state.is_finished()}
    assert 0 in over
    assert TrialState.RUNNING in {trial.state for trial in before.values()}

    output = searching.run(*command)
    after = study(searching)
    assert {number: trial.user_attrs["state"] for number, trial in after.items()} == dict.fromkeys(range(4), "complete")
    assert all(trial.params.items() <= after[number].params.items() for number, trial in before.items())
    for number, trial in over.items():  # none of them was made again
        assert (trial.datetime_complete, trial.user_attrs) == (after[number].datetime_complete, after[number].user_attrs)
        assert f"trial {number} scores" not in output.replace(f"kept trial {number} scores", "")
    assert output.count(" of 4 done, best ") >= 4 - len(over)

    summary = json.loads((searching.folder / "data/tune/summary.json").read_text())
    assert [trial["number"] for trial in summary["trials"]] == [0, 1, 2, 3]
    assert "report" in searching.run("dvc", "status")
    assert searching.snakemake() == ["render_report all"]
    assert "Search" in (searching.folder / "data/report/report.html").read_text()
    searching.clean()
    best = "data/tune/best.yaml"
    assert "joint-augmented-1: names, mood" in searching.run("python", "-m", "mtl", "check", best)
    planned = searching.run("snakemake", "-n", "--configfile", best)
    assert ("Nothing to be done" in planned) == (summary["best"] == 0)


def test_without_the_section_it_says_what_is_missing(project: Project) -> None:
    output = project.run("snakemake", "-n", "tune", check=False)
    assert "tune: is missing: this section says what to search (docs/how-to/search-settings.md)" in output
