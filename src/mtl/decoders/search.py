"""Greedy and beam search for the text that a decoder finds most probable."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl.decoders.base import Decoder

NONE = -1
"""In place of a subword after the end of a text."""
BLOCK = 64
"""Subwords of which the maximum is looked at first."""
BROKEN = -1e4
"""Log-probability where logits are not numbers."""


@dataclass(frozen=True, slots=True)
class Search:
    """How to look for a text."""

    beams: int = 1
    """Texts that are followed at once; one is greedy search."""
    length_penalty: float = 1.0
    """Log-probabilities are divided by the number of subwords to this power: more favours longer texts."""
    no_repeat: int = 0
    """No sequence of that many subwords occurs twice in a text; 0 for no such rule."""


def generate(decoder: Decoder, start: Tensor, states: Tensor, mask: Tensor, search: Search) -> Tensor:
    """The best text of each row.

    Rows whose text cannot get better leave the batch. A text ends at ``decoder.max_length`` subwords even if its end was not predicted.

    Args:
        decoder: in evaluation mode.
        start, states, mask: see ``Decoder.loss_sum``.
        search: how to look.

    Returns:
        Float32 ``[rows, 1 + decoder.max_length]``: the mean log-probability of the subwords, then the subwords, ``NONE`` after the end.
    """
    rows = len(states)
    result = torch.full((rows, 1 + decoder.max_length), float(NONE), device=states.device)
    if not rows:
        return result
    beams = _Beams(rows, decoder, search, states.device)
    logits, cache = decoder.begin(start, states, mask, search.beams)
    while True:
        order, kept = beams.extend(logits), None
        if not bool((open_ := beams.open()).all()):
            closed = torch.nonzero(~open_).flatten()
            result[beams.rows[closed]] = beams.best(closed)
            kept = torch.nonzero(open_).flatten()
            if not len(kept):
                return result
            order = order[kept]
            beams.keep(kept)
        cache.select(order.flatten(), kept)
        logits = decoder.step(beams.last(), cache)


class _Beams:
    """The open and the ended texts of rows. Scores of ended ones are log-probabilities over a power of the length."""

    def __init__(self, rows: int, decoder: Decoder, search: Search, device: torch.device) -> None:
        self.search, self.max_length, beams = search, decoder.max_length, search.beams
        self.end, self.suppressed = decoder.vocabulary.end, decoder.suppressed
        self.rows = torch.arange(rows, device=device)
        self.sums = torch.full((rows, beams), -math.inf, device=device)
        self.sums[:, 0] = 0.0  # all beams are equal at first, so only one counts
        self.texts = torch.zeros((rows, beams, 0), dtype=torch.int64, device=device)
        self.scores = torch.full((rows, beams), -math.inf, device=device)
        self.ended = torch.full((rows, beams, self.max_length), NONE, dtype=torch.int64, device=device)

    @property
    def length(self) -> int:
        """Subwords of the open texts."""
        return int(self.texts.shape[2])

    def extend(self, logits: Tensor) -> Tensor:
        """Add the best subwords ``[rows × beams, vocabulary]``; returns the places of the texts gone on with, ``[rows, beams]``.

        Of twice as many candidates as there are beams, at least half do not end; only those among the better half may end.
        """
        rows, beams = self.sums.shape
        wanted = min(2 * beams if beams > 1 else 1, logits.shape[1])
        found, ids = _highest(self._allowed(logits.float()), wanted)  # before the sums: less to compute than on all subwords
        scores = (found - logits.float().logsumexp(1, keepdim=True)).nan_to_num(nan=BROKEN, neginf=-math.inf)
        sums, places = (self.sums.unsqueeze(2) + scores.view(rows, beams, wanted)).flatten(1).topk(wanted)
        source, subwords = places // wanted, ids.view(rows, -1).gather(1, places)
        texts = torch.cat([_pick(self.texts, source), subwords.unsqueeze(2)], dim=2)
        ends = subwords == self.end
        self._end(texts[:, :beams], sums[:, :beams], ends[:, :beams] | (texts.shape[2] == self.max_length))
        self.sums, chosen = sums.masked_fill(ends, -math.inf).topk(beams)
        self.texts = _pick(texts, chosen)
        return source.gather(1, chosen) + beams * torch.arange(rows, device=sums.device).unsqueeze(1)

    def _end(self, texts: Tensor, sums: Tensor, ends: Tensor) -> None:
        """Keep the best of the ended texts and of those that end now."""
        length = texts.shape[2]
        scores = (sums / length**self.search.length_penalty).masked_fill(~ends, -math.inf)
        padded = torch.nn.functional.pad(texts, (0, self.max_length - length), value=NONE)
        self.scores, chosen = torch.cat([self.scores, scores], dim=1).topk(self.sums.shape[1])
        self.ended = _pick(torch.cat([self.ended, padded], dim=1), chosen)

    def _allowed(self, scores: Tensor) -> Tensor:
        """Logits ``[rows × beams, vocabulary]`` without suppressed subwords, and those that would repeat ``no_repeat`` ones."""
        size = self.search.no_repeat
        if self.suppressed is not None:
            scores = scores.masked_fill(self.suppressed, -math.inf)
        if not size or self.length < size:
            return scores
        texts = self.texts.flatten(0, 1)
        windows = texts.unfold(1, size, 1)
        repeats = (windows[:, :, :-1] == texts[:, self.length - size + 1 :].unsqueeze(1)).all(2)
        forbidden = torch.zeros_like(scores, dtype=torch.int32).scatter_add_(1, windows[:, :, -1], repeats.int()) > 0
        forbidden[:, self.end] = False
        return scores.masked_fill(forbidden, -math.inf)

    def open(self) -> Tensor:
        """Whether the text of a row may still get better, bool ``[rows]``."""
        if self.length == self.max_length:
            return torch.zeros_like(self.rows, dtype=torch.bool)
        hopes: Tensor = self.sums[:, 0] / self.length**self.search.length_penalty
        return hopes > self.scores[:, -1]

    def best(self, rows: Tensor) -> Tensor:
        """Mean log-probability and subwords of the best ended text of these rows, float32 ``[n, 1 + max_length]``."""
        texts = self.ended[rows, 0]
        lengths = (texts != NONE).sum(1, keepdim=True).float()
        means = self.scores[rows, :1] * lengths ** (self.search.length_penalty - 1)
        return torch.cat([means, texts.float()], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        for name in ("rows", "sums", "texts", "scores", "ended"):
            setattr(self, name, getattr(self, name)[rows])

    def last(self) -> Tensor:
        """The last subword of each open text, ``[rows × beams]``."""
        return self.texts[:, :, -1].flatten()


def _pick(texts: Tensor, places: Tensor) -> Tensor:
    """Texts ``[rows, n, subwords]`` at places ``[rows, k]``."""
    return texts.gather(1, places.unsqueeze(2).expand(-1, -1, texts.shape[2]))


def _highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``scores.topk(count)`` of ``[n, vocabulary]`` in less time on a CPU: the highest are in the blocks of the highest maxima."""
    rows, size = scores.shape
    blocks = size // BLOCK
    if blocks <= count:
        return scores.topk(count)
    parts, rest = scores[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK)), torch.arange(blocks * BLOCK, size, device=scores.device)
    chosen = parts.amax(2).topk(count).indices
    ids = (chosen.unsqueeze(2) * BLOCK + torch.arange(BLOCK, device=scores.device)).flatten(1)
    ids = torch.cat([ids, rest.expand(rows, -1)], dim=1)
    found, places = scores.gather(1, ids).topk(count)
    return found, ids.gather(1, places)
