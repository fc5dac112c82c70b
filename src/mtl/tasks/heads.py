"""Heads: modules that turn the encoder's output into logits of one task."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl.decoders import Decoder, Search, generate
from mtl.encoders.base import EncoderOutput

MASKED = -1e4
"""Logit of a position that cannot be chosen; float16 holds it too."""


def linear(width: int, outputs: int, dropout: float) -> nn.Sequential:
    """Dropout and one linear layer, ``[..., width] -> [..., outputs]``, drawn from the ambient generator."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Dropout(dropout), layer)


def weights(layers: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Weight ``[outputs, width]`` and bias ``[outputs]`` of ``linear``'s layers, without their graph."""
    layer: Any = layers[1]
    return layer.weight.detach(), layer.bias.detach()


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


class PassageHead(nn.Module):
    """Logits of the start and the end of a passage: ``[rows, positions, 2]``, ``MASKED`` where no token of the text field starts.

    The first position, which belongs to no such token, has those of a row without a passage, from the pooled text.
    """

    def __init__(self, width: int, dropout: float, field: int, *, no_answer: bool) -> None:
        super().__init__()
        self.field = field
        self.layers = linear(width, 2, dropout)
        self.no_answer = linear(width, 2, dropout) if no_answer else None

    def forward(self, output: EncoderOutput) -> Tensor:
        """Logits ``[rows, positions, 2]``."""
        logits: Tensor = self.layers(output.states)
        first = torch.as_tensor(output.word_ids, device=logits.device) >= 0
        if output.segment_ids is not None:
            first = first & (output.segment_ids == self.field)
        masked = logits.masked_fill(~first.unsqueeze(-1), MASKED)
        if self.no_answer is None:
            return masked
        return torch.cat([self.no_answer(output.pooled).to(masked.dtype).unsqueeze(1), masked[:, 1:]], dim=1)


class WritingHead(nn.Module):
    """Writes text with the shared decoder: holds what stands before the first subword, by which the decoder knows the task."""

    def __init__(self, width: int, label_smoothing: float, search: Search, start: Tensor | None = None) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.empty(width) if start is None else start.detach().clone())
        if start is None:
            nn.init.normal_(self.start, std=0.02)
        self.label_smoothing, self.search = label_smoothing, search

    def forward(self, states: Tensor, mask: Tensor, decoder: Decoder, targets: Tensor | None = None) -> Tensor:
        """The summed loss of the targets, float32 ``[1]``; without targets the best texts, see ``mtl.decoders.generate``.

        Args:
            states: of the encoder, ``[rows, positions, width]``.
            mask: bool ``[rows, positions]``, true on real subwords.
            decoder: shared by all tasks that write.
            targets: int64 ``[rows, subwords]``.
        """
        if targets is None:
            return generate(decoder, self.start, states, mask, self.search)
        return decoder.loss_sum(self.start, targets, states, mask, self.label_smoothing).reshape(1)
