"""Weights from losses are TorchJD's, and the closed forms."""

import math
from collections.abc import Callable

import pytest
import torch
from torchjd.scalarization import DWA, UW

from mtl.training.balancing import Balancer
from mtl.training.balancing.losses import Uncertainty

Make = Callable[..., Balancer]
LOSSES = [(1.0, 0.2), (0.9, 0.25), (0.7, 0.2), (0.75, 0.15), (0.5, 0.16), (0.3, 0.12)]


def test_uncertainty_learns_the_weights_of_torchjd(make: Make) -> None:
    balancer, oracle = make("uncertainty", learning_rate=0.05), UW(2)
    adam = torch.optim.Adam(oracle.parameters(), lr=0.05)
    for _ in range(10):
        for a, b in LOSSES:
            assert list(balancer.factors().values()) == pytest.approx((-oracle.log_var).exp().tolist(), rel=1e-4)
            balancer.learn({"a": a, "b": b})
            adam.zero_grad()
            oracle(torch.tensor([a, b])).backward()
            adam.step()


def test_uncertainty_settles_where_weight_times_loss_is_1(make: Make) -> None:
    balancer = make("uncertainty", {"a": 1.0, "b": 3.0}, learning_rate=0.05)
    for _ in range(400):
        balancer.learn({"a": 0.5, "b": 2.0})
    assert balancer.factors() == pytest.approx({"a": 2.0, "b": 1.5}, rel=1e-2)


def test_an_absent_task_does_not_move(make: Make) -> None:
    balancer = make("uncertainty")
    balancer.learn({"a": 0.5, "b": 0.5})
    before = balancer.factors()
    balancer.learn({"a": 0.5})
    assert balancer.factors()["b"] == before["b"]
    assert balancer.factors()["a"] != before["a"]


def test_dynamic_weights_are_those_of_torchjd(make: Make) -> None:
    balancer, oracle = make("dwa", interval=2, temperature=1.5), DWA(temperature=1.5)
    for i, (a, b) in enumerate(LOSSES, start=1):
        balancer.learn({"a": a, "b": b})
        oracle(torch.tensor([a, b]))
        if i % 2 == 0:
            oracle.step()
            values = torch.eye(2)
            expected = [float(oracle._compute_weights(row) @ row) for row in values]
            assert list(balancer.factors().values()) == pytest.approx(expected, rel=1e-5)
    assert balancer.factors() != {"a": 1.0, "b": 1.0}


def test_a_loss_that_jumps_leaves_the_others_a_little(make: Make) -> None:
    balancer = make("dwa", interval=1, temperature=0.01)
    balancer.learn({"a": 1e-3, "b": 1.0})
    balancer.learn({"a": 1.0, "b": 0.0})
    assert balancer.factors() == pytest.approx({"a": 2 / 1.001, "b": 0.002 / 1.001})
    balancer.learn({"a": 1.0, "b": 1.0})  # from a loss of 0 there is no rate
    assert balancer.factors() == pytest.approx({"a": 1.0, "b": 1.0})


def test_dynamic_weights_skip_steps_without_the_task(make: Make) -> None:
    balancer = make("dwa", {"a": 1.0, "b": 2.0}, interval=2)
    for losses in ({"a": 1.0, "b": 1.0}, {"a": 3.0}, {"a": 1.0}, {"a": 1.0}, {"a": 0.5, "b": 0.5}, {"b": 0.5}):
        balancer.learn(losses)
    # a: means 2, 1, 0.5; b: 1, none, 0.5.
    assert balancer.factors() == pytest.approx({"a": 1.0, "b": 2.0})
    balancer.learn({"a": 1.0})
    balancer.learn({"a": 1.0})
    powers = math.exp(2 / 2), math.exp(0.5 / 2)
    assert balancer.factors() == pytest.approx({"a": 2 * powers[0] / sum(powers), "b": 4 * powers[1] / sum(powers)})


def test_a_loss_of_nothing_does_not_raise_its_weight_for_ever(make: Make) -> None:
    balancer = make("uncertainty", learning_rate=1.0)
    for _ in range(50):
        balancer.learn({"a": 0.0, "b": 1.0})
    assert balancer.factors() == pytest.approx({"a": Uncertainty.MOST, "b": 1.0})
