"""A convolutional encoder: filters of several widths side by side (Kim 2014, EMNLP), stacked, one output a position."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtl.encoders.base import FromScratch
from mtl.encoders.cheap import Dropout


class Block(nn.Module):
    """Convolutions of several widths, their outputs joined, projected back and added to the input."""

    def __init__(self, width: int, kernels: Sequence[int], dropout: float) -> None:
        super().__init__()
        # Padded by hand: padding="same" copies its input, and warns, where a kernel is even.
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.ZeroPad1d(((kernel - 1) // 2, kernel // 2)), nn.Conv1d(width, width, kernel)) for kernel in kernels
        )
        self.project = nn.Linear(width * len(kernels), width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[rows, positions, width]`` to the same; mask bool ``[rows, positions]``."""
        # Zeroed anew in each block, since biases and norms make padding non-zero, which the filters would then see.
        channels = (hidden * mask.unsqueeze(-1)).transpose(1, 2)
        joined = torch.cat([convolution(channels) for convolution in self.convolutions], dim=1).transpose(1, 2)
        result: Tensor = self.norm(hidden + self.dropout(self.project(joined.relu())))
        return result


class ConvolutionalEncoder(FromScratch):
    """``layers`` blocks of convolutions of the widths ``kernels``."""

    encoder_type = "cnn"

    def __init__(self, *, vocabulary: int, width: int, dropout: float, kernels: Sequence[int], layers: int) -> None:
        super().__init__(vocabulary=vocabulary, width=width, dropout=dropout, kernels=list(kernels), layers=layers)
        self.blocks.extend(Block(width, kernels, dropout) for _ in range(layers))

    def forward(
        self,
        subwords: Tensor,
        mask: Tensor,
        word_shape_ids: Tensor,
        selected: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Hidden states; see ``Encoder.forward``."""
        hidden = self.embed(subwords, word_shape_ids)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return hidden
