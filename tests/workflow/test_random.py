"""Random sequences of edits, runs of either tool, and accidents; whatever came before, the end is what a build from scratch gives.

``MTL_RANDOM_STEPS`` and ``MTL_RANDOM_SEEDS`` (numbers separated by commas) make it longer.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from workflow.make_project import Project

pytestmark = pytest.mark.workflow

STEPS = int(os.environ.get("MTL_RANDOM_STEPS", "6"))
SEEDS = [int(seed) for seed in os.environ.get("MTL_RANDOM_SEEDS", "1").split(",")]


def swap(project: Project, path: str, first: str, second: str) -> None:
    """Turn one text of a file into another, or back."""
    content = (project.folder / path).read_text()
    old, new = (first, second) if first in content else (second, first)
    project.edit(path, old, new)


def grow(project: Project, random: Random) -> None:
    """Add a row to a dataset, and state its new checksum."""
    old = project.checksum("input/mood.csv")
    path = project.folder / "input/mood.csv"
    path.write_text(path.read_text() + f'1.5,"one more lovely day of the year {random.randrange(10**6)}"\n')
    project.edit("params.yaml", old, project.checksum("input/mood.csv"))


def spoil(project: Project, random: Random) -> None:
    """Damage a generated file, or delete a folder."""
    files = sorted(path for path in (project.folder / "data").rglob("*") if path.is_file())
    if random.random() < 0.5 and files:
        file = random.choice(files)
        file.unlink()
        file.write_text("spoilt")
    else:
        shutil.rmtree(project.folder / random.choice(("work", ".snakemake", "data/models", "data/examples")), ignore_errors=True)


def back(project: Project, random: Random) -> None:
    """Commit all, then go to another commit behind the tools' backs, sometimes with its data."""
    project.commit("a step")
    commits = project.git("rev-list", "HEAD", "--", "dvc.lock").split()
    project.git("checkout", "-q", random.choice(commits), "--", "params.yaml", "src", "input", "dvc.lock")
    if random.random() < 0.5:
        project.run("dvc", "checkout", "--force", "--quiet", check=False)  # data of a commit may never have been kept


ACTIONS: dict[str, Callable[[Project, Random], object]] = {
    "edit a training param": lambda project, _: swap(project, "params.yaml", "epochs: 2", "epochs: 1"),
    "edit the seed": lambda project, _: swap(project, "params.yaml", "seed: 1\n", "seed: 2\n"),
    "edit the report's title": lambda project, _: swap(project, "params.yaml", "Small project", "Other title"),
    "edit training code": lambda project, _: swap(project, "src/mtl/training/schedule.py", "return ", "return  0.5 * "),
    "edit a comment": lambda project, random: (project.folder / "src/mtl/data/splits.py").open("a").write(f"# {random.random()}\n"),
    "grow a dataset": grow,
    "spoil something": spoil,
    "go back": back,
    "run snakemake": lambda project, _: project.snakemake(),
    "run snakemake up to train": lambda project, _: project.snakemake("train"),
    "run dvc": lambda project, _: project.dvc("repro"),
    "run dvc up to evaluate": lambda project, _: project.dvc("repro", "evaluate"),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_came_before_the_end_is_as_from_scratch(project: Project, tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    done = []
    for _ in range(STEPS):
        name = random.choice(list(ACTIONS))
        done.append(name)
        ACTIONS[name](project, random)
    project.run(*random.choice([("snakemake", "--cores", "2"), ("dvc", "repro")]))
    assert project.results() == project.from_scratch(tmp_path / "scratch"), done
    project.run("snakemake", "--cores", "2")
    project.clean()
