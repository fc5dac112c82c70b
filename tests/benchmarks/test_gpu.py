"""The one command for a GPU: it names the device, reads what the steps leave, and does not let one step stop another."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mtl.config
from mtl.data import schema

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import gpu

    return gpu


def test_a_step_that_fails_or_lasts_too_long_does_not_stop_the_others(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(code: str, limit: int = 60) -> Any:
        return gpu.Step([sys.executable, "-c", code], limit, gpu.last_line, {"PLACE": "here"})

    made = {
        "project": step("print('{}')"),
        "tests": step("raise SystemExit('it broke')"),
        "train": step("import time; print('no end', flush=True); time.sleep(60)", 2),
        "predict": step("""import os; print('a line'); print('{"vs": {"other": 2.5}, "place": "%s"}' % os.environ["PLACE"])"""),
    }
    monkeypatch.setattr(gpu, "steps", lambda *_, **__: made)
    assert gpu.main(["--rehearse", "--out", str(tmp_path), "--only", "tests", "train", "predict"]) == 1
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {name: (step["status"], step["results"]) for name, step in found["steps"].items()} == {
        "project": ("ok", {}),
        "tests": ("exit status 1", None),
        "train": ("stopped after 2 s", None),
        "predict": ("ok", {"vs": {"other": 2.5}, "place": "here"}),
    }
    table = (tmp_path / "gpu.md").read_text()
    assert table.startswith(f"# {found['machine']['device']}\n")
    assert "| predict | vs.other | 2.5 |" in table
    assert "it broke" in (tmp_path / "tests.log").read_text()
    assert table in capsys.readouterr().out


def test_no_step_begins_when_time_is_up(gpu: ModuleType, tmp_path: Path) -> None:
    assert gpu.main(["--rehearse", "--out", str(tmp_path), "--only", "tests", "--minutes", "0"]) == 1
    steps = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    assert {step["status"] for step in steps.values()} == {"no time left"}


def test_limits_sum_up_to_less_than_15_minutes(gpu: ModuleType, tmp_path: Path) -> None:
    steps = gpu.steps(tmp_path, gpu.SIZES["full"], rehearse=False)
    assert list(steps) == ["project", *gpu.STEPS]
    assert sum(step.limit for step in steps.values()) < 15 * 60


def test_failed_tests_are_named(gpu: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "tests.xml").write_text(
        '<testsuites><testsuite tests="3" failures="1" errors="0" skipped="1"><testcase name="a"/>'
        '<testcase name="b"><failure message="assert 1 == 2&#10;more"/></testcase><testcase name="c"><skipped/></testcase>'
        "</testsuite></testsuites>"
    )
    assert gpu.counts(tmp_path / "tests.xml") == {
        "tests": 3,
        "failures": 1,
        "errors": 0,
        "skipped": 1,
        "failed": {"b": "assert 1 == 2"},
    }


def test_the_project_is_whole_and_the_same_each_time(gpu: ModuleType, tmp_path: Path) -> None:
    import project

    for name in ("first", "again"):
        project.write_project(tmp_path / name, 40)
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file())
    assert all((tmp_path / "first" / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert not list((tmp_path / "first").rglob("*.safetensors"))
    params = mtl.config.load(tmp_path / "first" / "params.json")
    tables = {name: schema.read(tmp_path / "first" / "examples" / f"{name}.parquet").to_pylist() for name in params.datasets}
    assert {len(rows) for rows in tables.values()} == {48}
    assert {row["mood"] for row in tables["reviews"]} == {"good", "bad"}
    assert {tag for row in tables["places"] for tag in row["names"]} == {"O", "B-name"}
