"""The benchmark of the label audit on a few rows, with a small network."""

import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def label_audit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import label_audit

    return label_audit


def test_a_share_of_the_labels_is_changed(label_audit: ModuleType) -> None:
    labels = ["a", "b", "c", "a"] * 50
    changed, wrong = label_audit.planted(labels, 0.05, 1)
    assert len(wrong) == 10
    assert {number for number, (old, new) in enumerate(zip(labels, changed, strict=True)) if old != new} == wrong


def test_the_ranking_is_scored(label_audit: ModuleType) -> None:
    found = label_audit.scores(["x", "a", "y", "z", "b"], {"x", "y", "b", "c"})
    assert found == {"precision": 0.6, "recall": 0.75, "recall_at_half_precision": 0.75}
    assert label_audit.scores(["a", "b", "x"], {"x"})["recall_at_half_precision"] == 0


def test_it_runs(label_audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        f"{'DESC' if n % 2 else 'NUM'}:x {'why' if n % 2 else 'how'} {chr(97 + n % 26) * 3} {chr(97 + n // 26) * 3}" for n in range(120)
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    options = ["--data", str(tmp_path / "train.txt"), "--work", str(tmp_path / "work"), "--folds", "2", "--epochs", "2", "--json"]
    assert label_audit.main(options) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["rows"], figures["planted"]) == (108, 5)
