"""The bootstrap, compared with resampling row by row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mtl import plugins
from mtl.evaluation.bootstrap import MAX_CELLS, centred, draws, generator, interval, interval_about, resample
from mtl.tasks.base import to_text

KEYS = tuple(f"d\x1e{i}" for i in range(40))


def _class(rng: np.random.Generator) -> str:
    return str(rng.choice(["a", "b", "c"]))


def _classes(rng: np.random.Generator) -> list[str]:
    return [name for name in ("a", "b", "c") if rng.random() < 0.4]


def _probabilities(rng: np.random.Generator) -> dict[str, Any]:
    return {"classes": _classes(rng), "probabilities": {name: float(rng.random()) for name in ("a", "b", "c")}}


def _number(rng: np.random.Generator) -> float:
    return float(rng.integers(0, 8)) / 2  # with ties


def _tags(rng: np.random.Generator) -> list[str]:
    return [str(rng.choice(["O", "B-x", "B-y"])) for _ in range(4)]


def _answers(rng: np.random.Generator) -> list[dict[str, Any]]:
    return [{"text": str(text), "start": 0, "end": 1} for text in rng.choice(["the fox", "a dog", "fox dog"], int(rng.integers(3)))]


def _answer(rng: np.random.Generator) -> dict[str, Any]:
    text = str(rng.choice(["fox", "dog", ""]))
    return {"text": text, "answered": bool(text), "start": 0, "end": 1}


def _text(rng: np.random.Generator) -> str:
    return " ".join(str(word) for word in rng.choice(["the", "fox", "dog", "sat", "down"], int(rng.integers(1, 7))))


SIDES: dict[str, tuple[Callable[[np.random.Generator], Any], Callable[[np.random.Generator], Any]]] = {
    "classification": (_class, _class),
    "generation": (_text, _text),
    "multilabel_classification": (_classes, _probabilities),
    "question_answering": (_answers, _answer),
    "regression": (_number, _number),
    "relation_classification": (lambda rng: {"class": _class(rng)}, _class),
    "token_classification": (_tags, _tags),
}
"""By task type, what makes a gold label and what a prediction."""


@pytest.mark.parametrize("task_type", plugins.names(plugins.TASKS))
def test_draws_equal_the_metrics_of_the_resampled_rows(task_type: str) -> None:
    type_ = plugins.task_type(task_type)
    rng = np.random.default_rng(1)
    gold, prediction = ([to_text(make(rng)) for _ in KEYS] for make in SIDES[task_type])
    blocks = list(resample(KEYS, 30))
    chosen = [None, *(metric.name for metric in type_.all_metrics), *MORE.get(task_type, [])]
    for main in map(type_.metric, chosen):
        scores, result = draws(task_type, gold, prediction, blocks, main.name)
        assert scores == pytest.approx(type_.scores(gold, prediction, main))
        rows = [np.repeat(np.arange(len(KEYS)), weights.astype(int)) for weights in np.concatenate(blocks)]
        each = [type_.scores([gold[i] for i in drawn], [prediction[i] for i in drawn], main) for drawn in rows]
        assert main.name in result
        assert result.keys() == scores.keys()
        for name, values in result.items():
            expected = np.array([found[name] for found in each])
            assert values == pytest.approx(np.where(np.isnan(expected), scores[name], expected))


MORE = {"classification": ["f1:a", "recall:b"], "token_classification": ["f1:x", "precision:y"]}


def test_a_resample_without_a_score_has_that_of_all_rows() -> None:
    gold, prediction = ["1.0", "2.0"], ["1.0", "3.0"]  # half of the resamples of two rows draw one of them twice
    for values in draws("regression", gold, prediction, resample(["a", "b"], 50))[1].values():
        assert np.isfinite(values).all()
    assert draws("regression", gold, prediction, resample(["a", "b"], 50))[1]["pearson"] == pytest.approx(1.0)


def test_the_interval_of_macro_f1_with_rare_classes_is_around_the_score() -> None:
    """20 classes, five of them with at most 3 test rows, all wrong: without centring four fifths of the resamples lie above the score."""
    sizes = [40] * 15 + [3, 3, 2, 2, 1]
    gold = [f"c{i:02}" for i, size in enumerate(sizes) for _ in range(size)]
    prediction = ["c00" if int(label[1:]) >= 15 else label for label in gold]
    scores, drawn = draws("classification", gold, prediction, resample([str(i) for i in range(len(gold))], 1000))
    score = scores["macro_f1"]
    low, high = interval_about(score, drawn["macro_f1"], 0.95)
    assert low < score < high
    assert np.mean(centred(drawn["macro_f1"], score) > score) == pytest.approx(0.5, abs=0.1)


def test_one_row_that_differs_is_no_difference() -> None:
    """37 % of the resamples lack the row. Whatever the others show, the interval contains zero."""
    gold = ["a", "b", "c"] * 30
    worse = ["b", *gold[1:]]
    blocks = list(resample([str(i) for i in range(len(gold))], 1000))
    (first, drawn), (second, other) = (draws("classification", gold, side, blocks) for side in (gold, worse))
    for metric in ("macro_f1", "accuracy"):
        difference = first[metric] - second[metric]
        low, high = interval_about(difference, drawn[metric] - other[metric], 0.95)
        assert low == 0 < difference < high
        assert interval_about(-difference, other[metric] - drawn[metric], 0.95) == pytest.approx((-high, 0))


@pytest.mark.parametrize(("rare", "least"), [((3, 3, 2, 2, 1), 0.8), ((20,) * 5, 0.92)])
def test_the_interval_of_macro_f1_covers_the_true_one(rare: tuple[int, ...], least: float) -> None:
    """95 % intervals of 100 test splits of 20 classes, 85 % of each predicted right; of 300 they covered it in 86 % and in 95 %."""
    rng = np.random.default_rng(5)
    sizes = np.array([40] * 15 + list(rare))
    shares = sizes / sizes.sum()
    joint = np.diag(0.85 * shares) + 0.15 * shares[:, None] * shares * (1 - np.eye(20)) / (1 - shares[:, None])
    truth = float(np.mean(2 * joint.diagonal() / (joint.sum(0) + joint.sum(1))))
    blocks, hits = list(resample([str(i) for i in range(sizes.sum())], 300)), 0
    for _ in range(100):
        cells = rng.choice(400, size=sizes.sum(), p=joint.ravel() / joint.sum())
        gold, prediction = ([str(label) for label in side] for side in divmod(cells, 20))
        scores, drawn = draws("classification", gold, prediction, blocks)
        low, high = interval_about(scores["macro_f1"], drawn["macro_f1"], 0.95)
        hits += low <= truth <= high
    assert hits / 100 >= least


def test_resamples_depend_only_on_the_rows() -> None:
    np.random.default_rng(0).normal()
    first, second, other = (np.concatenate(list(resample(keys, 20))) for keys in (KEYS, KEYS, KEYS[::-1]))
    assert (first == second).all()
    assert (first != other).any()
    assert (first.sum(1) == len(KEYS)).all()


def test_large_test_splits_come_in_blocks() -> None:
    keys = [str(i) for i in range(5000)]
    blocks = list(resample(keys, 1000))
    assert sum(map(len, blocks)) == 1000
    assert max(block.size for block in blocks) <= MAX_CELLS


def test_names_are_kept_apart() -> None:
    assert generator("ab", "c").integers(1 << 60) != generator("a", "bc").integers(1 << 60)


def test_interval_is_central() -> None:
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert interval(np.arange(101.0), 0.9, low=7, high=90) == pytest.approx((7, 90))


def test_intervals_have_their_nominal_coverage() -> None:
    """Accuracy of a coin with p = .7 on 200 rows: 95 % intervals of 200 experiments."""
    hits = 0
    rng = np.random.default_rng(3)
    keys = [str(i) for i in range(200)]
    blocks = list(resample(keys, 200))
    for _ in range(200):
        gold, prediction = ["a"] * 200, ["a" if right else "b" for right in rng.random(200) < 0.7]
        low, high = interval(draws("classification", gold, prediction, blocks)[1]["accuracy"], 0.95)
        hits += low <= 0.7 <= high
    assert 180 <= hits <= 200
