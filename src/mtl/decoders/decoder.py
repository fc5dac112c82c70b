"""A transformer decoder with cross-attention on the encoder's hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mtl.decoders.base import IGNORED, Decoder, Tied
from mtl.decoders.vocabulary import TargetVocabulary
from mtl.encoders.cheap import make_cheap

KeysValues = tuple[Tensor, Tensor]
"""Of an attention layer, each ``[rows, heads, positions, width of a head]``."""


PLACES = 16
"""Positions that a cache has room for at first."""


@dataclass(slots=True)
class Cache:
    """What decoding keeps from position to position.

    Keys and values stay where they were written. The beams of a row attend to those of all its beams, with a mask that leaves each the ones
    of its own text: to move them from beam to beam at each position would take longer.
    """

    beams: int
    source: list[KeysValues]
    """By layer, of the source, ``[rows, …]``."""
    mask: Tensor
    """Bool ``[rows, 1, 1, source positions]``."""
    seen: Tensor
    """Which places belong to the text of each beam, bool ``[rows, 1, beams, places]``. A position has a place for each beam."""
    own: list[Tensor]
    """By layer, keys and values of the places, ``[2, rows, heads, at least places, width of a head]``."""

    def open(self) -> int:
        """Add the places of a position; returns its number."""
        before = self.seen.shape[3]
        new = torch.eye(self.beams, dtype=torch.bool, device=self.seen.device).expand(len(self.seen), 1, -1, -1)
        self.seen = torch.cat([self.seen, new], dim=3)
        return before // self.beams

    def add(self, layer: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Those of all places, after those of the last position, ``[rows, heads, beams, …]``, have been written."""
        end = self.seen.shape[3]
        if layer == len(self.own):
            self.own.append(keys.new_empty(2, *keys.shape[:2], PLACES * self.beams, keys.shape[3]))
        if end > self.own[layer].shape[3]:
            self.own[layer] = torch.cat([self.own[layer], torch.empty_like(self.own[layer])], dim=3)
        every = self.own[layer]
        for kept, new in zip(every, (keys, values), strict=True):
            kept[:, :, end - self.beams : end] = new
        return every[0, :, :, :end], every[1, :, :, :end]

    def select(self, beams: Tensor, rows: Tensor | None) -> None:
        """See ``mtl.decoders.base.Cache``."""
        self.seen = self.seen.flatten(0, 2).index_select(0, beams).view(-1, 1, self.beams, self.seen.shape[3])
        if rows is not None:
            self.own = [every.index_select(1, rows) for every in self.own]
            self.source = [(keys.index_select(0, rows), values.index_select(0, rows)) for keys, values in self.source]
            self.mask = self.mask.index_select(0, rows)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where packed positions, ``[packed, width]``, stand in rows of one length. All but attention is computed on packed ones."""

    rows: int
    length: int
    places: Tensor | None = None
    """Of each packed position in the flat rows, int64 ``[packed]``; None if the rows have no padding."""

    def spread(self, packed: Tensor) -> Tensor:
        """``[rows, length, width]``, 0 at padding."""
        if self.places is not None:
            packed = packed.new_zeros(self.rows * self.length, packed.shape[1]).index_copy(0, self.places, packed)
        return packed.view(self.rows, self.length, -1)

    def pack(self, states: Tensor) -> Tensor:
        """``[packed, width]``."""
        flat = states.flatten(0, 1)
        return flat if self.places is None else flat.index_select(0, self.places)


class Layer(nn.Module):
    """Self-attention, cross-attention and a feed-forward network, each on normalised states (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, encoder_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.own_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query, self.source, self.source_out = nn.Linear(width, width), nn.Linear(encoder_width, 2 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, layout: Layout, source: KeysValues, mask: Tensor, cached: tuple[Cache, int] | None = None) -> Tensor:
        """Hidden states ``[packed, width]``.

        Args:
            hidden: ``[packed, width]``.
            layout: of the positions of each text; with a cache, of the beams of each row.
            source: keys and values of the encoder's states, ``[rows, …]``.
            mask: see ``Cache``.
            cached: what decoding keeps, and the number of this layer there; None if all positions of a text are here.
        """
        query, keys, values = (self._split(layout.spread(part)) for part in self.own(self.norms[0](hidden)).chunk(3, dim=-1))
        if cached is None:
            attended = nn.functional.scaled_dot_product_attention(query, keys, values, is_causal=True)
        else:
            cache, number = cached
            attended = nn.functional.scaled_dot_product_attention(query, *cache.add(number, keys, values), attn_mask=cache.seen)
        hidden = hidden + self.dropout(self.own_out(layout.pack(self._join(attended))))
        query = self._split(layout.spread(self.query(self.norms[1](hidden))))
        attended = nn.functional.scaled_dot_product_attention(query, *source, attn_mask=mask)
        hidden = hidden + self.dropout(self.source_out(layout.pack(self._join(attended))))
        result: Tensor = hidden + self.dropout(self.down(nn.functional.gelu(self.up(self.norms[2](hidden)))))
        return result

    def of_source(self, states: Tensor) -> KeysValues:
        """Keys and values of the encoder's states ``[rows, positions, encoder width]``."""
        keys, values = map(self._split, self.source(states).chunk(2, dim=-1))
        return keys, values

    def _split(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:-1], self.heads, -1).transpose(1, 2)

    @staticmethod
    def _join(states: Tensor) -> Tensor:
        return states.transpose(1, 2).flatten(2)


class TransformerDecoder(Decoder):
    """A decoder trained from scratch. Its output layer is the embedding of its subwords."""

    def __init__(
        self,
        vocabulary: TargetVocabulary,
        encoder_width: int,
        *,
        layers: int,
        width: int,
        heads: int,
        max_length: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.vocabulary: TargetVocabulary = vocabulary
        self.width, self.max_length = width, max_length
        self._config: dict[str, Any] = {"encoder_width": encoder_width, "layers": layers, "width": width, "heads": heads}
        self._config |= {"max_length": max_length, "dropout": dropout}
        self.subwords = nn.Embedding(vocabulary.size, width)
        self.places = nn.Embedding(max_length, width)
        for embedding in (self.subwords, self.places):
            nn.init.normal_(embedding.weight, std=0.02)  # so that the first predictions are about uniform
        self.source_norm = nn.LayerNorm(encoder_width)
        self.layers = nn.ModuleList(Layer(width, heads, encoder_width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = Tied(self.subwords, vocabulary.size)
        self.dropout = nn.Dropout(dropout)
        make_cheap(self)

    def config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**self._config, "vocabulary": self.vocabulary.dump()}

    def loss_sum(self, start: Tensor, targets: Tensor, states: Tensor, mask: Tensor, label_smoothing: float) -> Tensor:
        """See ``Decoder.loss_sum``. Padding of targets is not computed."""
        count, length = targets.shape
        places = torch.nonzero((targets != IGNORED).flatten()).flatten()
        layout = Layout(count, length, places)
        before = torch.cat([start.expand(count, 1, -1), self.subwords(targets[:, :-1].clamp(min=0))], dim=1)
        hidden = self.dropout(layout.pack(before + self.places.weight[:length]))
        states = self.source_norm(states)
        for layer in self._layers:
            hidden = layer(hidden, layout, layer.of_source(states), mask[:, None, None])
        logits, wanted = self.output(self.norm(hidden)).float(), targets.flatten().index_select(0, places)
        return nn.functional.cross_entropy(logits, wanted, label_smoothing=label_smoothing, reduction="sum")

    def begin(self, start: Tensor, states: Tensor, mask: Tensor, beams: int) -> tuple[Tensor, Cache]:
        """See ``Decoder.begin``."""
        states, rows = self.source_norm(states), len(states)
        seen = torch.empty(rows, 1, beams, 0, dtype=torch.bool, device=states.device)
        cache = Cache(beams, [layer.of_source(states) for layer in self._layers], mask[:, None, None], seen, [])
        return self._advance(start.expand(rows * beams, -1), cache), cache

    def step(self, subwords: Tensor, cache: Cache) -> Tensor:
        """See ``Decoder.step``."""
        return self._advance(self.subwords(subwords), cache)

    def _advance(self, embedded: Tensor, cache: Cache) -> Tensor:
        hidden = embedded + self.places.weight[cache.open()]
        layout = Layout(len(cache.mask), cache.beams)
        for number, layer in enumerate(self._layers):
            hidden = layer(hidden, layout, cache.source[number], cache.mask, (cache, number))
        logits: Tensor = self.output(self.norm(hidden))
        return logits

    @property
    def _layers(self) -> Sequence[Any]:
        return list(self.layers)
