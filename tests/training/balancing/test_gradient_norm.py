"""Equal norms: for tasks, for datasets, and more for those that lag."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from mtl.training.balancing import Balancer
from mtl.training.balancing.gradient_norm import GradientNorm

Make = Callable[..., Balancer]
Products = Callable[..., np.ndarray]
ABC = {"a": 1.0, "b": 1.0, "c": 2.0}
GROUPS = {"a": "tweets", "b": "tweets", "c": "news"}


def balanced_norms(balancer: Balancer, norms: Mapping[str, float]) -> dict[str, float]:
    """Norms of the gradients after balancing."""
    factors = balancer.factors()
    return {task: factors[task] * norm for task, norm in norms.items()}


def test_balanced_gradients_have_norms_in_proportion_to_the_weights(make: Make, products: Products) -> None:
    balancer = make("gradient_norm", ABC)
    balancer.observe(("a", "b", "c"), products(0.1, 3.0, 0.5))
    balancer.learn({"a": 0.1, "b": 1.0, "c": 9.0})
    assert balanced_norms(balancer, {"a": 0.1, "b": 3.0, "c": 0.5}) == pytest.approx({"a": 1.2, "b": 1.2, "c": 2.4})


def test_an_absent_task_keeps_its_norm(make: Make, products: Products) -> None:
    balancer = make("gradient_norm")
    balancer.observe(("a", "b"), products(1.0, 4.0))
    balancer.observe(("a",), products(2.0))
    assert balancer.norms() == pytest.approx({"a": 1.0 + (1 - GradientNorm.MOMENTUM), "b": 4.0})


def test_a_norm_of_0_is_skipped(make: Make, products: Products) -> None:
    balancer = make("gradient_norm")
    balancer.observe(("a", "b"), products(0.0, 4.0))
    assert balancer.factors() == {"a": 1.0, "b": 1.0}


def test_when_gradients_are_measured(make: Make, products: Products) -> None:
    balancer = make("gradient_norm")
    assert balancer.measures(3, ["a"])
    balancer.observe(("a",), products(1.0))
    assert not balancer.measures(3, ["a"])
    assert balancer.measures(3, ["a", "b"])
    assert balancer.measures(40, ["a"])
    assert make("gradient_norm", interval=7).measures(7, [])


@pytest.mark.parametrize(
    ("cosine", "own"),
    [
        (1.0, 1 / 2),  # one direction: the two share one gradient share
        (0.0, 1 / math.sqrt(2)),  # right angles: their sum has norm 1
        (0.5, 1 / math.sqrt(3)),
        (-0.9, 1 / math.sqrt(2)),  # conflict is not scaled up
    ],
)
def test_tasks_of_one_dataset_have_one_gradient_share(make: Make, cosine: float, own: float) -> None:
    balancer = make("gradient_norm", ABC, GROUPS, by="dataset")
    a, b, c = 0.1, 3.0, 0.5
    balancer.observe(("a", "b", "c"), np.array([[a * a, cosine * a * b, 0], [cosine * a * b, b * b, 0], [0, 0, c * c]]))
    result = balanced_norms(balancer, {"a": a, "b": b, "c": c})
    assert result == pytest.approx({"a": 1.2 * own, "b": 1.2 * own, "c": 2.4})
    if cosine >= 0:
        together = math.sqrt(result["a"] ** 2 + result["b"] ** 2 + 2 * cosine * result["a"] * result["b"])
        assert together == pytest.approx(1.2)


def test_weights_hold_within_a_dataset_and_between_them(make: Make, products: Products) -> None:
    balancer = make("gradient_norm", {"a": 3.0, "b": 1.0, "c": 1.0}, GROUPS, by="dataset")
    balancer.observe(("a", "b", "c"), products(1.0, 1.0, 1.0))
    result = balancer.factors()
    assert result["a"] == pytest.approx(3 * result["b"])
    assert math.hypot(result["a"], result["b"]) == pytest.approx(2 * result["c"])  # the mean of 3 and 1


def test_an_absent_task_of_the_dataset_takes_no_share(make: Make, products: Products) -> None:
    balancer = make("gradient_norm", ABC, GROUPS, by="dataset")
    balancer.observe(("a", "c"), products(1.0, 3.0))
    assert balancer.factors() == pytest.approx({"a": 2.0, "b": 1.0, "c": 4 / 3})


def test_without_groups_tasks_of_one_dataset_have_a_gradient_share_each(make: Make) -> None:
    balancer = make("gradient_norm", ABC, GROUPS)
    balancer.observe(("a", "b"), np.ones((2, 2)))
    assert balancer.factors() == {"a": 1.0, "b": 1.0, "c": 2.0}


@pytest.mark.parametrize("rate", [0.0, 0.5, 2.0])
def test_balanced_norms_are_the_lag_to_the_power_of_the_rate(make: Make, products: Products, rate: float) -> None:
    balancer = make("gradient_norm", {"a": 1.0, "b": 1.0, "c": 2.0}, rate=rate)
    balancer.observe(("a", "b", "c"), products(1.0, 2.0, 3.0))
    balancer.learn({"a": 0.9, "b": 0.3})
    result = balanced_norms(balancer, {"a": 1.0, "b": 2.0, "c": 3.0})
    # c, whose loss is unknown, neither lags nor leads.
    assert result == pytest.approx({"a": 2 * 1.5**rate, "b": 2 * 0.5**rate, "c": 4.0})
    balancer.learn({"a": 0.4})
    mean = GradientNorm.LOSS_MOMENTUM * 0.9 + (1 - GradientNorm.LOSS_MOMENTUM) * 0.4
    assert balanced_norms(balancer, {"b": 2.0})["b"] == pytest.approx(2 * (0.3 / ((mean + 0.3) / 2)) ** rate)


def test_a_task_without_loss_is_not_silenced(make: Make, products: Products) -> None:
    balancer = make("gradient_norm", rate=1.0)
    balancer.observe(("a", "b"), products(1.0, 1.0))
    balancer.learn({"a": 0.0, "b": 1.0})
    assert balancer.factors() == pytest.approx({"a": GradientNorm.LEAST_LAG, "b": 2.0})


def test_a_gradient_of_0_counts_as_measured(make: Make, products: Products) -> None:
    balancer = make("gradient_norm")
    balancer.observe(("a", "b"), products(0.0, 4.0))
    assert not balancer.measures(3, ["a", "b"])
    resumed = make("gradient_norm")
    resumed.load_state_dict(balancer.state_dict())
    assert not resumed.measures(3, ["a", "b"])
    overflown = make("gradient_norm")
    overflown.observe(("a", "b"), products(math.inf, 4.0))
    assert overflown.measures(3, ["a", "b"])


def test_a_dataset_keeps_its_gradient_share_where_one_of_its_tasks_is_absent(make: Make, products: Products) -> None:
    balancer = make("gradient_norm", ABC, GROUPS, by="dataset")
    balancer.observe(("a", "b", "c"), products(1.0, 1.0, 1.0))
    assert balancer.factors(["a", "b", "c"])["a"] == pytest.approx(1 / math.sqrt(2))
    assert balancer.factors(["a", "c"])["a"] == pytest.approx(1.0)
