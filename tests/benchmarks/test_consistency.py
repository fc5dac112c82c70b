"""The benchmark of consistency training on a few rows, with a small network."""

import json
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def consistency(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import consistency

    monkeypatch.setattr(consistency, "METHODS", {"swap": {"type": "swap"}})
    monkeypatch.setattr(consistency, "CONFIDENT", 0.0)
    return consistency


def test_it_runs(consistency: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random, words = Random(1), ["the", "film", "was", "really", "quite", "and", "we", "saw", "it"]
    for split, rows in (("train", 120), ("test", 30)):
        texts = [(random.choice("01"), random.choices(words, k=8)) for _ in range(rows)]
        (tmp_path / f"s-{split}").write_text(
            "".join(f"{label} {' '.join(text)} {'good' if label == '1' else 'bad'}\n" for label, text in texts)
        )
        tagged = [[*((word, "O") for word in text), (("Oslo", "Lima")[int(label)], "B-LOC")] for label, text in texts]
        (tmp_path / f"e-{split}").write_text("\n\n".join("\n".join(f"{word} X {tag}" for word, tag in row) for row in tagged))
    files = [
        option
        for name, letter in (("sentiment", "s"), ("entities", "e"))
        for option in (f"--{name}", tmp_path / f"{letter}-train", tmp_path / f"{letter}-test")
    ]
    few = ["--sizes", "20", "--sentences", "20", "--seeds", "1", "--pool", "60", "--steps", "4", "--json"]
    arguments = [*map(str, files), "--work", str(tmp_path / "work"), *few]
    assert consistency.main(arguments) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(cell["task"], cell["labels"], cell["seeds"]) for cell in figures["cells"]] == [("sentiment", 20, 1), ("entities", 20, 1)]
    assert all(cell["self_training"]["followed"] == 1 for cell in figures["cells"])
    before = (tmp_path / "work/results.csv").read_bytes()
    assert consistency.main(arguments) == 0
    assert (tmp_path / "work/results.csv").read_bytes() == before


def test_gains_are_paired_by_seed(consistency: ModuleType) -> None:
    scores = {"supervised": (0.5, 0.7, 0.6), "consistency": (0.6, 0.8, 0.7), "self_training": (0.5, 0.8, 0.5)}
    results = [
        consistency.Result(seed, "sentiment", 20, way, score, 4, 0.5, 1.0) for way, own in scores.items() for seed, score in enumerate(own)
    ]
    (cell,) = consistency.cells(results)
    assert cell["consistency"]["low"] == pytest.approx(0.1)
    assert cell["consistency"]["high"] == pytest.approx(0.1)
    assert cell["self_training"]["gain"] == pytest.approx(0)
    assert cell["self_training"]["low"] < -0.2
