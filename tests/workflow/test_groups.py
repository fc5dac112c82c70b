"""Groups of tasks that are trained together, with the real tools."""

import json
from pathlib import Path

import mtl.config
from workflow.make_project import Project, only

TASKS = "  mood: {type: classification, label: mood}\n"


def three_tasks(folder: Path) -> Project:
    """A project with a third task, plain runs for each and for all."""
    project = Project.make(folder)
    project.edit("params.yaml", "labels:\n", "labels:\n      rating: {type: number, column: rating}\n")
    project.edit("params.yaml", TASKS, f"{TASKS}  rating: {{type: regression, label: rating}}\n")
    project.edit("params.yaml", "joint: [augmented], single_task: []", "joint: [plain], single_task: [plain]")
    return project


def test_a_new_group_trains_itself_alone(tmp_path: Path) -> None:
    project = three_tasks(tmp_path / "project")
    project.snakemake("train")
    project.edit("params.yaml", "single_task: [plain]", "single_task: [plain], groups: [[mood, names], [rating], [names, mood, rating]]")
    jobs = project.snakemake()
    assert only(jobs, "card_run", "train_run") == [f"{rule} group_names+mood-plain-1" for rule in ("card_run", "train_run")]
    assert 'id="advice"' in (project.folder / "data/report/report.html").read_text()
    assert json.loads((project.folder / "data/models/joint-plain-1/cost.json").read_text())["serving"]["cpu_ms_per_text"] > 0


def test_a_race_spares_runs_and_the_experiment_keeps_those_that_it_trained(tmp_path: Path) -> None:
    project = three_tasks(tmp_path / "project")
    assert "experiment.groups: has no group beside" in project.run("snakemake", "-n", "race", check=False)
    project.edit("params.yaml", "single_task: [plain]", "single_task: [plain], groups: [[mood, rating]], target: rating, seeds: [1, 2, 3]")
    project.edit("params.yaml", "resamples: 100", "resamples: 100, confidence: 0.51")  # a race of few runs
    output = project.run("snakemake", "--cores", "2", "race")
    results = {path.stem: json.loads(path.read_text()) for path in project.folder.glob("work/race/*/*/*.json")}
    spared = {name for name, result in results.items() if "reason" in result}
    assert len(results) == 9
    assert spared
    assert f"{9 - len(spared)} of 9 runs trained, {len(spared)} spared" in output
    assert not any(name.endswith(("-1", "-2")) for name in spared)
    assert "race_run" not in project.run("snakemake", "-n", "race")

    best = "data/race/best.yaml"
    wanted = set(mtl.config.load(project.folder / best).runs())
    planned = project.run("snakemake", "-n", "--configfile", best)
    trained = {line.split()[-1] for line in planned.splitlines() if "Train " in line}
    assert trained & results.keys() == wanted & spared
    assert {name for name in trained if name.startswith("group_")} == wanted & spared & {"group_mood+rating-plain-3"}
