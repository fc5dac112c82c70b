"""Rows of unlike length end to end, so that nothing is computed for padding.

All that a transformer does to a position but attention needs no other position. So the real positions of all rows go through the model
as one long row, and attention, which must not look across texts (a plain mask would let it), is computed by runs of rows of equal length.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

PLACES: ContextVar[Tensor | None] = ContextVar("places", default=None)
"""The packed positions that the last layer is to compute, in the present thread's forward pass; all if ``None``."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Where the real positions of padded rows are."""

    shape: torch.Size
    """``[rows, positions]`` of the padded form."""
    index: Tensor
    """``[packed]``, the place of each real position in the flattened padded form."""
    runs: tuple[tuple[int, int], ...]
    """Length and number of rows, for each run of rows of equal length."""

    @classmethod
    def of(cls, mask: Tensor) -> "Packed":
        """From a mask ``[rows, positions]``, true on real pieces, which come first in each row."""
        runs = tuple((length, len(list(rows))) for length, rows in groupby(mask.sum(1).tolist()) if length)
        return cls(mask.shape, mask.flatten().nonzero().squeeze(1), runs)

    @property
    def positions(self) -> Tensor:
        """``[packed]``, the place of each position in its own row."""
        return self.index % self.shape[1]

    def one_a_row(self, places: Tensor) -> bool:
        """Whether packed positions are one of each row."""
        return torch.equal(self.index[places] // self.shape[1], torch.arange(self.shape[0], device=places.device))

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
