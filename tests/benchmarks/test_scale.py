"""The whole workflow by rows."""

import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import scale

    return scale


def test_each_stage_is_measured(scale: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(scale, "SIZES", (500,))
    assert scale.main(["--rows", "400", "--stages", "download", "prepare", "augment", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(found) == ["400", "peak_memory_mib", "time_growth"]
    assert list(found["400"]) == ["download", "prepare", "augment"]
    cost = found["400"]["prepare"]
    assert cost["rows_per_second"] == pytest.approx(480 / cost["seconds"], rel=0.1)
    assert found["peak_memory_mib"] == cost["memory_mib"] > found["400"]["download"]["memory_mib"]


def test_growth_is_that_of_the_worst_stage(scale: ModuleType) -> None:
    costs = {rows: {"a": scale.Cost(rows * 0.5, 1, 1), "b": scale.Cost(rows * rows * 0.1, 1, 7)} for rows in (10, 20, 80)}
    assert scale.growths(costs) == {"a": 1, "b": 4}
    content = scale.summary(costs)
    assert (content["time_growth"], content["peak_memory_mib"]) == (4, 7)
    assert scale.summary({10: costs[10]})["time_growth"] is None


def test_a_job_that_fails_says_why(scale: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"prepare_dataset reviews:\n(?s:.)*params\.json"):
        scale.run_job(tmp_path, "prepare_dataset", "reviews")
