"""The bootstrap, compared with resampling row by row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mtl import plugins
from mtl.evaluation.bootstrap import MAX_CELLS, draws, generator, interval, resample
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


SIDES: dict[str, tuple[Callable[[np.random.Generator], Any], Callable[[np.random.Generator], Any]]] = {
    "classification": (_class, _class),
    "multilabel_classification": (_classes, _probabilities),
    "regression": (_number, _number),
    "relation_classification": (lambda rng: {"class": _class(rng)}, _class),
    "token_classification": (_tags, _tags),
}
"""By task type, what makes a gold label and what a prediction."""


@pytest.mark.parametrize("task_type", plugins.names(plugins.TASKS))
def test_draws_equal_the_metrics_of_the_resampled_rows(task_type: str) -> None:
    rng = np.random.default_rng(1)
    gold, prediction = ([to_text(make(rng)) for _ in KEYS] for make in SIDES[task_type])
    blocks = list(resample(KEYS, 30))
    result = draws(task_type, gold, prediction, blocks)
    for r, weights in enumerate(np.concatenate(blocks)):
        rows = np.repeat(np.arange(len(KEYS)), weights.astype(int))
        expected = plugins.task_type(task_type).metrics([gold[i] for i in rows], [prediction[i] for i in rows])
        assert {name: values[r] for name, values in result.items()} == pytest.approx(expected)


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


def test_intervals_have_their_nominal_coverage() -> None:
    """Accuracy of a coin with p = .7 on 200 rows: 95 % intervals of 200 experiments."""
    hits = 0
    rng = np.random.default_rng(3)
    keys = [str(i) for i in range(200)]
    blocks = list(resample(keys, 200))
    for _ in range(200):
        gold, prediction = ["a"] * 200, ["a" if right else "b" for right in rng.random(200) < 0.7]
        low, high = interval(draws("classification", gold, prediction, blocks)["accuracy"], 0.95)
        hits += low <= 0.7 <= high
    assert 180 <= hits <= 200
