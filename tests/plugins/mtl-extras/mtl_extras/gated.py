"""Gated linear units on each position."""

from typing import Any

from torch import Tensor, nn

from mtl.encoders.base import FromScratch


class Gated(FromScratch):
    """``layers`` gated linear units (Dauphin et al. 2017) with residual connections."""

    kind = "gated"

    def __init__(self, *, vocabulary: int, width: int, dropout: float, layers: int) -> None:
        super().__init__(vocabulary=vocabulary, width=width, dropout=dropout, layers=layers)
        self.blocks.extend(nn.Sequential(nn.Linear(width, 2 * width), nn.GLU()) for _ in range(layers))

    def forward(self, subwords: Tensor, mask: Tensor, word_shape_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        """Hidden states ``[rows, positions, width]``."""
        hidden = self.embed(subwords, word_shape_ids)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return hidden
