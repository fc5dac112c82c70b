"""The interface of all encoders, and what the small ones share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mtl.config import BaseEncoder, SmallEncoder
from mtl.encoders.cheap import Dropout
from mtl.encoders.tokenizer import SHAPES, SubwordTokenizer

Layers = list[list[nn.Parameter]]


@dataclass(frozen=True)
class EncoderOutput:
    """What a head gets: the hidden states of some rows, and where in them their fields, tokens and markers are."""

    states: Tensor
    """``[rows, positions, width]``."""
    mask: Tensor
    """Bool ``[rows, positions]``, true on real subwords."""
    word_ids: npt.NDArray[np.integer] | Tensor
    """``[rows, positions]``, index of the token in its field at its first subword, else -1."""
    pool: Callable[[Tensor, Tensor], Tensor]
    """The encoder's pooling, of ``states`` and ``mask``."""
    segment_ids: Tensor | None = None
    """Int64 ``[rows, positions]``, the field of each subword, 0 or 1; ``None`` if all rows have one field."""
    positions: Mapping[str, Tensor] = field(default_factory=dict)
    """By name, one position in each row, such as that of a marker: int64 ``[rows]``, -1 in a row without it."""

    @cached_property
    def pooled(self) -> Tensor:
        """One vector a row, ``[rows, width]``: computed on first use, then kept for all heads that share this output."""
        return self.pool(self.states, self.mask)

    def at(self, name: str) -> Tensor:
        """The hidden states at a named position, ``[rows, width]``; 0 in a row without it."""
        positions = self.positions[name]
        states = self.states[torch.arange(positions.shape[0], device=positions.device), positions.clamp(min=0)]
        return states.masked_fill((positions < 0).unsqueeze(-1), 0.0)


def marker_positions(subwords: Tensor, mask: Tensor, markers: Mapping[str, int]) -> dict[str, Tensor]:
    """By name, the position of each marker in each row, int64 ``[rows]``; -1 in a row without it.

    Args:
        subwords: int64 ``[rows, positions]``.
        mask: bool ``[rows, positions]``, true on real subwords.
        markers: by name, the index of the marker among ``subwords``; a pruned encoder has indices of its own.
    """
    masks = {name: (subwords == index) & mask for name, index in markers.items()}
    return {name: torch.where(here.any(1), here.int().argmax(1), -1) for name, here in masks.items()}


class Encoder(nn.Module, ABC):
    """Subwords to hidden states. Padding and the other rows of a batch do not change a row's hidden states (in eval mode)."""

    width: int
    _whole: tuple[Tensor, Tensor, int | None] | None = None
    """While the vocabulary is pruned: the subwords kept, and the weights and padding index of all."""

    @classmethod
    @abstractmethod
    def build(cls, settings: BaseEncoder, source: Path | None, rows: Iterable[Sequence[str]]) -> tuple[Self, SubwordTokenizer]:
        """A new encoder and its tokenizer; see ``mtl.encoders.build``."""

    @classmethod
    @abstractmethod
    def restore(cls, config: Mapping[str, Any]) -> Self:
        """The same architecture. The caller loads the weights."""

    @classmethod
    def restore_to_fuse(cls, config: Mapping[str, Any]) -> Self:
        """The same. The caller loads the weights, then calls ``fuse``; an encoder can lack what it needs before that."""
        return cls.restore(config)

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """All that ``restore`` needs, JSON-able, with the key ``type``."""

    @abstractmethod
    def forward(
        self,
        subwords: Tensor,
        mask: Tensor,
        word_shape_ids: Tensor,
        selected: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Hidden states ``[rows, positions, width]``.

        Args:
            subwords: int64 ``[rows, positions]``, padded at the right with anything in the vocabulary.
            mask: bool ``[rows, positions]``, true on real subwords.
            word_shape_ids: int64 ``[rows, positions]``, word-shape classes of ``mtl.encoders.tokenizer``.
            selected: bool ``[rows, positions]``, true where a hidden state is used, all if not given; others may be anything finite.
            segment_ids: int64 ``[rows, positions]``, the field of each subword, 0 or 1; not given if all rows have one field.
        """

    def by_task(
        self,
        subwords: Tensor,
        mask: Tensor,
        word_shape_ids: Tensor,
        selected: Mapping[str, Tensor],
        rows: Mapping[str, Tensor],
        segment_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Hidden states for each task, ``[rows, positions, width]``.

        Args:
            subwords, mask, word_shape_ids, segment_ids: see ``forward``.
            selected: by task, bool ``[rows, positions]``; see ``forward``.
            rows: by task, the only rows that it uses, int64 ``[n]``; all if it is not there.
        """
        if not selected:
            return {}
        union = torch.stack(list(selected.values())).any(0) if self.packs(mask.device) else None
        return dict.fromkeys(selected, self(subwords, mask, word_shape_ids, union, segment_ids))

    def branch(self, tasks: Iterable[str]) -> None:
        """Give each task its own copy of the top layers, where the settings say so. Call it once, before weights are loaded."""

    def own(self, task: str) -> list[nn.Parameter]:
        """The parameters of a task's own layers."""
        return []

    def decoder(self, config: Mapping[str, Any] | None = None) -> Any:
        """The decoder that came with it, a ``mtl.decoders.Decoder``; None if there is none. Call it once.

        Args:
            config: of a saved decoder; without it, as in the source.
        """
        return None

    def packs(self, device: torch.device) -> bool:
        """Whether the encoder skips padding on that device."""
        return False

    def pad(self) -> None:
        """Compute padding on every device, as a graph for another runtime does."""

    def fuse(self, dtype: torch.dtype = torch.float32) -> bool:
        """Prepare for prediction on the present device. Afterwards the encoder cannot be trained, saved or copied, and must not be moved.

        ``dtype`` is the format of the layers' products: float32, or bfloat16 or int8 on a CPU with instructions for it.

        Returns:
            Whether there was something to prepare. If not, the encoder is as it was.
        """
        return False

    @abstractmethod
    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """One vector a row, ``[rows, width]``, from hidden states and mask."""

    def pooled(self, mask: Tensor) -> Tensor:
        """The positions that ``pool`` reads, bool ``[rows, positions]``."""
        return mask

    @abstractmethod
    def layers(self) -> Layers:
        """All parameters, each once, in groups from bottom to top."""

    @property
    @abstractmethod
    def embedding(self) -> nn.Embedding:
        """The embedding of the subwords."""

    def prune_vocabulary(self, subwords: npt.NDArray[np.integer]) -> None:
        """Keep only the embeddings of some subwords. Those that never occur would cost the optimiser time and memory in training.

        From now on subword ``subwords[i]`` has the index i.

        Args:
            subwords: ``[kept]``, sorted, each once.
        """
        embedding = self.embedding
        kept = torch.from_numpy(subwords).long()
        self._whole = (kept, embedding.weight.detach().clone(), embedding.padding_idx)
        embedding.weight = nn.Parameter(embedding.weight.detach()[kept], requires_grad=embedding.weight.requires_grad)
        padding = np.flatnonzero(subwords == embedding.padding_idx)
        embedding.num_embeddings, embedding.padding_idx = len(subwords), int(padding[0]) if len(padding) else None

    def needed(self, subwords: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The subwords that ``prune_vocabulary`` may keep where these occur, sorted: where a decoder shares the embedding, all."""
        return subwords

    @property
    def kept(self) -> npt.NDArray[np.int64]:
        """While pruned, the subwords kept, ``[kept]``."""
        return np.empty(0, dtype=np.int64) if self._whole is None else self._whole[0].numpy()

    @property
    def positions(self) -> int | None:
        """The most subwords that a row can have; None if there is no limit."""
        return None

    @property
    def vocabulary(self) -> int:
        """The number of subwords embedded, those that are pruned included."""
        return self.embedding.num_embeddings if self._whole is None else len(self._whole[1])

    def grow_vocabulary(self, size: int) -> None:
        """Embed at least this many subwords, such as ``tokenizer.size`` after ``add_markers``. Fewer than there are change nothing.

        New embeddings are drawn from the ambient torch generator, with the mean and the deviation of the others.

        Raises:
            RuntimeError: the vocabulary is pruned.
        """
        embedding = self.embedding
        if self._whole is not None:
            raise RuntimeError("a pruned vocabulary cannot grow: restore it first")
        if (more := size - embedding.num_embeddings) <= 0:
            return
        weight = embedding.weight.detach()
        mean, deviation = (values.expand(more, -1) for values in (weight.mean(0), weight.std(0)))
        grown = torch.cat([weight, torch.normal(mean, deviation)])
        embedding.weight = nn.Parameter(grown, requires_grad=embedding.weight.requires_grad)
        embedding.num_embeddings = size

    def restore_vocabulary(self) -> None:
        """Undo ``prune_vocabulary``: the embeddings kept go back to their rows, and the others are as they were."""
        if self._whole is None:
            return
        embedding, (kept, whole, embedding_padding) = self.embedding, self._whole
        learnt = embedding.weight.detach()
        merged = whole.to(learnt.device).index_copy(0, kept.to(learnt.device), learnt)
        embedding.weight = nn.Parameter(merged, requires_grad=embedding.weight.requires_grad)
        embedding.num_embeddings, embedding.padding_idx, self._whole = len(whole), embedding_padding, None


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean of the hidden states over real positions."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def shape_embedding(width: int) -> nn.Embedding:
    """An embedding of the word-shape classes, zero at the start: it changes nothing before it is trained."""
    embedding = nn.Embedding(SHAPES, width)
    nn.init.zeros_(embedding.weight)
    return embedding


class ByTask(nn.Module):
    """A module for each task. In an ``nn.ModuleDict``, a task could not have the name of an attribute, such as *type*."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._modules.update(modules)

    def __getitem__(self, task: str) -> Any:
        return self._modules[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def train(self, mode: bool = True) -> Self:
        """See ``nn.Module.train``, whose flag would replace the module of a task named *training*."""
        object.__setattr__(self, "training", mode)
        for module in self.children():
            module.train(mode)
        return self


class FromScratch(Encoder):
    """Base of the small encoders: embeddings of subwords and word shapes, then layers that a subclass adds to ``self.blocks``."""

    encoder_type: ClassVar[str]
    """Its ``encoder.type``. The name ``type`` is a method of ``nn.Module``."""

    def __init__(self, *, vocabulary: int, width: int, dropout: float, **settings: Any) -> None:
        super().__init__()
        self._config = {"vocabulary": vocabulary, "width": width, "dropout": dropout, **settings}
        self.width = width
        self.subwords = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.subwords.weight, std=0.1)
        self.word_shape_ids = shape_embedding(width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList()

    @classmethod
    def build(cls, settings: BaseEncoder, source: Path | None, rows: Iterable[Sequence[str]]) -> tuple[Self, SubwordTokenizer]:
        """Draw weights for the vocabulary in the folder ``source``, or for one learnt from the rows."""
        if not isinstance(settings, SmallEncoder):
            raise TypeError(f"{cls.__name__} cannot be built from {type(settings).__name__}")
        tokenizer = SubwordTokenizer.load(source / "tokenizer.json") if source else SubwordTokenizer.train(rows, settings.vocabulary)
        own = settings.model_dump(exclude={"type", "max_length", "vocabulary"})
        return cls(vocabulary=tokenizer.size, **own), tokenizer

    @classmethod
    def restore(cls, config: Mapping[str, Any]) -> Self:
        """The same architecture. The caller loads the weights."""
        return cls(**{key: value for key, value in config.items() if key != "type"})

    def config(self) -> dict[str, Any]:
        """The arguments of the constructor, and the type."""
        return {"type": self.encoder_type, **self._config, "vocabulary": self.vocabulary}

    def embed(self, subwords: Tensor, word_shape_ids: Tensor) -> Tensor:
        """Normalised embeddings ``[rows, positions, width]``."""
        embedded: Tensor = self.dropout(self.norm(self.subwords(subwords) + self.word_shape_ids(word_shape_ids)))
        return embedded

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Maximum plus mean over real positions: the strongest value of each feature, and the average one."""
        highest = hidden.masked_fill(~mask.unsqueeze(-1), float("-inf")).amax(1)
        return highest.masked_fill(highest.isinf(), 0.0) + mean_pool(hidden, mask)

    @property
    def embedding(self) -> nn.Embedding:
        """The embedding of the subwords."""
        return self.subwords

    def layers(self) -> Layers:
        """The embeddings, then each block."""
        bottom = [*self.subwords.parameters(), *self.word_shape_ids.parameters(), *self.norm.parameters()]
        return [bottom, *(list(block.parameters()) for block in self.blocks)]
