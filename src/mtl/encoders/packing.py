"""Rows of unlike length end to end, so that nothing is computed for padding.

All that a transformer does to a position but attention needs no other position. So the real positions of all rows go through the model
as one long row, and attention, which must not look across texts (a plain mask would let it), is computed by runs of rows of equal length.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

PLACES: ContextVar[Tensor | None] = ContextVar("places", default=None)
"""The packed positions that the last layer is to compute, in the present thread's forward pass; all if ``None``."""

Runs = tuple[tuple[int, int], ...]
"""Length and number of rows, for each run of rows of equal length."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Where the real positions of padded rows are."""

    shape: torch.Size
    """``[rows, positions]`` of the padded form."""
    index: Tensor
    """``[packed]``, the place of each real position in the flattened padded form."""
    runs: Runs

    @classmethod
    def of(cls, mask: Tensor) -> "Packed":
        """From a mask ``[rows, positions]``, true on real pieces, which come first in each row."""
        runs = tuple((length, len(list(rows))) for length, rows in groupby(mask.sum(1).tolist()) if length)
        return cls(mask.shape, mask.flatten().nonzero().squeeze(1), runs)

    @property
    def positions(self) -> Tensor:
        """``[packed]``, the place of each position in its own row."""
        return self.index % self.shape[1]

    @property
    def rows(self) -> Tensor:
        """``[packed]``, the row of each position."""
        return self.index // self.shape[1]

    def only(self, rows: Tensor) -> "Packed":
        """Some rows, bool ``[rows]``, packed by themselves."""
        lengths = torch.bincount(self.rows, minlength=self.shape[0])[rows]
        return Packed.of(torch.arange(self.shape[1], device=lengths.device) < lengths[:, None])

    def pack(self, padded: Tensor) -> Tensor:
        """``[rows, positions, …]`` to ``[packed, …]``."""
        return padded.flatten(0, 1).index_select(0, self.index)

    def unpack(self, packed: Tensor, places: Tensor | None = None) -> Tensor:
        """``[packed, …]``, or only some ``places`` of it, to ``[rows, positions, …]``, 0 elsewhere."""
        index = self.index if places is None else self.index[places]
        whole = packed.new_zeros(self.shape.numel(), *packed.shape[1:])
        return whole.index_copy(0, index, packed).view(*self.shape, *packed.shape[1:])


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
    # Split rather than sliced or indexed: the backward pass of a slice fills a tensor as large as the whole with zeros.
    # And with positions first, as the linear layers around attention have them: nothing is transposed in memory.
    sizes = [length * rows for length, rows in packed.runs]
    parts = zip(*(torch.split(states.squeeze(0).transpose(0, 1), sizes) for states in (query, key, value)), strict=True)
    found = []
    for (length, rows), states in zip(packed.runs, parts, strict=True):
        q, k, v = (part.unflatten(0, (rows, length)).transpose(1, 2) for part in states)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        found.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)[None], None


def attend_once(query: Tensor, key: Tensor, value: Tensor, states: Tensor, runs: Runs, scaling: float) -> Tensor:
    """What one position of each row attends to, ``[rows, heads · width]``, less the bias of values; without keys and values of the others.

    A score q·(Wx + b) is (Wᵀq)·x and a constant that softmax takes away; a mean of Wx + b is W times the mean of x, and b.

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
    for (length, rows), run, asked in zip(runs, torch.split(states, sizes), torch.split(sought, counts), strict=True):
        row_states = run.view(rows, length, -1)
        scores = torch.bmm(asked, row_states.transpose(1, 2)) * scaling
        means.append(torch.bmm(scores.softmax(-1), row_states))
    found = torch.bmm(torch.cat(means).transpose(0, 1), value.transpose(1, 2))  # [heads, rows, width]
    return found.transpose(0, 1).flatten(1)


def attend_at(
    places: Tensor,
    states: Tensor,
    packed: Packed,
    fully: Callable[[Tensor, Packed], Tensor],
    once: Callable[[Tensor, Tensor, Runs], Tensor],
) -> Tensor:
    """What some packed positions attend to, ``[places, width]``.

    Args:
        places: the positions.
        states: ``[packed, hidden]``.
        packed: their rows.
        fully: attention of all positions of rows, ``[packed, width]``, from their states.
        once: attention of one position of each row, ``[rows, width]``, from states, positions and runs.
    """
    rows = packed.rows
    counts = torch.bincount(rows[places], minlength=packed.shape[0])
    single, several = counts == 1, counts > 1
    if single.all():
        return once(states, places, packed.runs)
    if not single.any():
        return fully(states, packed).index_select(0, places)
    found, order = [], []
    for kept in (single, several) if several.any() else (single,):
        here, part = kept[rows], packed.only(kept)
        own = here[places].nonzero().squeeze(1)
        inner, asked = states.index_select(0, here.nonzero().squeeze(1)), (here.cumsum(0) - 1)[places[own]]
        found.append(once(inner, asked, part.runs) if kept is single else fully(inner, part).index_select(0, asked))
        order.append(own)
    return torch.cat(found).index_select(0, torch.cat(order).argsort())
