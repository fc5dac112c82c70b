"""A recurrent encoder: a bidirectional LSTM or GRU (Graves & Schmidhuber 2005; Cho et al. 2014)."""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mtl.encoders.base import FromScratch

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentEncoder(FromScratch):
    """``layers`` bidirectional layers; each direction is half as wide, rounded up, so ``width`` is even."""

    encoder_type = "rnn"

    def __init__(self, *, vocabulary: int, width: int, dropout: float, cell: str, layers: int) -> None:
        super().__init__(vocabulary=vocabulary, width=width, dropout=dropout, cell=cell, layers=layers)
        half = (width + 1) // 2
        self.width = 2 * half
        for size in [width] + [self.width] * (layers - 1):
            self.blocks.append(CELLS[cell](size, half, batch_first=True, bidirectional=True))

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
        # Packed, so that the backward direction starts at each row's own end; lengths must be on the CPU (a sync point).
        lengths = mask.sum(1).clamp(min=1).cpu()
        for block in self.blocks:
            packed = pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
            hidden = self.dropout(pad_packed_sequence(block(packed)[0], batch_first=True, total_length=mask.shape[1])[0])
        return hidden
