"""Cheap dropout is dropout, a cheap linear layer a linear layer."""

import math

import pytest
import torch
from torch import nn

from mtl.encoders.cheap import Dropout, Linear, make_cheap


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.997])
def test_values_are_dropped_at_their_rate_independently_and_the_mean_stays(rate: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        found = Dropout(rate)(torch.ones(1001, 803))
    dropped = (found == 0).double()
    count = found.numel()
    slack = 5 * math.sqrt(rate * (1 - rate) / count)
    assert abs(dropped.mean() - rate) < slack
    # Four values share a random number: none of the four places is favoured, and neighbours are independent.
    flat = dropped.flatten()[: count // 4 * 4].view(-1, 4)
    assert (flat.mean(0) - rate).abs().max() < 2 * slack
    for i in range(3):
        assert abs((flat[:, i] * flat[:, i + 1]).mean() - rate**2) < 2 * slack
    assert torch.unique(found[found > 0]).tolist() == pytest.approx([1 / (1 - rate)], rel=1e-2)
    assert abs(found.double().mean() - 1) < 5 * math.sqrt(rate / (1 - rate) / count)


def test_the_gradient_is_masked_alike_and_seeds_decide() -> None:
    values = torch.ones(7, 5, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = Dropout(0.3)(values)
        torch.manual_seed(1)
        again = Dropout(0.3)(values)
    found.sum().backward()
    assert torch.equal(found, again)
    assert torch.equal(values.grad, found.detach())  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)])
def test_nothing_is_dropped(rate: float, training: bool) -> None:
    values = torch.rand(5)
    assert torch.equal(Dropout(rate).train(training)(values), values)


def test_all_of_a_model_s_are_replaced() -> None:
    model = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)))
    make_cheap(model)
    assert [type(module) for module in model.modules()] == [nn.Sequential, Dropout, nn.Sequential, Linear, Dropout]
    assert [module.p for module in model.modules() if isinstance(module, Dropout)] == [0.2, 0.3]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 5), (1, 7, 5), (5,), (0, 5)])
def test_a_linear_layer_is_the_same(shape: tuple[int, ...], bias: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer, states = nn.Linear(5, 3, bias=bias), torch.randn(shape, requires_grad=True)
        direction = torch.randn(*shape[:-1], 3)
    found = []
    for _ in range(2):
        result = layer(states)
        found.append([result, *torch.autograd.grad(result, [states, *layer.parameters()], direction)])
        make_cheap(layer)
    assert type(layer) is Linear
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_linear_layer_is_of_autocast_s_kind() -> None:
    layer = nn.Linear(5, 3)
    make_cheap(layer)
    with torch.autocast("cpu", torch.bfloat16):
        result = layer(torch.ones(2, 5))
    assert result.dtype == torch.bfloat16
    result.float().sum().backward()
    assert layer.bias.grad.tolist() == [2, 2, 2]  # type: ignore[union-attr]
