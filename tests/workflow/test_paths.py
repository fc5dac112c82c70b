"""Folders with odd names, and what DVC cannot record."""

import re
import shutil
from pathlib import Path

import pytest

from workflow.make_project import Project

pytestmark = pytest.mark.workflow


def test_a_project_in_a_folder_with_an_odd_name_runs(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "a'b; touch OWNED; ' {x} $y \"z" / "project")
    output = project.run("snakemake", "--cores", "2", "download", "work/state/prepare_dataset/mood.json")
    assert "built prepare_dataset mood" in output
    assert not list(tmp_path.rglob("OWNED"))
    # DVC itself formats the path of its cache.
    assert output.count("DVC will not record the results: DVC fails in a folder with a brace in its path") == 1
    assert "DVC did not record the results" in output


def test_dvc_records_results_in_a_folder_with_quotes(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "a'b $y \"z")
    assert "DVC recorded: download" in project.run("snakemake", "--cores", "2", "download")


def test_a_linked_data_folder_is_said_before_the_work_is_done(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "project")
    shutil.rmtree(project.folder / "data")
    (tmp_path / "large").mkdir()
    (project.folder / "data").symlink_to("../large")
    reason = f"data is a link to {tmp_path}/large, outside of this project; make it a folder"
    output = project.run("snakemake", "--cores", "2", "--dry-run", "download") + project.run("snakemake", "--cores", "2", "download")
    assert output.count(f"DVC will not record the results: {reason}") == 2
    assert f"DVC did not record the results: {reason}" in output


def test_the_words_of_dvc_are_shown_where_it_fails(project: Project) -> None:
    project.edit("dvc.yaml", "  prepare:", "  prepare: [")
    (project.folder / "work/handed_over.json").unlink()
    output = project.run("snakemake", "--cores", "2")
    assert re.search(r"DVC could not record the results \(dvc commit --force [a-z ]+\): './dvc.yaml' is invalid", output), output


@pytest.mark.parametrize("options", [["--dry-run"], ["--dag"], ["--summary"], ["--lint"], ["--list-rules"], ["--touch"]])
def test_what_runs_no_job_writes_nothing_outside_of_work(project: Project, options: list[str]) -> None:
    for path in ("dvc.lock", "work/handed_over.json"):
        (project.folder / path).unlink()
    shutil.rmtree(project.folder / "data/tune")
    before = files(project)
    project.run("snakemake", *(["--cores", "2"] if options in (["--dry-run"], ["--touch"]) else []), *options, check=False)
    assert files(project) == before
    assert not (project.folder / "data/tune").exists()


def files(project: Project) -> dict[Path, tuple[int, int]]:
    """Time and inode of every file that is not scratch."""
    scratch = {"work", ".snakemake", "__pycache__", ".git"}
    paths = [path for path in project.folder.rglob("*") if path.is_file() and not scratch & set(path.relative_to(project.folder).parts)]
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}
