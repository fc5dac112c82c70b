"""The interface of decoders, which write text on an encoder's hidden states."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mtl.encoders.cheap import Linear
from mtl.encoders.fused import FixedLinear, available
from mtl.encoders.products import linear

IGNORED = -100
"""Target of a position without a subword."""


class Vocabulary(Protocol):
    """The subwords of target texts."""

    @property
    def size(self) -> int:
        """How many they are."""

    @property
    def end(self) -> int:
        """The subword that ends a text."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The subwords of each text, without the end."""

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of subwords, with white space normalised to single spaces as in target texts."""

    def dump(self) -> str:
        """All of it, as JSON."""


class Cache(Protocol):
    """What decoding keeps from position to position."""

    def select(self, beams: Tensor, rows: Tensor | None) -> None:
        """Continue from these beams.

        Args:
            beams: of those so far, int64 ``[rows × beams]``.
            rows: the only rows of the source that are continued, int64 ``[rows]``; all if None.
        """


class Borrowed(nn.Module):
    """An embedding that another module owns, with its parameters."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.owner = (embedding,)  # modules in a tuple are not registered twice

    def forward(self, subwords: Tensor) -> Tensor:
        """Its vectors."""
        embedded: Tensor = self.owner[0](subwords)
        return embedded


class Tied(Borrowed):
    """An output layer whose weights are an embedding (Press & Wolf 2017)."""

    bias = None

    def __init__(self, embedding: nn.Embedding, rows: int) -> None:
        super().__init__(embedding)
        self.rows = rows

    @property
    def weight(self) -> Tensor:
        """``[rows, width]``."""
        return self.owner[0].weight[: self.rows]

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits of the first subwords."""
        return linear(hidden, self.weight)


class Decoder(nn.Module, ABC):
    """Writes a text, subword by subword."""

    vocabulary: Vocabulary
    width: int
    """Of what stands before the first subword."""
    max_length: int
    """Most subwords of a text, the end included."""
    pretrained = False
    """Whether its weights come from the encoder's source, and learn at the encoder's rate."""
    suppressed: Tensor | None
    """The subwords that no text contains, bool ``[vocabulary]``; None if there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("suppressed", None, persistent=False)

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """All that ``restore`` needs, JSON-able."""

    def begin_with(self) -> Tensor | None:
        """What stands before the first subword of a task that was not trained yet, ``[width]``; None if it is to be drawn."""
        return None

    def fuse(self, dtype: torch.dtype = torch.float32) -> None:
        """Prepare for prediction on a CPU, with products in this format. Afterwards it cannot be trained, saved or copied, and
        must not be moved. Layers of other classes stay as they are, also those that inherit from ``nn.Linear``."""
        if not available():
            return
        for module in list(self.modules()):
            for name, part in module.named_children():
                if isinstance(part, nn.Linear | Tied) and type(part) in (nn.Linear, Linear, Tied):
                    setattr(module, name, FixedLinear(part, dtype))

    @abstractmethod
    def loss_sum(self, start: Tensor, targets: Tensor, states: Tensor, mask: Tensor, label_smoothing: float) -> Tensor:
        """The summed cross-entropy (nats) of all target subwords, each predicted from those before it.

        Args:
            start: what stands before the first subword, ``[width]``; says which task writes.
            targets: int64 ``[rows, subwords]``, ``IGNORED`` after the end.
            states: of the encoder, ``[rows, positions, encoder width]``.
            mask: bool ``[rows, positions]``, true on real subwords.
            label_smoothing: share of the target probability that is spread over all subwords.
        """

    @abstractmethod
    def begin(self, start: Tensor, states: Tensor, mask: Tensor, beams: int) -> tuple[Tensor, Cache]:
        """The logits of the first subword, ``[rows × beams, vocabulary]``, and a cache for ``step``; arguments as for ``loss_sum``."""

    @abstractmethod
    def step(self, subwords: Tensor, cache: Any) -> Tensor:
        """The logits of the next subword, ``[rows × beams, vocabulary]``, after these, int64 ``[rows × beams]``."""
