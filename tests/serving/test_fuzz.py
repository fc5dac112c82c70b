"""Requests made from the service's own description never make it fail, and every reply is as described."""

import subprocess
import sys
from pathlib import Path

from tests.serving.process import Serving

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_request_makes_the_service_fail(serving: Serving, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    options = ["--checks", CHECKS, "--max-examples", "40", "--seed", "1", "--exclude-path", "/reload", "--no-color"]
    done = subprocess.run(
        [program, "run", serving.url + "/openapi.json", *options], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stdout[-5000:]


def test_every_route_is_described(serving: Serving) -> None:
    described = set(serving.get("/openapi.json").json["paths"])
    assert described >= {"/predict", "/corrections", "/health", "/ready", "/metrics", "/model", "/reload"}
