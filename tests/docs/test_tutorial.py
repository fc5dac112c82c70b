"""The tutorial's commands run one after the other, on a small project."""

import shutil
import sys
from pathlib import Path

import pytest

from docs.pages import ROOT, blocks
from workflow.make_project import Project

pytestmark = pytest.mark.workflow


def test_the_tutorial_runs_as_it_says(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    shutil.copy(ROOT / "Makefile", project.folder)
    (project.folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    commands = [line.split("  #")[0] for block in blocks(ROOT / "docs/tutorial.md", "sh") for line in block.code.splitlines()]
    assert commands[:3] == ["make install", "make run", "make run"]
    outputs = []
    for command in commands:
        if not command.startswith(("make install", "source")):
            line = command.replace("make run", "make -o .venv/run -o apertium run")
            outputs.append((command, project.run("bash", "-o", "pipefail", "-c", line)))
    (_, first), (_, second) = outputs[:2]
    assert "built train_run joint-augmented-1" in first
    assert "Nothing to be done" in second
    said = dict(outputs)
    assert "train_run" in said['snakemake --cores 8 -n --config "train={learning_rate: 1.0e-4}"']
    assert "prepare_dataset" not in said['snakemake --cores 8 -n --config "train={learning_rate: 1.0e-4}"']
    assert "built train_run joint-augmented-1" in said["dvc exp run -S train.learning_rate=0.0001"]
    assert commands[-1] == "snakemake --cores 8"
    assert "Nothing to be done" in outputs[-1][1]
