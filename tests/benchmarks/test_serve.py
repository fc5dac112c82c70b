"""The benchmark of the service runs on small models."""

import json
from types import ModuleType

import pytest


def test_the_last_line_has_all_figures(serve: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    serve.main(["--quick", "--json"])
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert min(results[name] for name in ("throughput_vs_pipelines", "p95_ms", "bulk_vs_pipeline", "memory_mib")) > 0
    assert results["median_ms"] <= results["p95_ms"]
    assert (results["clients"], results["tasks"], results["lines"]) == (32, 1, 64)
