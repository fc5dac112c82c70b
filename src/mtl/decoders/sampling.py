"""Texts that are drawn at random. A source text always gets the same one, whatever else is in its batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl.decoders.base import Decoder
from mtl.decoders.search import NONE


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw subwords."""

    temperature: float = 1.0
    """Logits are divided by it: below 1, probable subwords are drawn more often."""
    top_p: float = 1.0
    """Only the most probable subwords are drawn, as many as have this probability together (Holtzman et al. 2020)."""


def sample(decoder: Decoder, start: Tensor, states: Tensor, mask: Tensor, sampling: Sampling, seeds: Sequence[int]) -> Tensor:
    """A text for each row; arguments and result as for ``mtl.decoders.generate``.

    Args:
        seeds: of each row, 64 bits.
    """
    result = torch.full((len(states), 1 + decoder.max_length), float(NONE), device=states.device)
    if not len(states):
        return result
    draws, rows = _draws(seeds, decoder.max_length).to(states.device), torch.arange(len(states), device=states.device)
    sums = torch.zeros(len(states), device=states.device)
    logits, cache = decoder.begin(start, states, mask, 1)
    for position in range(decoder.max_length):
        scores = logits.float().nan_to_num(nan=0.0)
        allowed = scores if decoder.suppressed is None else scores.masked_fill(decoder.suppressed, -torch.inf)
        subwords = _drawn(allowed / sampling.temperature, sampling.top_p, draws[rows, position])
        sums = sums + scores.log_softmax(1).gather(1, subwords[:, None]).squeeze(1)
        result[rows, 1 + position], result[rows, 0] = subwords.float(), sums / (position + 1)
        kept = torch.nonzero(subwords != decoder.vocabulary.end).flatten()
        if not len(kept) or position + 1 == decoder.max_length:
            break
        cache.select(kept, kept if len(kept) < len(rows) else None)
        rows, sums = rows[kept], sums[kept]
        logits = decoder.step(subwords[kept], cache)
    return result


def _draws(seeds: Sequence[int], count: int) -> Tensor:
    """Uniform numbers in [0, 1), ``[rows, count]``."""
    return torch.stack([torch.rand(count, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def _drawn(logits: Tensor, top_p: float, draws: Tensor) -> Tensor:
    """A subword for each row ``[rows, vocabulary]``, by inversion of the cumulative probabilities; int64 ``[rows]``."""
    probabilities, subwords = logits.softmax(1).sort(dim=1, descending=True, stable=True)
    before = probabilities.cumsum(1) - probabilities
    cumulative = probabilities.masked_fill(before >= top_p, 0.0).cumsum(1)
    place = (cumulative <= draws[:, None] * cumulative[:, -1:]).sum(1).clamp(max=logits.shape[1] - 1)
    return subwords.gather(1, place[:, None]).squeeze(1)
