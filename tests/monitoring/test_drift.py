"""Two-sample tests on texts: their p-values hold, each planted shift is found, and the command says so."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from monitoring.conftest import texts
from mtl.cli import main
from mtl.errors import DataError
from mtl.monitoring import drift
from mtl.tasks.base import Prediction
from mtl.tasks.classification import Classification
from mtl.tasks.regression import Regression

MOOD = Classification(Classification.fit(["bad", "good"]))
STARS = Regression(Regression.fit([1.0, 5.0]))
Draw = Callable[[np.random.Generator, int], list[Prediction]]


def moods(rng: np.random.Generator, rows: int, good: float = 0.5) -> list[Prediction]:
    return [Prediction("good" if draw < good else "bad", 1.0) for draw in rng.random(rows)]


def stars(rng: np.random.Generator, rows: int, mean: float = 3.0) -> list[Prediction]:
    return [Prediction(float(value), 1.0) for value in rng.normal(mean, 1, rows)]


def sample(rng: np.random.Generator, rows: int, predictions: list[Prediction], mean: float = 0.0, unknown: float = 0.1) -> drift.Sample:
    vectors = rng.normal(mean, 1, (rows, 8)).astype(np.float32)
    return drift.Sample([""] * rows, vectors, predictions, rng.binomial(10, unknown, rows) / 10)


def test_the_discrepancy_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(9, 3)).astype(np.float32)
    mask = np.arange(9) >= 5
    k = drift.kernel(vectors).astype(float)
    inside, outside = [np.flatnonzero(side) for side in (mask, ~mask)]
    within = [np.mean([k[i, j] for i in side for j in side if i != j]) for side in (inside, outside)]
    between = np.mean([k[i, j] for i in inside for j in outside])
    assert drift.discrepancy(vectors, mask[None])[0] == pytest.approx(within[0] + within[1] - 2 * between, abs=1e-6)


def test_the_statistic_of_classes_is_chi_square() -> None:
    values = np.eye(3)[[0, 0, 1, 2, 2, 1, 0, 2, 2, 2]]
    mask = np.arange(10) >= 6
    table = np.array([values[mask].sum(0), values[~mask].sum(0)])
    assert drift.chi_square(values, mask[None])[0] == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)


def test_p_values_are_corrected_as_holm_has_it() -> None:
    assert drift.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert drift.holm([0.9, 0.8]) == [1.0, 1.0]


def test_samples_of_one_source_are_rarely_told_apart() -> None:
    """At level 0.1, in 200 draws, each test rejects about 20 times."""
    rejected = np.zeros(3)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sides = [sample(rng, rows, moods(rng, rows, 0.9)) for rows in (60, 40)]
        rejected += [test.p <= 0.1 for test in drift.compare_task(str(seed), MOOD, sides[0], sides[1], 99)]
    assert (rejected < 36).all(), rejected
    assert (rejected[[0, 2]] > 6).all(), rejected  # that of few classes is discrete, so it may reject less often


@pytest.mark.parametrize(
    ("task", "new", "shifted"),
    [
        (MOOD, lambda rng: sample(rng, 200, moods(rng, 200), mean=0.3), "embeddings"),
        (MOOD, lambda rng: sample(rng, 200, moods(rng, 200, 0.8)), "predictions"),
        (STARS, lambda rng: sample(rng, 200, stars(rng, 200, 3.6)), "predictions"),
        (MOOD, lambda rng: sample(rng, 200, moods(rng, 200), unknown=0.2), "unknown subwords"),
    ],
)
def test_a_shift_is_found_where_it_is(
    task: Classification | Regression, new: Callable[[np.random.Generator], drift.Sample], shifted: str
) -> None:
    rng = np.random.default_rng(2)
    predict: Draw = moods if task is MOOD else stars
    results = drift.compare({"task": task}, {"task": [sample(rng, 300, predict(rng, 300)), new(rng)]}, 0.01)
    assert [test["test"] for test in results["tests"] if test["drift"]] == [shifted]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_command_tells_by_its_exit_status(model: Path, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reference are the rows that the model did not learn from: the train rows here are like none of the new texts."""
    same, other = write(tmp_path / "same.txt", texts(120, 2)), write(tmp_path / "other.txt", texts(120, 3, ["Acme", "Corp", ".", "漢字"]))
    options = ["drift", "--model", str(model), "--reference", str(examples), "--task", "mood", "--json"]
    assert main([*options, str(same)]) == 0
    results = json.loads(capsys.readouterr().out)
    assert (results["drift"], results["texts"]) == (False, {"mood": {"reference": 150, "new": 120}})
    page = tmp_path / "drift.html"
    assert main([*options, "--report", str(page), str(other)]) == 1
    results = json.loads(capsys.readouterr().out)
    assert {"embeddings", "unknown subwords"} <= {test["test"] for test in results["tests"] if test["drift"]}
    assert "漢字" in " ".join(results["strangest"]["mood"])
    assert "The new texts differ: embeddings of mood" in page.read_text()
    assert main([*options[:-1], str(other)]) == 1
    assert "drift  mood: embeddings" in capsys.readouterr().out


def test_only_datasets_that_a_task_learned_from_are_its_reference(examples: Path) -> None:
    assert len(drift.unseen_texts(examples, {"label": "mood", "datasets": ["reviews", "others"]}, MOOD)) == 150
    with pytest.raises(DataError, match="no validation or test rows with the label 'mood'"):
        drift.unseen_texts(examples, {"label": "mood", "datasets": ["others"]}, MOOD)


def test_files_are_compared_for_all_tasks(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write(tmp_path / f"{seed}.txt", texts(60, seed)) for seed in (4, 5)]
    assert main(["drift", "--model", str(model), "--reference", str(files[0]), "--texts", "50", "--json", str(files[1])]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [test["task"] for test in results["tests"]] == [name for name in ("mood", "stars", "names") for _ in range(3)]
    assert {count for side in results["texts"].values() for count in side.values()} == {50}


@pytest.mark.parametrize(
    ("options", "count", "reason"),
    [
        (["--reference", "few.txt"], 60, "a test needs 20 texts of the reference and as many new ones; there are for mood 5 and 60"),
        (["--level", "0"], 60, "--level: 0.0 is not between 0 and 1"),
        (["--reference", "missing.txt"], 60, "missing.txt: cannot be read"),
        (["--reference", "."], 60, ".: holds no validation or test rows with the label"),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    count: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "few.txt", texts(5, 1))
    write(tmp_path / "new.txt", texts(count, 2))
    assert main(["drift", "--model", str(model), *options, "--task", "mood", "new.txt"]) == 2
    assert reason in capsys.readouterr().err
