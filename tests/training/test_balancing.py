"""Factors on the tasks' losses."""

import pytest

from mtl.training.balancing import BALANCERS, GradientNorm, Static


def test_balanced_gradients_have_norms_in_proportion_to_the_weights() -> None:
    balancer = GradientNorm({"a": 1.0, "b": 1.0, "c": 2.0})
    norms = {"a": 0.1, "b": 3.0, "c": 0.5}
    balancer.observe(norms)
    factors = balancer.factors()
    pulls = {task: factors[task] * norm for task, norm in norms.items()}
    assert pulls == pytest.approx({"a": 1.2, "b": 1.2, "c": 2.4})


def test_an_absent_task_keeps_its_norm() -> None:
    balancer = GradientNorm({"a": 1.0, "b": 1.0})
    balancer.observe({"a": 1.0, "b": 4.0})
    balancer.observe({"a": 2.0})
    assert balancer.norms() == pytest.approx({"a": 1.0 + (1 - GradientNorm.MOMENTUM), "b": 4.0})


def test_a_norm_of_nothing_is_passed_over() -> None:
    balancer = GradientNorm({"a": 1.0, "b": 1.0})
    balancer.observe({"a": 0.0, "b": 4.0})
    assert balancer.factors() == {"a": 1.0, "b": 1.0}


def test_when_gradients_are_measured() -> None:
    balancer = GradientNorm({"a": 1.0, "b": 1.0})
    assert balancer.measures(3, ["a"])
    balancer.observe({"a": 1.0})
    assert not balancer.measures(3, ["a"])
    assert balancer.measures(3, ["a", "b"])
    assert balancer.measures(2 * GradientNorm.INTERVAL, ["a"])
    assert not GradientNorm({"a": 1.0}).measures(0, ["a"])


def test_state_goes_on() -> None:
    first, second = GradientNorm({"a": 1.0, "b": 1.0}), GradientNorm({"a": 1.0, "b": 1.0})
    first.observe({"a": 0.25, "b": 4.0})
    second.load_state_dict(first.state_dict())
    assert second.factors() == first.factors()


def test_static_is_the_weights() -> None:
    balancer = Static({"a": 1.0, "b": 3.0})
    balancer.observe({"a": 9.0, "b": 1.0})
    assert balancer.factors() == {"a": 1.0, "b": 3.0}
    assert not balancer.measures(0, ["a", "b"])
    assert BALANCERS["static"] is Static
