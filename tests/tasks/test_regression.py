"""Numbers: correlations agree with scipy and are never NaN, losses are standardised and masked."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mtl.data.labels.number import LARGEST
from mtl.evaluation.bootstrap import draws, interval, resample
from mtl.tasks.regression import Regression, moments, pearson_of, round_numbers

values = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=3, max_size=30)


def texts(numbers: np.ndarray) -> list[str]:
    return [repr(float(x)) for x in numbers]


@given(values, st.sampled_from([0.0, 1e4]))
def test_correlations_agree_with_scipy(rows: list[tuple[int, int]], shift: float) -> None:
    x, y = np.array(rows).T / 10 + shift
    found = Regression.metrics(texts(x), texts(y))
    assert found["mse"] == pytest.approx(float(np.mean((x - y) ** 2)))
    assert found["rmse"] == pytest.approx(math.sqrt(found["mse"]))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert (found["pearson"], found["spearman"]) == (0.0, 0.0)
    else:
        assert found["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-8)
        assert found["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-8)


@given(values, st.integers(0, 1000))
def test_counts_give_the_metric_of_any_resample(rows: list[tuple[int, int]], seed: int) -> None:
    x, y = np.array(rows).T / 10 + 100
    drawn = np.random.default_rng(seed).integers(0, len(x), size=(3, len(x)))
    weights = np.stack([np.bincount(sample, minlength=len(x)) for sample in drawn])
    found = np.nan_to_num(pearson_of(weights @ moments(texts(x), texts(y))))
    assert found == pytest.approx([Regression.metrics(texts(x[s]), texts(y[s]))["pearson"] for s in drawn], abs=1e-9)


@pytest.mark.parametrize("rows", [[], ["1.0"], ["2.5", "2.5", "2.5"]])
def test_what_has_no_correlation_scores_zero(rows: list[str]) -> None:
    assert Regression.metrics(rows, rows) == {"pearson": 0.0, "spearman": 0.0, "mse": 0.0, "rmse": 0.0}
    assert math.isnan(pearson_of(moments(rows, rows).sum(0)))


def test_predicting_the_mean_costs_one() -> None:
    labels = [3.0, -1.0, 2.5, None, 0.0, None]
    task = Regression(json.loads(json.dumps(Regression.fit(labels))))
    assert task.loss(torch.zeros(6, 1), task.targets(labels)).item() == pytest.approx(1.0, abs=1e-6)


def test_masked_rows_neither_count_nor_poison_the_gradient() -> None:
    task = Regression(Regression.fit([1.0, 3.0]))
    logits = torch.ones(3, 1, requires_grad=True)
    total, count = task.loss_sum(logits, task.targets([1.0, None, 3.0]))
    total.backward()
    assert (total.item(), count.item()) == (pytest.approx(4.0), 2)
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([4.0, 0.0, 0.0])


def test_decoding_undoes_the_standardisation() -> None:
    task = Regression(Regression.fit([1.0, 2.0, 6.0]))
    labels = [1.0, 2.0, 6.0, -3.5]
    predictions = task.decode(task.targets(labels)[:, None])
    assert [a.value for a in predictions] == pytest.approx(labels, abs=1e-6)
    assert all(a.confidence == 1.0 and math.isfinite(float(a.text)) for a in predictions)


@pytest.mark.parametrize("labels", [[], [None], [4.0, 4.0], [1e-200, 2e-200]])
def test_labels_without_spread_keep_a_usable_scale(labels: list[float | None]) -> None:
    task = Regression(Regression.fit(labels))
    assert task.std == 1.0
    assert math.isfinite(task.loss(torch.zeros(1, 1), task.targets([4.0])).item())


def test_the_largest_numbers_that_are_labels_give_finite_figures() -> None:
    labels = [LARGEST, -LARGEST, LARGEST, 0.0]
    task = Regression(Regression.fit(labels))
    assert task.targets(labels).isfinite().all()
    gold, flat = [repr(label) for label in labels], ["0.0"] * 4
    assert all(math.isfinite(value) for given in (gold, flat) for value in Regression.metrics(gold, given).values())
    assert pearson_of(1e9 * moments(gold, gold).sum(0)) == pytest.approx(1.0)


def test_tiny_numbers_have_intervals_like_others() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    y, keys = x + rng.normal(size=60), [str(i) for i in range(60)]
    drawn = [draws("regression", texts(unit * x), texts(unit * y), resample(keys, 200))[1] for unit in (1.0, 1e-310)]
    for name in ("pearson", "spearman"):
        assert interval(drawn[1][name], 0.95) == pytest.approx(interval(drawn[0][name], 0.95), abs=1e-4)
    assert interval(drawn[1]["pearson"], 0.95) != (0, 0)
    rooted = [draws("regression", texts(unit * x), texts(unit * y), resample(keys, 200), "rmse")[1]["rmse"] for unit in (1.0, 1e-300)]
    assert 1e300 * rooted[1] == pytest.approx(rooted[0])


def test_the_card_tells_constant_and_tiny_labels() -> None:
    assert Regression(Regression.fit([4.0, 4.0])).describe() == "a number; in training always 4.00"
    assert Regression(Regression.fit([1e-5, 3e-5])).describe() == "a number; in training 2e-05 on average, standard deviation 1e-05"
    assert Regression(Regression.fit([1.0, 3.0])).describe() == "a number; in training 2.00 on average, standard deviation 1.00"


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_round_numbers_are_few_and_inside(low: float, width: float) -> None:
    marks = round_numbers(low, low + width)
    assert 1 <= len(marks) <= 6
    assert all(low - 1e-6 * width - 1e-9 <= mark <= low + width * (1 + 1e-6) + 1e-9 for mark in marks)
