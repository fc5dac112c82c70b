"""``mtl serve`` in a process of its own, on loopback and a free port."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What the service replied."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A running service; ``with`` ends it."""

    def __init__(self, model: Path, *options: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "mtl", "serve", "--model", str(model), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        assert self.line, self.process.stderr.read() if self.process.stderr else ""
        self.url = self.line.split()[-1]

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=30)

    def get(self, path: str, **headers: str) -> Reply:
        return send(self.url + path, None, headers)

    def post(self, path: str, content: Any = None, **headers: str) -> Reply:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return send(self.url + path, body, {"Content-Type": "application/json"} | headers)


def send(url: str, body: bytes | None, headers: dict[str, str]) -> Reply:
    """One request; a status of failure is a reply too."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as reply:
            return Reply(reply.status, dict(reply.headers), reply.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, dict(error.headers), error.read())
