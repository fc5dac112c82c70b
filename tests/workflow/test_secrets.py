"""The password of a source is in the environment of a run, and in nothing that the run writes."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workflow.make_project import Project, ratings

pytestmark = pytest.mark.workflow
PASSWORD, TOKEN = "Open-Sesame", "Swordfish"


class Handler(BaseHTTPRequestHandler):
    """Gives the text of the server to those who know both secrets."""

    def do_GET(self) -> None:
        login = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
        known = self.headers.get("Authorization") == f"Basic {login}" and self.path == f"/mood.csv?token={TOKEN}"
        content = self.server.content if known else b""  # type: ignore[attr-defined]
        self.send_response(200 if known else 401)
        if not known:
            self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content = ratings(60).encode()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def holders(folder: Path) -> list[str]:
    """The files below a folder that hold a secret, in their names too."""
    secrets = (PASSWORD, TOKEN, base64.b64encode(f"ann:{PASSWORD}".encode()).decode())
    return [
        str(path)
        for path in folder.rglob("*")
        for secret in secrets
        if secret in str(path) or (path.is_file() and secret.encode() in path.read_bytes())
    ]


def test_no_file_of_a_run_holds_a_secret(tmp_path: Path, port: int) -> None:
    project = Project.make(tmp_path / "project")
    (project.folder / "input/mood.csv").unlink()
    url = f"http://ann:${{env:PASSWORD}}@127.0.0.1:{port}/mood.csv?token=${{env:TOKEN}}"
    literal = f"http://ann:{PASSWORD}@127.0.0.1:{port}/mood.csv?token={TOKEN}"

    project.edit("params.yaml", "url: input/mood.csv", f'url: "{literal}"')
    for command in (["mtl", "check"], ["snakemake", "--cores", "2"], ["dvc", "repro"]):
        refused = project.run(*command, check=False)
        assert "datasets.mood.source.url: holds a user name or password" in refused
        assert "Traceback" not in refused
        assert PASSWORD not in refused
        assert TOKEN not in refused
    project.edit("params.yaml", literal, url)
    assert not holders(project.folder)

    project.environment["PASSWORD"] = PASSWORD
    unset = project.run("snakemake", "--cores", "2", "download", check=False)
    assert "datasets.mood.source: " in unset
    assert "the environment variable TOKEN is not set" in unset
    project.environment["TOKEN"] = "another"
    assert "401" in project.run("snakemake", "--cores", "2", "download", check=False)
    project.environment["TOKEN"] = TOKEN
    jobs = project.snakemake()
    assert "render_report all" in jobs
    project.clean()
    project.commit("with secrets in the environment")

    assert not holders(project.folder)
    for path in ("data/report/report.html", "data/models/joint-augmented-1/README.md", "data/examples/mood.json", "dvc.lock"):
        assert "${env:PASSWORD}" in (project.folder / path).read_text(), path

    project.environment |= {"PASSWORD": "", "TOKEN": ""}  # who has the data needs no password
    assert project.snakemake() == []
