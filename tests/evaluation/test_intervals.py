"""Intervals over few seeds: they hold as often as they say, whatever the variance over training seeds weighs beside that of the test
rows."""

import numpy as np
import pytest
from scipy import stats

from mtl.evaluation.bootstrap import Array, interval_about
from mtl.evaluation.intervals import over_seeds, shared_variance

ROWS, RESAMPLES, TIMES = 100, 150, 400
WEIGHTS = np.random.default_rng(5).multinomial(ROWS, np.full(ROWS, 1 / ROWS), size=RESAMPLES) / ROWS


def experiment(draw: np.random.Generator, seeds: int, rows: float, both: float, training: float) -> tuple[Array, Array]:
    """Values and draws of a difference whose true mean is 0, with these standard deviations of its parts."""
    common, own = draw.normal(0, rows * ROWS**0.5, ROWS), draw.normal(0, both * ROWS**0.5, (seeds, ROWS))
    by_row = common + own + draw.normal(0, training, (seeds, 1))
    return by_row.mean(1), by_row @ WEIGHTS.T


def test_one_seed_has_the_percentile_interval_of_the_rows() -> None:
    values, draws = experiment(np.random.default_rng(1), 1, 1, 0, 0)
    assert over_seeds(values, draws, 0.9) == interval_about(values[0], draws[0], 0.9)


def test_without_rows_to_resample_it_is_students_interval() -> None:
    values = np.array([0.1, 0.4, 0.2])
    expected = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert over_seeds(values, np.repeat(values[:, None], 9, axis=1), 0.95) == pytest.approx(expected)


def test_seeds_that_agree_have_the_interval_of_the_rows() -> None:
    _, draws = experiment(np.random.default_rng(2), 1, 1, 0, 0)
    same = np.repeat(draws, 3, axis=0)
    half = 1.96 * draws.std(ddof=1)
    low, high = interval_about(0, draws[0], 0.95)
    assert over_seeds(np.zeros(3), same, 0.95) == pytest.approx((min(low, -half), max(high, half)), rel=1e-3)
    assert shared_variance(draws * np.array([[1], [-1]])) == 0  # a covariance below 0 is no variance


def test_seeds_that_agree_by_chance_do_not_hide_the_variance_over_rows() -> None:
    _, draws = experiment(np.random.default_rng(3), 3, 0, 1, 0)
    values = np.full(3, 0.2)
    assert over_seeds(values, draws, 0.95) == interval_about(values.mean(), draws.mean(0), 0.95)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("parts", [(0, 1, 0), (1, 1, 1), (0, 1, 2), (1, 0.3, 0), (0.3, 0.3, 1)])
def test_chance_is_called_a_difference_no_more_often_than_stated(seeds: int, parts: tuple[float, float, float]) -> None:
    draw = np.random.default_rng([seeds, *(int(10 * part) for part in parts)])
    false = sum(low > 0 or high < 0 for low, high in (over_seeds(*experiment(draw, seeds, *parts), 0.95) for _ in range(TIMES)))
    assert false <= stats.binom.ppf(0.999, TIMES, 0.05)


def test_a_difference_that_exists_is_detected() -> None:
    draw = np.random.default_rng(9)
    result = [over_seeds(values + 3, draws + 3, 0.95) for values, draws in (experiment(draw, 5, 0.7, 0.5, 0.5) for _ in range(100))]
    assert sum(low > 0 for low, _ in result) > 90
