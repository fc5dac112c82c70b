"""Heads: modules that turn the encoder's output into logits of one task."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl.encoders.base import EncoderOutput


def linear(width: int, outputs: int, dropout: float) -> nn.Sequential:
    """Dropout and one linear layer, ``[..., width] -> [..., outputs]``, drawn from the ambient generator."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Dropout(dropout), layer)


class PooledHead(nn.Module):
    """One linear layer on the pooled text: ``[rows, outputs]``."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.layers = linear(width, outputs, dropout)

    def forward(self, output: EncoderOutput) -> Tensor:
        """Logits ``[rows, outputs]``."""
        logits: Tensor = self.layers(output.pooled)
        return logits


class TokenHead(nn.Module):
    """One linear layer on every position: ``[rows, positions, outputs]``."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.layers = linear(width, outputs, dropout)

    def forward(self, output: EncoderOutput) -> Tensor:
        """Logits ``[rows, positions, outputs]``."""
        logits: Tensor = self.layers(output.states)
        return logits


class MarkerHead(nn.Module):
    """One linear layer on the concatenated states of some markers: ``[rows, outputs]``."""

    def __init__(self, width: int, markers: Sequence[str], outputs: int, dropout: float) -> None:
        super().__init__()
        self.markers = tuple(markers)
        self.layers = linear(width * len(markers), outputs, dropout)

    def forward(self, output: EncoderOutput) -> Tensor:
        """Logits ``[rows, outputs]``."""
        logits: Tensor = self.layers(torch.cat([output.at(name) for name in self.markers], dim=-1))
        return logits
