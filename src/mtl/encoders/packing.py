"""Rows of different lengths end to end, so that nothing is computed for padding.

A transformer computes each position by itself, except in attention. So the real positions of all rows go through the model as one long
row. Attention must not look across texts, as it would with a plain mask: it is computed by runs of rows of equal length.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

from mtl.encoders import probes

SELECTED: ContextVar[Tensor | None] = ContextVar("selected", default=None)
"""The packed positions that the last layer computes in the present thread's forward pass; all if ``None``."""

Runs = tuple[tuple[int, int], ...]
"""Length and number of rows, for each run of rows of equal length."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Where the real positions of padded rows are."""

    mask: Tensor
    """Bool ``[rows, positions]``, true on the real positions of the padded form."""
    index: Tensor
    """``[packed]``, the index of each real position in the flattened padded form."""
    runs: Runs

    @classmethod
    def of(cls, mask: Tensor) -> "Packed":
        """From a mask ``[rows, positions]``, true on real subwords, which come first in each row."""
        runs = tuple((length, len(list(rows))) for length, rows in groupby(filter(None, mask.sum(1).tolist())))
        return cls(mask, mask.flatten().nonzero().squeeze(1), runs)

    @property
    def positions(self) -> Tensor:
        """``[packed]``, the index of each position in its own row."""
        return self.index % self.mask.shape[1]

    @property
    def rows(self) -> Tensor:
        """``[packed]``, the row of each position."""
        return self.index // self.mask.shape[1]

    def only(self, kept: Tensor, selected: Tensor) -> "tuple[Packed, Tensor, Tensor]":
        """Some rows by themselves.

        Args:
            kept: the rows, bool ``[rows]``.
            selected: packed positions, int64 ``[n]``.

        Returns:
            The rows; their packed positions, int64; and the selected positions in these rows, as indices into the latter.
        """
        here = kept[self.rows]
        return Packed.of(self.mask & kept[:, None]), here.nonzero().squeeze(1), (here.cumsum(0) - 1)[selected[here[selected]]]

    def pack(self, padded: Tensor) -> Tensor:
        """``[rows, positions, …]`` to ``[packed, …]``."""
        return padded.flatten(0, 1).index_select(0, self.index)

    def unpack(self, packed: Tensor, selected: Tensor | None = None) -> Tensor:
        """``[packed, …]``, or only the selected positions of it, to ``[rows, positions, …]``, 0 elsewhere."""
        index = self.index if selected is None else self.index[selected]
        whole = packed.new_zeros(self.mask.numel(), *packed.shape[1:])
        return whole.index_copy(0, index, packed).view(*self.mask.shape, *packed.shape[1:])


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed: Packed,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each row, of ``[1, heads, packed, width]`` each; returns ``[1, packed, heads, width]``.

    Rows of equal length are one batch without padding or mask. The signature is that of transformers' ``AttentionInterface``.
    """
    # Positions first, as the linear layers around attention have them: nothing is transposed in memory.
    q, k, v = (states.squeeze(0).transpose(0, 1) for states in (query, key, value))
    if dropout or not probes.available("attention"):
        return attend(q, k, v, packed.runs, scaling, dropout)[None], None
    attended: Tensor = FlashAttention.apply(q, k, v, packed.runs, scaling)  # type: ignore[no-untyped-call]
    return attended[None], None


def attend(query: Tensor, key: Tensor, value: Tensor, runs: Runs, scaling: float | None, dropout: float) -> Tensor:
    """Attention of each run by torch's public function: ``[packed, heads, width]``, of the same each."""
    sizes, attended = [length * rows for length, rows in runs], []
    for run, states in zip(runs, zip(*(torch.split(states, sizes) for states in (query, key, value)), strict=True), strict=True):
        q, k, v = (part.unflatten(0, run[::-1]).transpose(1, 2) for part in states)
        result = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        attended.append(result.transpose(1, 2).flatten(0, 1))
    return torch.cat(attended)


class FlashAttention(Function):
    """The operator that ``scaled_dot_product_attention`` calls on a CPU without mask and dropout, for all runs as one step of autograd.

    Autograd then has no views to follow and no parts to put together.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, runs: Runs, scaling: float | None) -> Tensor:
        """``[packed, heads, width]``, of the same each."""
        operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
        result, sums = torch.empty_like(query, memory_format=torch.contiguous_format), []
        for q, k, v, into in zip(*(_by_runs(states, runs) for states in (query, key, value, result)), strict=True):
            attended, logsumexp = operator(q, k, v, scale=scaling)
            into.copy_(attended)
            sums.append(logsumexp)
        ctx.save_for_backward(query, key, value, result, *sums)
        ctx.runs, ctx.scaling = runs, scaling
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of query, key and value."""
        operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default
        query, key, value, attended, *sums = ctx.saved_tensors
        results = [torch.empty_like(states, memory_format=torch.contiguous_format) for states in (query, key, value)]
        parts = (_by_runs(states, ctx.runs) for states in (gradient.contiguous(), query, key, value, attended, *results))
        for logsumexp, upper, q, k, v, out, *into in zip(sums, *parts, strict=True):
            grads = operator(upper, q, k, v, out, logsumexp, 0.0, False, scale=ctx.scaling)
            torch._foreach_copy_(into, grads)
        return *results, None, None


def _by_runs(states: Tensor, runs: Runs) -> list[Tensor]:
    """``[packed, heads, width]`` as ``[rows, heads, length, width]`` of each run, in the same memory and in one view."""
    (step, head, inner), start, views = states.stride(), states.storage_offset(), []
    for length, rows in runs:
        size = (rows, states.shape[1], length, states.shape[2])
        views.append(states.as_strided(size, (length * step, head, step, inner), start))
        start += length * rows * step
    return views


def attend_once(query: Tensor, key: Tensor, value: Tensor, states: Tensor, runs: Runs, scaling: float) -> Tensor:
    """Attention of one position of each row, ``[rows, heads · width]``, without the bias of values. It makes no keys and values.

    A score q·(Wx + b) is (Wᵀq)·x plus a constant, which softmax cancels; a mean of Wx + b is W times the mean of x, plus b.

    Args:
        query: ``[rows, heads, width]``.
        key: the weight that makes keys of states, ``[heads · width, hidden]``.
        value: the same of values.
        states: ``[packed, hidden]``.
    """
    key, value = (weight.view(*query.shape[1:], -1) for weight in (key, value))
    sought = torch.bmm(query.transpose(0, 1), key).transpose(0, 1).contiguous()  # [rows, heads, hidden]
    sizes, counts = [length * rows for length, rows in runs], [rows for _, rows in runs]
    means = []
    for (length, rows), run, queries in zip(runs, torch.split(states, sizes), torch.split(sought, counts), strict=True):
        row_states = run.view(rows, length, -1)
        scores = torch.bmm(queries, row_states.transpose(1, 2)) * scaling
        means.append(torch.bmm(scores.softmax(-1), row_states))
    attended = torch.bmm(torch.cat(means).transpose(0, 1), value.transpose(1, 2))  # [heads, rows, width]
    return attended.transpose(0, 1).flatten(1)


def attend_at(
    selected: Tensor,
    states: Tensor,
    packed: Packed,
    fully: Callable[[Tensor, Packed], Tensor],
    once: Callable[[Tensor, Tensor, Runs], Tensor],
) -> Tensor:
    """Attention of some packed positions, ``[selected, width]``.

    Args:
        selected: the positions.
        states: ``[packed, hidden]``.
        packed: their rows.
        fully: attention of all positions of rows, ``[packed, width]``, from their states.
        once: attention of one position of each row, ``[rows, width]``, from states, positions and runs.
    """
    rows = packed.rows[selected]
    counts = torch.bincount(rows, minlength=len(packed.mask))
    single, several = counts == 1, counts > 1
    if not single.any():
        return fully(states, packed).index_select(0, selected)
    if single.all():
        return once(states, selected, packed.runs)
    attended, order = [], []
    for kept in (single, several) if several.any() else (single,):
        part, positions, own = packed.only(kept, selected)
        inner = states.index_select(0, positions)
        attended.append(once(inner, own, part.runs) if kept is single else fully(inner, part).index_select(0, own))
        order.append(kept[rows].nonzero().squeeze(1))
    return torch.cat(attended).index_select(0, torch.cat(order).argsort())
