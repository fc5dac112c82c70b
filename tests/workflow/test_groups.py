"""Groups of tasks that are trained together, with the real tools."""

from pathlib import Path

from workflow.make_project import Project

TASKS = "  mood: {type: classification, label: mood}\n"


def test_a_new_group_trains_itself_alone(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    project.edit("params.yaml", "labels:\n", "labels:\n      rating: {type: number, column: rating}\n")
    project.edit("params.yaml", TASKS, f"{TASKS}  rating: {{type: regression, label: rating}}\n")
    project.edit("params.yaml", "joint: [augmented], single_task: []", "joint: [plain], single_task: [plain]")
    project.snakemake("train")
    project.edit("params.yaml", "single_task: [plain]", "single_task: [plain], groups: [[mood, names], [rating], [names, mood, rating]]")
    assert project.snakemake("train") == [f"{rule} group_names+mood-plain-1" for rule in ("card_run", "train_run")]
    assert (project.folder / "data/models/group_names+mood-plain-1/model.safetensors").exists()
