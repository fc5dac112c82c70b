"""Groups of tasks that are trained together, with the real tools."""

import json
from pathlib import Path

from workflow.make_project import Project, only

TASKS = "  mood: {type: classification, label: mood}\n"


def test_a_new_group_trains_itself_alone(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    project.edit("params.yaml", "labels:\n", "labels:\n      rating: {type: number, column: rating}\n")
    project.edit("params.yaml", TASKS, f"{TASKS}  rating: {{type: regression, label: rating}}\n")
    project.edit("params.yaml", "joint: [augmented], single_task: []", "joint: [plain], single_task: [plain]")
    project.snakemake("train")
    project.edit("params.yaml", "single_task: [plain]", "single_task: [plain], groups: [[mood, names], [rating], [names, mood, rating]]")
    jobs = project.snakemake()
    assert only(jobs, "card_run", "train_run") == [f"{rule} group_names+mood-plain-1" for rule in ("card_run", "train_run")]
    assert 'id="advice"' in (project.folder / "data/report/report.html").read_text()
    assert json.loads((project.folder / "data/models/joint-plain-1/cost.json").read_text())["serving"]["cpu_ms_per_text"] > 0
