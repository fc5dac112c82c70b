"""What every balancer invariants: exact resume, and no harm from absent tasks, overflows or a lack of company."""

import copy
import io
import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch

from mtl.config import BALANCING_TYPES, PlainBalancing
from mtl.training.balancing import BALANCERS, Balancer, gramian, pair

Make = Callable[..., Balancer]
Products = Callable[..., np.ndarray]
STEPS = [
    (("a", "b"), [[4.0, -1.0], [-1.0, 1.0]], {"a": 1.0, "b": 0.5}),
    (("b",), [[2.0]], {"b": 0.4}),
    (("b", "a"), [[1.0, 0.3], [0.3, 9.0]], {"a": 0.8, "b": 0.3}),
]


def go_through(balancer: Balancer, steps: list) -> list[dict[str, float]]:
    """The factors of each step."""
    result = []
    for tasks, products, losses in steps:
        torch.manual_seed(1)
        balancer.observe(tasks, np.array(products))
        result.append(balancer.factors())
        balancer.learn(losses)
    return [*result, balancer.factors()]


def test_every_name_of_the_settings_has_its_class() -> None:
    assert set(BALANCERS) == set(BALANCING_TYPES)
    assert set(get_args(PlainBalancing.model_fields["type"].annotation)) < set(BALANCING_TYPES)


@pytest.mark.parametrize("kind", BALANCING_TYPES)
def test_a_checkpoint_goes_on_to_the_last_bit(make: Make, kind: str) -> None:
    options = {"interval": 2} if kind == "dwa" else {"rate": 1.0} if kind == "gradient_norm" else {}
    whole, first, second = (make(kind, **options) for _ in range(3))
    steps = STEPS * 3
    expected = go_through(whole, steps)
    go_through(first, steps[:4])
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert go_through(second, steps[4:]) == expected[4:]
    assert (second.norms(), second.cosines()) == (whole.norms(), whole.cosines())


@pytest.mark.parametrize("kind", BALANCING_TYPES)
def test_an_absent_task_keeps_its_state(make: Make, kind: str) -> None:
    balancer = make(kind, {"a": 1.0, "b": 1.0, "c": 1.0}, **({"interval": 1} if kind == "dwa" else {}))
    go_through(balancer, [(("a", "b", "c"), np.diag([1.0, 4.0, 9.0]), {"a": 1.0, "b": 0.5, "c": 0.9})] * 3)
    before = copy.deepcopy(balancer.state_dict())
    go_through(balancer, [(("a", "b"), np.diag([2.0, 3.0]), {"a": 0.1, "b": 0.5})] * 3)
    after = balancer.state_dict()
    assert after["norms"]["c"] == before["norms"]["c"] == 3.0
    for key in ("losses", "variances", "learned", "means"):
        if key in before:
            assert after[key]["c"] == before[key]["c"]
            assert after[key]["a"] != before[key]["a"]


@pytest.mark.parametrize("kind", BALANCING_TYPES)
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_overflow_leaves_no_trace(make: Make, kind: str, value: float) -> None:
    balancer = make(kind)
    balancer.observe(("a", "b"), np.array([[4.0, 1.0], [1.0, 1.0]]))
    norms, cosines = balancer.norms(), balancer.cosines()
    balancer.learn({"a": 1.0, "b": 1.0})
    balancer.observe(("a", "b"), np.array([[value, math.nan], [math.nan, 1.0]]))
    assert (balancer.norms(), balancer.cosines()) == (norms, cosines)
    balancer.learn({"a": 1.0, "b": 1.0})
    assert all(math.isfinite(factor) for factor in balancer.factors().values())
    balancer.observe(("a", "b"), np.array([[4.0, 1.0], [1.0, 1.0]]))
    assert all(math.isfinite(factor) for factor in balancer.factors().values())


@pytest.mark.parametrize("kind", BALANCING_TYPES)
def test_a_lone_task_is_left_alone(make: Make, kind: str) -> None:
    balancer = make(kind, {"a": 1.0})
    assert not any(balancer.measures(step, ["a"]) for step in range(100))
    balancer.learn({"a": 0.1})
    assert balancer.factors() == {"a": 1.0}


@pytest.mark.parametrize("kind", BALANCING_TYPES)
def test_the_record_is_of_norms_and_cosines(make: Make, products: Products, kind: str) -> None:
    balancer = make(kind)
    balancer.observe(("b", "a"), np.array([[1.0, -1.0], [-1.0, 4.0]]))
    assert balancer.norms() == {"a": 2.0, "b": 1.0}
    assert balancer.cosines() == {"a|b": -0.5}
    balancer.observe(("a", "b"), products(4.0, 1.0))
    assert balancer.norms() == {"a": 3.0, "b": 1.0}
    assert balancer.cosines() == {"a|b": -0.25}


def test_how_often_gradients_are_measured(make: Make) -> None:
    assert [sum(make(kind).measures(step, ["a"]) for step in range(1, 101)) for kind in ("static", "uncertainty", "dwa")] == [2, 2, 2]
    assert all(make(kind).measures(7, ["a", "b"]) for kind in ("gradnorm", "pcgrad", "upgrad"))
    assert not make("gradnorm", interval=5).measures(7, ["a", "b"])


def test_static_is_the_weights(make: Make, products: Products) -> None:
    balancer = make("static", {"a": 1.0, "b": 3.0})
    balancer.observe(("a", "b"), products(9.0, 1.0))
    balancer.learn({"a": 5.0, "b": 1.0})
    assert balancer.factors() == {"a": 1.0, "b": 3.0}


def test_products_are_of_unscaled_gradients() -> None:
    torch.manual_seed(0)
    gradients = [[torch.randn(3, 4).T, torch.randn(5)] for _ in range(3)]
    flat = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in gradients]).double()
    scaled = [[part * 1024 for part in parts] for parts in gradients]
    np.testing.assert_allclose(gramian(scaled, 1024.0), flat @ flat.T, rtol=1e-5)


def test_a_pair_has_one_name() -> None:
    assert pair("b", "a") == pair("a", "b") == "a|b"
