"""The benchmark of export runs on a small model."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def export(serve: ModuleType) -> ModuleType:
    """The benchmark of export, which takes its texts and its model from that of the service."""
    spec = importlib.util.spec_from_file_location("benchmark_of_export", FOLDER / "export.py")  # the tests have a package of that name
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_last_line_has_all_figures(export: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    export.main(["--quick", "--json"])
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert min(results[name] for name in ("latency_vs_torch", "bulk_vs_torch", "latency_ms")) > 0
    assert (results["equal_labels"], results["lines"]) == (1.0, 16)
    assert results["largest_difference"] < 1e-3
