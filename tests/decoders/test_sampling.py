"""Texts drawn at random: by the probabilities, and the same in any batch."""

import pytest
import torch

from mtl.config import Decoder as Settings
from mtl.decoders import END, Decoder, Sampling, Search, build, generate, sample
from mtl.decoders.sampling import _drawn
from mtl.decoders.search import NONE


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = build(Settings(layers=1, width=16, heads=2, vocabulary=300, max_length=8, dropout=0.0), ["Hund"], 12, seed=1).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.3)
    return decoder


@torch.inference_mode()
def test_a_row_gets_the_same_text_in_any_batch(decoder: Decoder) -> None:
    generator = torch.Generator().manual_seed(1)
    start, states, mask = torch.randn(16, generator=generator), torch.randn(6, 3, 12, generator=generator), torch.ones(6, 3).bool()
    seeds = [11, 12, 13, 14, 15, 2**63 + 5]
    whole = sample(decoder, start, states, mask, Sampling(1.5, 0.9), seeds)
    for row, seed in enumerate(seeds):
        [alone] = sample(decoder, start, states[[row]], mask[[row]], Sampling(1.5, 0.9), [seed])
        assert alone[1:].tolist() == whole[row, 1:].tolist()
        text = [int(i) for i in alone[1:] if i != NONE]
        assert END not in text[:-1]
        assert float(alone[0]) * len(text) == pytest.approx(
            -float(decoder.loss_sum(start, torch.tensor([text]), states[[row]], mask[[row]], 0.0)), abs=1e-3
        )
    assert sample(decoder, start, states, mask, Sampling(1.5, 0.9), seeds[::-1])[:, 1:].tolist() != whole[:, 1:].tolist()
    cold, greedy = sample(decoder, start, states, mask, Sampling(1e-4), seeds), generate(decoder, start, states, mask, Search())
    assert cold[:, 1:].tolist() == greedy[:, 1:].tolist()
    assert sample(decoder, start, states[:0], mask[:0], Sampling(), []).shape == (0, 9)


def test_subwords_are_drawn_by_their_probabilities_within_top_p() -> None:
    probabilities, count = torch.tensor([0.1, 0.5, 0.15, 0.25]), 20_000
    draws = torch.rand(count, generator=torch.Generator().manual_seed(0))
    for top_p, expected in (
        (1.0, probabilities),
        (0.7, torch.tensor([0.0, 2 / 3, 0.0, 1 / 3])),
        (0.01, torch.tensor([0.0, 1.0, 0.0, 0.0])),
    ):
        found = _drawn(probabilities.log().expand(count, -1), top_p, draws)
        torch.testing.assert_close(torch.bincount(found, minlength=4) / count, expected, atol=0.015, rtol=0)
