"""GradNorm finds the weights of its closed form."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mtl.training.balancing import Balancer

Make = Callable[..., Balancer]
Products = Callable[..., np.ndarray]


def settle(balancer: Balancer, products: np.ndarray, losses: dict[str, float], steps: int = 600) -> dict[str, float]:
    """The mean factors of the last tenth of the steps: near its goal a sign goes back and forth."""
    result = []
    for _ in range(steps):
        balancer.observe(("a", "b"), products)
        balancer.learn(losses)
        result.append(balancer.factors())
    return {task: float(np.mean([factors[task] for factors in result[-steps // 10 :]])) for task in "ab"}


@pytest.mark.parametrize(
    ("alpha", "ratio"),
    [(0.0, 1.0), (1.0, 2.0), (1.5, 2**1.5)],
)
def test_gradient_shares_are_the_lag_to_the_power_of_alpha(make: Make, products: Products, alpha: float, ratio: float) -> None:
    result = settle(make("gradnorm", alpha=alpha, learning_rate=0.005), products(1.0, 2.0), {"a": 0.8, "b": 0.4})
    assert result["a"] + result["b"] == pytest.approx(2.0)
    # The means of the norms is fixed in each update, and the sum of the targets with them only for alpha 0 and 1.
    if alpha <= 1:
        assert result["a"] / (2 * result["b"]) == pytest.approx(ratio, rel=0.05)
    else:
        assert result["a"] / (2 * result["b"]) > 2


def test_one_update_is_that_of_the_papers_loss(make: Make, products: Products) -> None:
    balancer = make("gradnorm", {"a": 1.0, "b": 1.0, "c": 1.0}, alpha=1.5, learning_rate=0.025)
    norms, losses = torch.tensor([1.0, 2.0, 4.0]).double(), torch.tensor([0.9, 0.5, 0.1]).double()
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.025)
    for _ in range(20):
        balancer.observe(("a", "b", "c"), products(*norms.tolist()))
        balancer.learn(dict(zip("abc", losses.tolist(), strict=True)))
        adam.zero_grad()
        shares = w * norms
        target = (shares.mean() * (losses / losses.mean()) ** 1.5).detach()
        (shares - target).abs().sum().backward()
        adam.step()
        w.data *= 3 / w.data.sum()
        assert list(balancer.factors().values()) == pytest.approx(w.tolist(), rel=1e-6)


def test_only_measured_tasks_move_and_the_sum_stays(make: Make, products: Products) -> None:
    balancer = make("gradnorm", {"a": 1.0, "b": 1.0, "c": 1.0})
    balancer.observe(("a", "c"), products(1.0, 9.0))
    balancer.learn({"a": 1.0, "c": 1.0})
    result = balancer.factors()
    assert result["b"] == 1.0
    assert result["a"] > 1.0 > result["c"]
    assert sum(result.values()) == pytest.approx(3.0)
    balancer.learn({"a": 1.0, "c": 1.0})  # a step without a measurement
    assert balancer.factors() == result


def test_a_task_with_a_gradient_of_nothing_stands_aside(make: Make, products: Products) -> None:
    balancer, without = (make("gradnorm", {"a": 1.0, "b": 1.0, "c": 1.0}) for _ in range(2))
    balancer.observe(("a", "b", "c"), products(1.0, 0.0, 9.0))
    without.observe(("a", "c"), products(1.0, 9.0))
    for each in (balancer, without):
        each.learn({"a": 1.0, "c": 1.0})
    assert balancer.factors() == without.factors() != {"a": 1.0, "b": 1.0, "c": 1.0}
    before = balancer.factors()
    balancer.observe(("a", "b", "c"), products(1.0, np.inf, 9.0))
    balancer.learn({"a": 1.0, "c": 1.0})
    assert balancer.factors() == before
