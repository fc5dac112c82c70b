"""Data and models shared through remotes of three kinds, each a real one: a second clone gets a model and predicts with it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from workflow.make_project import ROOT, Project
from workflow.servers import HOST, SERVED, s3, ssh

pytestmark = pytest.mark.workflow
MODEL = "data/models/joint-augmented-1"
USER = "ann"

Credentials = Callable[[Project], None]


def nothing(project: Project) -> None:
    """A folder asks for no credentials."""


@contextmanager
def folder_remote(project: Project, tmp_path: Path) -> Iterator[Credentials]:
    project.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    yield nothing
    assert any((tmp_path / "store/files/md5").iterdir())


@contextmanager
def s3_remote(project: Project, tmp_path: Path) -> Iterator[Credentials]:
    with s3() as bucket:
        project.run("dvc", "remote", "add", "-d", "store", f"s3://{bucket.name}/project")
        project.run("dvc", "remote", "modify", "store", "endpointurl", bucket.endpoint)

        def credentials(project: Project) -> None:
            project.run("dvc", "remote", "modify", "--local", "store", "access_key_id", "id")
            project.run("dvc", "remote", "modify", "--local", "store", "secret_access_key", "secret")

        yield credentials
    assert any(key.startswith("project/files/md5/") for key in bucket.keys)


@contextmanager
def ssh_remote(project: Project, tmp_path: Path) -> Iterator[Credentials]:
    with ssh(tmp_path / "server") as server:
        project.run("dvc", "remote", "add", "-d", "store", f"ssh://{USER}@{HOST}:{server.port}/store")

        def credentials(project: Project) -> None:
            project.run("dvc", "remote", "modify", "--local", "store", "keyfile", str(server.keyfile))

        assert "Permission denied" in project.run("dvc", "push", "data/results", check=False)  # the server asks for the key
        yield credentials
    assert any((tmp_path / "server" / SERVED / "store/files/md5").iterdir())


@pytest.mark.parametrize("remote", [folder_remote, s3_remote, ssh_remote], ids=lambda remote: remote.__name__)
def test_a_second_clone_pulls_a_model_and_predicts(remote, project: Project, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with remote(project, tmp_path) as credentials:
        credentials(project)
        project.commit("remote")
        project.run("dvc", "push", "-q")
        project.git("clone", "-q", str(project.folder), str(tmp_path / "clone"))
        clone = Project(tmp_path / "clone")
        credentials(clone)
        clone.run("dvc", "pull", MODEL)
    assert (clone.folder / MODEL / "model.safetensors").read_bytes() == (project.folder / MODEL / "model.safetensors").read_bytes()
    assert {path.name for path in (clone.folder / "data").iterdir() if path.is_dir()} == {"models", "tune", "audit"}  # two are in git
    (clone.folder / "texts.txt").write_text("Ann saw a lovely car in Paris\n")
    prediction = json.loads(clone.run("python", "-m", "mtl", "predict", "--model", MODEL, "texts.txt").splitlines()[-1])
    assert prediction["mood"]["label"] in {"good", "bad"}
    assert {"text", "names", "mood"} == prediction.keys()


def test_the_joint_model_is_got_by_its_name_and_version(project: Project, tmp_path: Path) -> None:
    artifact = YAML(typ="safe").load(ROOT / "dvc.yaml")["artifacts"]["joint"]
    assert artifact["type"] == "model"
    assert "trained jointly" in artifact["desc"]
    assert artifact["path"] == MODEL
    project.git("tag", "-a", "joint@v1.0.0", "-m", "first")
    project.run("dvc", "artifacts", "get", str(project.folder), "joint", "--rev", "v1.0.0", "-o", str(tmp_path / "joint"))
    assert (tmp_path / "joint/model.safetensors").read_bytes() == (project.folder / MODEL / "model.safetensors").read_bytes()
