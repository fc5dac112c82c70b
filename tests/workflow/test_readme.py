"""Every command of the README runs: on a small project, in the order in which a reader meets them."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import mtl.config
from workflow.make_project import ROOT, Project

pytestmark = pytest.mark.workflow

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
(OWN_DATA,) = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
OTHERWISE = {
    "make test": "it runs this test",
    "source .venv/bin/activate": "the tests' environment is active",
    "python -m mtl serve --model data/models/joint-augmented-1 --corrections corrections.jsonl": "it ends with a signal: tests/serving",
    "snakemake --cores 8 --configfile examples/reviews/params.yaml": "tests/workflow/test_examples.py runs the examples on samples",
}
"""Commands that are not run here, and why."""

TERMINAL = 100
"""Characters in a line: three tasks and a setting are to fit."""


def test_the_everyday_commands_run(project: Project, tmp_path: Path) -> None:
    project.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    (project.folder / "texts.txt").write_text("Ann saw a lovely car in Paris\n\nthe day was sad\n")
    path = project.folder / "params.yaml"
    for mood, intensity in (
        ("      mood: {", "{type: number, column: rating}"),
        ("\n  mood: {type", "{type: regression, label: intensity}"),
    ):
        project.edit("params.yaml", mood, f"{mood.partition('mood')[0]}intensity: {intensity}\n{mood}")
    path.write_text(
        path.read_text() + "tune: {trials: 2, space: {train.learning_rate: {low: 0.001, high: 0.01, log: true}}}\naudit: {folds: 2}\n"
    )
    project.commit("ready")
    shutil.copy(ROOT / "Makefile", project.folder)
    (project.folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    outputs = {}
    for command in COMMANDS:
        if command in OTHERWISE:
            continue
        line = command.replace("make run", "make -o .venv/run -o apertium run").replace("--task products", "--task mood")
        line = line.replace("train.learning_rate=0.0001", "train.learning_rate=0.001")
        outputs[command] = project.run("bash", "-o", "pipefail", "-c", line)
    assert "data/report/report.html" in outputs["make run"] or "Nothing to be done" in outputs["make run"]
    assert "as stated" in outputs["python -m mtl checksums --write"]
    assert "joint-augmented-1: names, intensity, mood" in outputs["python -m mtl check"]
    assert "built train_run joint-augmented-1" in outputs['snakemake --cores 8 train --config "train={epochs: 1}"']
    assert "built train_run joint-augmented-1" in outputs["dvc exp run -S train.learning_rate=0.0001"]
    assert "learning_rate" in outputs["dvc metrics diff && dvc params diff"]
    assert "Ran experiment(s)" in outputs["dvc exp run --run-all --jobs 2"]
    (command,) = (command for command in COMMANDS if command.startswith("dvc exp show"))
    assert all(rate in outputs[command] for rate in ("0.001", "0.0002", "0.0003"))
    assert "Executor" not in outputs[command]  # experiments from a queue have such a column, and it takes the place of a score
    assert max(map(len, outputs[command].splitlines())) <= TERMINAL
    assert command in (ROOT / "docs/how-to/search-settings.md").read_text()
    assert "2 of 2 done, best" in outputs["snakemake --cores 8 tune"]
    assert "labels that are likely wrong: names " in outputs["snakemake --cores 8 audit"]
    (command,) = (command for command in COMMANDS if command.startswith("echo"))
    prediction = json.loads(outputs[command].splitlines()[-1])
    assert prediction["mood"]["label"] in {"good", "bad"}
    assert isinstance(prediction["names"]["entities"], list)
    (command,) = (command for command in COMMANDS if command.endswith("texts.txt"))
    predictions = [json.loads(line) for line in outputs[command].splitlines() if line.startswith("{")]
    assert [set(prediction) for prediction in predictions] == [{"text", "mood"}] * 3
    assert predictions[1]["mood"] is None


def test_the_example_of_own_data_runs(tmp_path: Path) -> None:
    """The README's sections, put into params.yaml, with files such as it describes."""
    project = Project.make(tmp_path / "project")
    (project.folder / "params.yaml").write_text(with_own_data((project.folder / "params.yaml").read_text()))
    (project.folder / "mine").mkdir()
    shutil.copy(project.folder / "input/names.conll", project.folder / "mine/names.conll")
    rows = (project.folder / "input/mood.csv").read_text().replace("rating,text", "stars,text").replace("-1.5,", "2,").replace("1.5,", "4,")
    (project.folder / "mine/reviews.csv").write_text(rows)
    assert "not stated" in project.run("python", "-m", "mtl", "checksums", "--write")
    assert "3 jobs" not in project.run("python", "-m", "mtl", "check")
    assert "train_run joint-augmented-1" in project.snakemake()
    params = mtl.config.load(project.folder / "params.yaml")
    assert set(json.loads((project.folder / "data/results/metrics.json").read_text())) >= set(params.tasks)


def with_own_data(settings: str) -> str:
    """What the README says to do with params.yaml."""
    kept = re.findall("`(.*?)`", re.findall(r"In `params\.yaml`, keep (.*?)\.", README)[0])
    sections = re.split(r"^(?=\w+:)", settings, flags=re.MULTILINE)
    return "".join(section for section in sections if section.partition(":")[0] in kept) + OWN_DATA


def test_the_example_of_own_data_fits_the_settings_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(with_own_data((ROOT / "params.yaml").read_text()))
    params = mtl.config.load(tmp_path / "params.yaml")
    assert set(params.tasks) == {"names", "mood", "stars"}
    assert set(params.runs()) >= {"joint-augmented-1", "joint-plain-1", "single_names-augmented-1"}
    assert OWN_DATA in (ROOT / "docs/how-to/own-data.md").read_text()


def test_it_is_short() -> None:
    assert len(README.splitlines()) < 120
