"""Private names of torch and transformers: each is used only where a check finds that it still does what it did.

A check runs on a few numbers, at first use, once in a process. Where it fails, or the environment variable ``MTL_PUBLIC`` names the probe
(several: divided by commas; ``all``), the public path is taken, which computes the same in more time.
"""

import os
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtl.encoders.products import plain_products

VARIABLE = "MTL_PUBLIC"


class Probe(NamedTuple):
    """One use of private names."""

    names: tuple[str, ...]
    purpose: str
    public: str
    """The path that is taken instead."""
    check: Callable[..., bool]


_TRYING: ContextVar[frozenset[str]] = ContextVar("trying", default=frozenset())
"""The probes whose check is running. Within it their private names are used."""


def available(name: str, *about: str | type) -> bool:
    """Whether the private names of a probe may be used.

    Args:
        name: a key of ``PROBES``.
        about: arguments of its check, such as the type of a model.
    """
    if not {name, "all"}.isdisjoint(os.environ.get(VARIABLE, "").split(",")):
        return False
    return name in _TRYING.get() or _passes(name, *about)


@cache
def _passes(name: str, *about: str | type) -> bool:
    """Run a check with gradients and in full precision, whatever the caller's mode, and leave its random generator as it was."""
    check, token = PROBES[name].check, _TRYING.set(_TRYING.get() | {name})
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            plain_products(),
            torch.random.fork_rng(devices=[]),
        ):
            torch.manual_seed(0)
            return check(*about)
    except Exception:  # whatever a missing or changed name raises
        return False
    finally:
        _TRYING.reset(token)


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def _attention() -> bool:
    """Attention and its gradient are those of ``scaled_dot_product_attention``."""
    from mtl.encoders.packing import FlashAttention, attend

    runs, states = ((3, 1), (2, 2)), [torch.randn(7, 2, 4, requires_grad=True) for _ in range(3)]
    query, key, value = states
    results = [FlashAttention.apply(*states, runs, 0.3), attend(query, key, value, runs, 0.3, 0.0)]  # type: ignore[no-untyped-call]
    direction = torch.randn(7, 2, 4)
    # Of a number: for the gradient of anything larger, torch imports sympy, which takes a third of a second.
    gradients = [torch.autograd.grad((result * direction).sum(), states) for result in results]
    return _close(*results) and all(map(_close, *gradients))


def _fused_linear() -> bool:
    """Products are those of ``nn.Linear``. Only x86 with AVX2 or more is tried: no other CPU was measured."""
    from mtl.encoders.fused import FusedLinear

    built: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not built or not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False
    linear, states, other = nn.Linear(16, 24), torch.randn(5, 16), torch.randn(5, 24)
    with torch.no_grad():
        plain = linear(states)
        fused = FusedLinear(linear)
        same = _close(fused(states), plain) and _close(fused.plus(states, other), plain + other)
        return same and _close(FusedLinear(linear, "gelu")(states), nn.functional.gelu(plain))


def _int8_linear() -> bool:
    """Products are those of the rounded numbers, on a CPU whose instructions add up products of 8-bit numbers without overflow."""
    from mtl.encoders.fused import Int8Linear
    from mtl.encoders.products import has_int8_units

    if not has_int8_units() or not _fused_linear():
        return False
    linear, states, other = nn.Linear(64, 24), torch.randn(5, 64), torch.randn(5, 24)
    with torch.no_grad():
        layer = Int8Linear(linear)
        inputs, scales = layer.rounded(states), layer.scales[:, None]
        restored = (inputs.values.float() - inputs.zero) * inputs.scale
        plain = nn.functional.linear(restored, (linear.weight / scales).round() * scales, linear.bias)
        same = _close(layer(states), plain) and _close(layer.plus(states, other), plain + other)
        return same and _close(Int8Linear(linear, "gelu")(states), nn.functional.gelu(plain))


def _fused_adam(kind: type[Any]) -> bool:
    """The step divides the gradients of each group by its divisor."""
    weights, gradients, divisors = torch.randn(2, 8), torch.randn(2, 8), {"": torch.tensor(3.0), "task": torch.tensor(0.5)}
    results = []
    for divided in (False, True):
        groups = [{"params": [nn.Parameter(row.clone())], "part": part} for row, part in zip(weights, divisors, strict=True)]
        optimizer = kind(groups, lr=0.1, fused=True, eps=1e-3)
        optimizer.divisors = {} if divided else divisors
        for _ in range(2):
            for group, gradient in zip(optimizer.param_groups, gradients, strict=True):
                group["params"][0].grad = gradient / divisors[group["part"]] if divided else gradient.clone()
            optimizer.step()
        results.append(torch.stack([group["params"][0].detach() for group in optimizer.param_groups]))
    return _close(*results) and not _close(results[0], weights)


def _tiny(kind: str) -> tuple[Any, tuple[Tensor, Tensor, Tensor]]:
    """An encoder of that model type, and rows of one, three and four subwords."""
    from transformers import AutoConfig, AutoModel

    from mtl.encoders.transformer import TransformerEncoder

    config = AutoConfig.for_model(
        kind, vocab_size=8, hidden_size=8, embedding_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8, pad_token_id=1,
    )  # fmt: skip
    auto: Any = AutoModel  # transformers leaves this method untyped
    mask = torch.arange(4) < torch.tensor([[3], [1], [4]])
    return TransformerEncoder(auto.from_config(config), word_shape=False).eval(), (torch.randint(8, (3, 4)), mask, torch.zeros(3, 4).long())


def _packing(kind: str) -> bool:
    """Rows end to end have the hidden states of padded rows."""
    encoder, (subwords, mask, word_shape_ids) = _tiny(kind)
    with torch.no_grad():
        padded = encoder.padded(subwords, mask, word_shape_ids, None)
        return _close(encoder(subwords, mask, word_shape_ids)[mask], padded[mask])


def _last_layer(kind: str) -> bool:
    """Selected positions have the hidden states that they have among all: one of a row, and several."""
    encoder, (subwords, mask, word_shape_ids) = _tiny(kind)
    selected = mask & torch.tensor([[False, True, False, False], [True] * 4, [True, False, True, True]])
    states = {}
    for name, positions in (("all", None), ("selected", selected)):
        hidden = encoder(subwords, mask, word_shape_ids, positions)[selected]
        states[name] = [hidden, *torch.autograd.grad(hidden.square().sum(), encoder.embedding.weight)]
    return all(map(_close, *states.values()))


PROBES: dict[str, Probe] = {
    "attention": Probe(
        (
            "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu",
            "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward",
        ),
        "attention of packed rows as one step of autograd (encoders/packing.py)",
        "torch.nn.functional.scaled_dot_product_attention, once for each run of rows of equal length",
        _attention,
    ),
    "fused_linear": Probe(
        ("torch.ops.mkldnn._reorder_linear_weight", "torch.ops.mkldnn._linear_pointwise", "torch.ops.mkldnn._linear_pointwise.binary"),
        "layers for prediction with weights laid out for oneDNN (encoders/fused.py)",
        "the model's own layers, of nn.Linear",
        _fused_linear,
    ),
    "int8_linear": Probe(
        ("torch.ops.onednn.qlinear_prepack", "torch.ops.onednn.qlinear_pointwise"),
        "layers for prediction with 8-bit weights (encoders/fused.py)",
        "none: prediction in int8 is refused",
        _int8_linear,
    ),
    "fused_adam": Probe(
        ("torch.optim.Adam._init_group", "torch.optim.Adam.grad_scale"),
        "the fused step divides gradients as it reads them (training/optimizers.py)",
        "a pass that divides the gradients, then the step",
        _fused_adam,
    ),
    "packing": Probe(
        ("keyword arguments of a model's forward that reach its attention",),
        "rows end to end through a model without padding (encoders/transformer.py)",
        "padded rows with an attention mask",
        _packing,
    ),
    "last_layer": Probe(
        ("attention.self and attention.output of a layer: query, key, value, dropout, scaling, num_attention_heads, attention_head_size",),
        "the last layer computes the selected positions only; layers for prediction (encoders/transformer.py, encoders/fused.py)",
        "the last layer computes all positions",
        _last_layer,
    ),
}
"""By name."""
