"""Matrix products of linear layers on a CPU: in float32 by the faster of torch's libraries, or of numbers rounded to bfloat16.

Autocast would also round what lies between the products, and attention in bfloat16 is slow on a CPU. Here only the inputs of a product are
rounded. Its result, and so all else, is float32.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

T = TypeVar("T")
FORMAT: ContextVar[str] = ContextVar("format", default="")
"""How linear layers on a CPU multiply in the present thread's forward pass: ``bf16``, ``onednn``, or as torch does."""
ROWS = 32
"""Rows are filled up to a multiple of this: oneDNN compiles a kernel for each shape, and packed batches have many. Fewer are not rounded:
rounding the weight would take longer than the product."""
MEDIUM = "medium"
"""The precision of float32 products with which torch takes oneDNN on a CPU: numbers may be rounded to bfloat16."""


def bf16_products() -> AbstractContextManager[None]:
    """Within it, linear layers on a CPU multiply in bfloat16, forward and backward."""
    return setting(FORMAT, "bf16")


def fast_float32() -> AbstractContextManager[None]:
    """Within it, float32 products of linear layers are oneDNN's where MKL's are slow.

    On an AMD CPU with AVX-512, MKL's took 2.3 times as long. Torch uses oneDNN for float32 where it is allowed to round, which oneDNN does
    with matrix units only (AMX). Where those are, or a product shows a rounded number, nothing is changed.
    """
    return setting(FORMAT, "onednn" if _exact_in_onednn() else "")


def plain_products() -> AbstractContextManager[None]:
    """Within it, linear layers multiply as torch does."""
    return setting(FORMAT, "")


@contextmanager
def setting(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Within it, a variable of the present thread has this value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def changed(states: Tensor) -> bool:
    """Whether a linear layer multiplies these inputs, ``[…, ins]``, in another way than torch does; under autocast it does not."""
    if FORMAT.get() == "" or states.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return states.numel() >= ROWS * states.shape[-1]


def linear(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.linear``, or the same in another way."""
    if not changed(states):
        return nn.functional.linear(states, weight, bias)
    result: Tensor = Product.apply(states, weight, bias, FORMAT.get() == "bf16")  # type: ignore[no-untyped-call]
    return result


class Product(Function):
    """A linear layer whose products are oneDNN's, of float32 numbers or of numbers rounded to bfloat16.

    Of rounded numbers too, a product adds up in float32 (Micikevicius et al. 2018, ICLR, "Mixed precision training"); weights stay float32.
    Torch is told to take oneDNN for these products only, which is slow for small matrices, such as those of attention.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, rounded: bool) -> Tensor:
        """``[…, ins]``, ``[outs, ins]`` and ``[outs]`` to ``[…, outs]``, all float32."""
        flat = states.reshape(-1, states.shape[-1])
        rows, weight = (_rounded(flat), weight.to(torch.bfloat16)) if rounded else (flat, weight)
        ctx.save_for_backward(rows, weight)
        ctx.shape, ctx.rounded = states.shape, rounded
        with onednn():
            product = (rows @ weight.t())[: len(flat)]
        if bias is not None:
            product = product + bias if rounded else product.add_(bias)  # a sum with float32 is float32 without a pass of its own
        return product.float().view(*states.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of states, weight and bias, as far as they are needed."""
        rows, weight = ctx.saved_tensors
        of_states, of_weight, of_bias, _ = ctx.needs_input_grad
        upper = gradient.reshape(-1, gradient.shape[-1])
        own = _rounded(upper) if ctx.rounded and (of_states or of_weight) else upper
        with onednn():
            return (
                (own @ weight)[: len(upper)].float().view(ctx.shape) if of_states else None,
                (own.t() @ rows).float() if of_weight else None,
                upper.sum(0) if of_bias else None,
                None,
            )


def _rounded(rows: Tensor) -> Tensor:
    """``[rows, width]`` in bfloat16, with rows of zeros up to a multiple of ``ROWS``."""
    count = len(rows)
    result = torch.empty(-(-count // ROWS) * ROWS, rows.shape[1], dtype=torch.bfloat16)
    result[:count] = rows
    result[count:] = 0
    return result


@contextmanager
def onednn() -> Iterator[None]:
    """Within it, torch takes oneDNN for all float32 products of the process on a CPU."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(MEDIUM)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def _exact_in_onednn() -> bool:
    """Whether this CPU is of the kind for which ``fast_float32`` is meant, and float32 stays float32."""
    found = capabilities()
    if not (str(found.get("cpu_name", "")).startswith("AMD") and found.get("avx512_f")) or found.get("amx_tile"):
        return False
    states, weight = torch.full((64, 64), 1 + 2**-20), torch.eye(64)  # 1 + 2⁻²⁰ is 1 in bfloat16 and in TF32
    with torch.no_grad(), onednn():
        return torch.equal(states @ weight, states)


def capabilities() -> dict[str, Any]:
    """What torch says of this CPU; nothing where it says nothing."""
    about = getattr(torch.cpu, "get_capabilities", dict)  # not in torch 2.11
    found: dict[str, Any] = about()
    return found


def has_bf16_units() -> bool:
    """Whether this CPU multiplies bfloat16 numbers by instructions of its own."""
    found = capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def has_int8_units() -> bool:
    """Whether this CPU adds up products of 8-bit numbers by instructions of its own, which cannot overflow."""
    found = capabilities()
    return bool(found.get("amx_int8") or found.get("avx512_vnni") or found.get("avx_vnni"))
