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
    rows = [label_audit.Labelled((), label) for label in ["a", "b", "c", "a"] * 50]
    changed = label_audit.planted(rows, 0.05, 1)
    assert sum(row.wrong == {0} for row in changed) == 10
    assert all((old.label != new.label) == (new.wrong == {0}) for old, new in zip(rows, changed, strict=True))


def test_the_ranking_is_scored(label_audit: ModuleType) -> None:
    named = [("x", 0), ("a", 3), ("y", 1), ("a", 0), ("x", 2)]
    found = label_audit.scores(named, {("x", 0), ("y", 1), ("x", 2), ("c", 0)}, labels=40, rows=8)
    assert found == pytest.approx(
        {
            "precision": 0.6,
            "precision_vs_chance": 6,
            "rows_precision": 2 / 3,
            "rows_precision_vs_chance": 16 / 9,
            "recall": 0.75,
            "recall_at_half_precision": 0.75,
        }
    )
    assert label_audit.scores([("a", 0), ("b", 0), ("x", 0)], {("x", 0)}, labels=3, rows=3)["recall_at_half_precision"] == 0


def test_it_runs(label_audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        f"{'DESC' if n % 2 else 'NUM'}:x {'why' if n % 2 else 'how'} {chr(97 + n % 26) * 3} {chr(97 + n // 26) * 3}" for n in range(120)
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    options = ["--data", str(tmp_path / "train.txt"), "--work", str(tmp_path / "work"), "--folds", "2", "--epochs", "2", "--json"]
    assert label_audit.main(options) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["rows"], figures["labels"], figures["wrong"]) == (108, 108, 5)


def test_it_takes_corrected_tags(label_audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{chr(65 + n % 26)}{chr(97 + n // 26) * 2}" for n in range(60)]
    for file, wrong in (("given", 7), ("corrected", 0), ("more", 0)):
        tags = ["B-ORG" if wrong and n % wrong == 0 else "B-PER" for n in range(60)]
        sentences = [f"Then RB O\n{name} NNP {tag}\nsaid VBD O\n" for name, tag in zip(names, tags, strict=True)]
        (tmp_path / file).write_text("-DOCSTART- -X- O\n\n" + "\n".join(sentences))
    options = ["--data", str(tmp_path / "given"), "--corrected", str(tmp_path / "corrected"), "--more", str(tmp_path / "more")]
    assert label_audit.main([*options, "--work", str(tmp_path / "work"), "--folds", "2", "--epochs", "2", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["rows"], figures["labels"]) == (54, 162)
    assert 6 <= figures["wrong"] <= 9


def test_corrected_tags_of_other_tokens_are_refused(label_audit: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("a O\n\nb O\n")
    (tmp_path / "corrected").write_text("a O\n\nc O\n")
    with pytest.raises(SystemExit, match="the tokens differ"):
        label_audit.tagged(tmp_path / "given", tmp_path / "corrected")
