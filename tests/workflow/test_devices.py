"""A training run in several processes, by the profile and by launchers: another way to the same keys."""

import json
import re

import pytest

from workflow.make_project import ROOT, Project

pytestmark = pytest.mark.workflow
RUN = "joint-augmented-1"


def test_the_profile_sets_the_number_of_processes_and_launchers_find_what_was_built(project: Project) -> None:
    key = key_of_the_run(project)
    alone = json.loads((project.folder / f"data/models/{RUN}/run.json").read_text())
    project.run("rm", "-r", "work", "data/models", "data/records/train.json")
    profile = project.folder / "workflow/profiles/default/config.yaml"
    profile.write_text(profile.read_text() + 'set-resources: ["train_run:processes=2"]\n')
    assert f"train_run {RUN}" in project.snakemake("train")
    together = json.loads((project.folder / f"data/models/{RUN}/run.json").read_text())
    assert (alone["processes"], together["processes"]) == (1, 2)
    assert (together["steps"], together["tokens"], together["rows"]) == (alone["steps"], alone["tokens"], alone["rows"])
    assert key_of_the_run(project) == key
    (command,) = re.findall(r"accelerate launch.*?(-m mtl train_run[^`]*)`", (ROOT / "docs/how-to/use-gpus.md").read_text())
    launch = ["accelerate", "launch", "--cpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
    assert f"kept train_run {RUN}" in project.run(*launch, *command.split())


def key_of_the_run(project: Project) -> str:
    """By the record. The key of the card differs, since it reads the facts of the run."""
    record = json.loads((project.folder / "data/records/train.json").read_text())
    return str(record["jobs"][f"train_run/{RUN}"]["key"])
