"""A small real project after its first run."""

import shutil
from pathlib import Path

import pytest

from workflow.make_project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after its first run, to be copied."""
    project = Project.make(tmp_path_factory.mktemp("finished") / "project")
    jobs = project.snakemake()
    assert len(jobs) == 2 + 2 + 2 + 6, jobs
    project.commit("first run")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A project of its own, as after a first run; DVC's cache comes along."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True, copy_function=shutil.copy2)
    return Project(tmp_path / "project")
