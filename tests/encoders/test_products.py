"""Products in bfloat16 are those of rounded numbers; fast products in float32 are float32."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl.encoders import products
from mtl.encoders.cheap import Linear, make_cheap
from mtl.encoders.products import ROWS, bf16_products, capabilities, fast_float32, linear, plain_products

SHAPES = [(ROWS, 24), (3, 31, 24), (1, 100, 24)]


def layer_of(bias: bool) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = nn.Linear(24, 40, bias=bias)
    make_cheap(layer)
    return layer


def states_of(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2)).requires_grad_()


def rounded(values: Tensor) -> Tensor:
    return values.detach().bfloat16().double()


def close(found: Tensor, expected: Tensor) -> bool:
    """Within two roundings of the largest number to bfloat16, which keeps 8 bits; numbers themselves are not rounded twice."""
    return found.dtype == torch.float32 and bool((found.double() - expected).abs().max() <= expected.abs().max() * 2**-8)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_multiplies_rounded_numbers_and_gives_float32(shape: tuple[int, ...], bias: bool) -> None:
    layer, states = layer_of(bias), states_of(shape)
    assert type(layer) is Linear
    with bf16_products():
        found = layer(states)
    gradient = states_of(found.shape).detach()
    found.backward(gradient)
    weight, rows, upper = rounded(layer.weight), rounded(states).view(-1, 24), rounded(gradient).view(-1, 40)
    assert close(found, (rows @ weight.t()).view(found.shape) + (layer.bias.double() if bias else 0))
    assert states.grad is not None
    assert layer.weight.grad is not None
    assert close(states.grad, (upper @ weight).view(shape))
    assert close(layer.weight.grad, upper.t() @ rows)
    if bias:
        assert torch.allclose(layer.bias.grad, gradient.view(-1, 40).sum(0), atol=1e-5)  # type: ignore[arg-type]
    assert not torch.equal(found, layer(states))


def test_what_is_frozen_has_no_gradient() -> None:
    layer, states = layer_of(True).requires_grad_(False), states_of((64, 24))
    with bf16_products():
        layer(states).sum().backward()
        assert states.grad is not None
        assert layer.weight.grad is None
        assert not layer(states.detach()).requires_grad
    layer = layer_of(True)
    layer.weight.requires_grad_(False)
    with bf16_products():
        layer(states.detach()).sum().backward()
    assert layer.bias.grad is not None


@pytest.mark.parametrize("rows", [0, 1, ROWS - 1])
def test_few_rows_and_products_elsewhere_are_float32(rows: int) -> None:
    layer, states = layer_of(True), torch.randn(rows, 24)
    plain = layer(states)
    with bf16_products():
        assert torch.equal(layer(states), plain)
        with plain_products():
            many = torch.randn(ROWS, 24)
            assert torch.equal(linear(many, layer.weight), nn.functional.linear(many, layer.weight))
    assert products.FORMAT.get() == ""


def test_a_result_does_not_depend_on_the_rows_that_fill_it_up() -> None:
    layer, states = layer_of(True), torch.randn(ROWS + 5, 24)
    with bf16_products():
        assert torch.equal(layer(states)[:ROWS], layer(states[:ROWS]))


@pytest.mark.parametrize("instructions", ["SSE41", "AVX2", "AVX512_CORE", "AVX512_CORE_BF16"])
def test_a_cpu_without_instructions_for_it_computes_the_same(instructions: str) -> None:
    """oneDNN is told to use no more than these."""
    code = "import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', sys.argv[1], '-k', 'rounded_numbers']))"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__))], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_fast_products_in_float32_are_float32(shape: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On any CPU: with the library of this one, or the one that torch takes for numbers that may be rounded."""
    monkeypatch.setattr(products, "_exact_in_onednn", lambda: True)
    layer, states = layer_of(bias), states_of(shape)
    results = []
    for context in (fast_float32, plain_products):
        with context():
            found = layer(states)
        parameters = [states, *layer.parameters()]
        results.append([found, *torch.autograd.grad(found, parameters, states_of(found.shape).detach())])
    rounding = 2**-8 if capabilities().get("amx_tile") else 1e-6
    for one, other in zip(*results, strict=True):
        assert (one - other).abs().max() <= rounding * other.abs().max()


@pytest.mark.parametrize("context", [fast_float32, bf16_products])
def test_autocast_goes_first(context: Any) -> None:
    layer, states = layer_of(True), states_of((64, 24))
    with context(), torch.autocast("cpu", dtype=torch.float16):
        found = layer(states)
    assert found.dtype == torch.float16
    found.float().sum().backward()
    assert layer.weight.grad is not None


def test_oneDNN_is_asked_for_only_within_a_product() -> None:  # noqa: N802
    before = torch.get_float32_matmul_precision()
    with pytest.raises(KeyError), products.onednn():  # noqa: PT012
        assert torch.get_float32_matmul_precision() == "medium"
        raise KeyError
    with fast_float32():
        about = capabilities()
        if str(about.get("cpu_name", "")).startswith("AMD") and about.get("avx512_f"):
            assert products.FORMAT.get() == "onednn"
        assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("about", [{"cpu_name": "Intel", "avx512_f": True}, {"cpu_name": "AMD", "avx512_f": True, "amx_tile": True}, {}])
def test_other_cpus_keep_the_library_that_torch_takes(about: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "capabilities", lambda: about)
    products._exact_in_onednn.cache_clear()
    try:
        with fast_float32():
            assert products.FORMAT.get() == ""
    finally:
        products._exact_in_onednn.cache_clear()
