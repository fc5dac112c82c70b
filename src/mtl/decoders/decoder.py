"""A transformer decoder with cross-attention on the encoder's hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mtl.decoders.vocabulary import TargetVocabulary
from mtl.encoders.cheap import make_cheap

IGNORED = -100
"""Target of a position without a subword."""

KeysValues = tuple[Tensor, Tensor]
"""Of an attention layer, each ``[rows, heads, positions, width of a head]``."""


@dataclass(slots=True)
class Cache:
    """What decoding keeps from position to position."""

    own: list[KeysValues]
    """By layer, of the positions so far of each beam, ``[rows × beams, …]``."""
    source: list[KeysValues]
    """By layer, of the source, ``[rows, …]``."""
    mask: Tensor
    """Bool ``[rows, 1, 1, source positions]``."""

    @property
    def length(self) -> int:
        """Positions so far."""
        return int(self.own[0][0].shape[2])

    def select(self, beams: Tensor) -> None:
        """Continue from these beams, int64 ``[rows × beams]``."""
        self.own = [(keys.index_select(0, beams), values.index_select(0, beams)) for keys, values in self.own]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows of the source but these, int64 ``[n]``."""
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

    def forward(
        self, hidden: Tensor, texts: Layout, rows: Layout, source: KeysValues, mask: Tensor, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """Hidden states, and keys and values of all positions so far.

        Args:
            hidden: ``[packed, width]``.
            texts: positions by text; one position each if there is a past.
            rows: positions by row of the source. The beams of a row attend to the same source, as so many queries.
            source: keys and values of the encoder's states, ``[rows, …]``.
            mask: see ``Cache``.
            past: keys and values of the positions before.
        """
        query, keys, values = (self._split(texts.spread(part)) for part in self.own(self.norms[0](hidden)).chunk(3, dim=-1))
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        attended = nn.functional.scaled_dot_product_attention(query, keys, values, is_causal=past is None and texts.length > 1)
        hidden = hidden + self.dropout(self.own_out(texts.pack(self._join(attended))))
        query = self._split(rows.spread(self.query(self.norms[1](hidden))))
        attended = nn.functional.scaled_dot_product_attention(query, *source, attn_mask=mask)
        hidden = hidden + self.dropout(self.source_out(rows.pack(self._join(attended))))
        hidden = hidden + self.dropout(self.down(nn.functional.gelu(self.up(self.norms[2](hidden)))))
        return hidden, (keys, values)

    def of_source(self, states: Tensor) -> KeysValues:
        """Keys and values of the encoder's states ``[rows, positions, encoder width]``."""
        keys, values = map(self._split, self.source(states).chunk(2, dim=-1))
        return keys, values

    def _split(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:-1], self.heads, -1).transpose(1, 2)

    @staticmethod
    def _join(states: Tensor) -> Tensor:
        return states.transpose(1, 2).flatten(2)


class Decoder(nn.Module):
    """Writes a text, subword by subword. Its output layer is the embedding of its subwords (Press & Wolf 2017)."""

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
        self.vocabulary = vocabulary
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
        self.dropout = nn.Dropout(dropout)
        make_cheap(self)

    def config(self) -> dict[str, Any]:
        """All that ``restore`` needs, JSON-able."""
        return {**self._config, "vocabulary": self.vocabulary.dump()}

    def loss_sum(self, start: Tensor, targets: Tensor, states: Tensor, mask: Tensor, label_smoothing: float) -> Tensor:
        """The summed cross-entropy (nats) of all target subwords, each predicted from those before it.

        Args:
            start: what stands before the first subword, ``[width]``; says which task writes.
            targets: int64 ``[rows, subwords]``, ``IGNORED`` after the end.
            states: of the encoder, ``[rows, positions, encoder width]``.
            mask: bool ``[rows, positions]``, true on real subwords.
            label_smoothing: share of the target probability that is spread over all subwords.
        """
        count, length = targets.shape
        places = torch.nonzero((targets != IGNORED).flatten()).flatten()
        layout = Layout(count, length, places)
        before = torch.cat([start.expand(count, 1, -1), self.subwords(targets[:, :-1].clamp(min=0))], dim=1)
        hidden = self.dropout(layout.pack(before + self.places.weight[:length]))
        states = self.source_norm(states)
        for layer in self._layers:
            hidden, _ = layer(hidden, layout, layout, layer.of_source(states), mask[:, None, None])
        logits, wanted = self._logits(self.norm(hidden)).float(), targets.flatten().index_select(0, places)
        return nn.functional.cross_entropy(logits, wanted, label_smoothing=label_smoothing, reduction="sum")

    def begin(self, start: Tensor, states: Tensor, mask: Tensor, beams: int) -> tuple[Tensor, Cache]:
        """The logits of the first subword, ``[rows × beams, vocabulary]``, and a cache for ``step``; arguments as for ``loss_sum``."""
        states = self.source_norm(states)
        cache = Cache([], [layer.of_source(states) for layer in self._layers], mask[:, None, None])
        return self._advance(start.expand(len(states) * beams, -1), cache, first=True), cache

    def step(self, subwords: Tensor, cache: Cache) -> Tensor:
        """The logits of the next subword, ``[rows × beams, vocabulary]``, after these, int64 ``[rows × beams]``."""
        return self._advance(self.subwords(subwords), cache, first=False)

    def _advance(self, embedded: Tensor, cache: Cache, *, first: bool) -> Tensor:
        hidden = embedded + self.places.weight[0 if first else cache.length]
        texts, rows = Layout(len(hidden), 1), Layout(len(cache.mask), len(hidden) // len(cache.mask))
        own = []
        for i, layer in enumerate(self._layers):
            hidden, kept = layer(hidden, texts, rows, cache.source[i], cache.mask, None if first else cache.own[i])
            own.append(kept)
        cache.own = own
        return self._logits(self.norm(hidden))

    @property
    def _layers(self) -> Sequence[Any]:
        return list(self.layers)

    def _logits(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden, self.subwords.weight)
