"""A feed-forward encoder: each position's window of embeddings through a multi-layer perceptron (Collobert et al. 2011, JMLR 12)."""

from torch import Tensor, nn
from torch.nn import functional

from mtl.encoders.base import FromScratch
from mtl.encoders.cheap import Dropout


class FeedForwardEncoder(FromScratch):
    """``layers`` layers over the embeddings of the ``window`` subwords before and after, and the subword itself."""

    encoder_type = "fnn"

    def __init__(self, *, vocabulary: int, width: int, dropout: float, window: int, layers: int) -> None:
        super().__init__(vocabulary=vocabulary, width=width, dropout=dropout, window=window, layers=layers)
        self.window = window
        sizes = [(2 * window + 1) * width] + [width] * (layers - 1)
        for size in sizes:
            self.blocks.append(nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.LayerNorm(width), Dropout(dropout)))

    def forward(
        self,
        subwords: Tensor,
        mask: Tensor,
        word_shape_ids: Tensor,
        selected: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Hidden states; see ``Encoder.forward``."""
        # Padding is zero, like what lies beyond the ends of the longest row.
        embedded = self.embed(subwords, word_shape_ids) * mask.unsqueeze(-1)
        padded = functional.pad(embedded, (0, 0, self.window, self.window))
        hidden: Tensor = self.blocks[0](padded.unfold(1, 2 * self.window + 1, 1).flatten(2))
        for block in self.blocks[1:]:
            hidden = hidden + block(hidden)
        return hidden
