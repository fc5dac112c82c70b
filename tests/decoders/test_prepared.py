"""Decoders prepared for prediction write what they wrote before."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mtl import decoders
from mtl.config import Decoder as Settings
from mtl.decoders import Decoder
from mtl.encoders import build, fused
from mtl.model.model import Model
from mtl.tasks.classification import Classification
from training.pairs import make, pair

pytestmark = pytest.mark.skipif(not fused.available(), reason="this machine's torch has no fused products")
BEAMS = 2


def decoder_of(kind: str, folder: Path) -> tuple[Decoder, Tensor, Tensor]:
    """A decoder, and states and mask of two rows."""
    if kind == "own":
        settings = Settings(layers=2, width=16, heads=2, vocabulary=300, max_length=8, dropout=0.0)
        decoder: Decoder = decoders.build(settings, ["Zwei Hunde spielen im Schnee ."] * 3, 12, seed=1)
        width = 12
    else:
        encoder, _ = build(pair(), make(kind, folder), [])
        decoder, width = encoder.decoder(), encoder.width
    mask = torch.arange(4) < torch.tensor([[4], [2]])
    return decoder.eval(), torch.randn(2, 4, width, generator=torch.Generator().manual_seed(1)), mask


def logits_of(decoder: Decoder, states: Tensor, mask: Tensor) -> Tensor:
    """Of the first, second and third subword."""
    with torch.inference_mode():
        start = torch.linspace(-1, 1, decoder.width)
        found, cache = decoder.begin(start, states, mask, BEAMS)
        every = [found]
        for _ in range(2):
            every.append(decoder.step(every[-1].argmax(1), cache))
    return torch.stack(every)


@pytest.mark.parametrize("kind", ["own", "bart", "marian", "t5", "mt5"])
def test_it_writes_the_same(kind: str, tmp_path: Path) -> None:
    decoder, states, mask = decoder_of(kind, tmp_path)
    expected, before = logits_of(decoder, states, mask), copy.deepcopy(decoder)
    decoder.fuse()
    assert not any(isinstance(module, torch.nn.Linear) for module in decoder.modules())
    torch.testing.assert_close(logits_of(decoder, states, mask), expected, rtol=1e-4, atol=1e-4)
    before.fuse(torch.bfloat16)
    found = logits_of(before, states, mask)[0]  # later subwords may be others
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected[0])
    torch.testing.assert_close(found, expected[0], rtol=0.1, atol=0.1 * float(expected[0].std()))


def test_layers_that_inherit_stay_as_they_are(tmp_path: Path) -> None:
    class Doubled(torch.nn.Linear):
        def forward(self, states: Tensor) -> Tensor:
            return 2 * super().forward(states)

    decoder, states, mask = decoder_of("own", tmp_path)
    next(module for module in decoder.modules() if isinstance(module, torch.nn.Linear)).__class__ = Doubled
    expected = logits_of(decoder, states, mask)
    decoder.fuse()
    assert sum(isinstance(module, Doubled) for module in decoder.modules()) == 1
    assert any(isinstance(module, fused.FixedLinear) for module in decoder.modules())
    torch.testing.assert_close(logits_of(decoder, states, mask), expected, rtol=1e-4, atol=1e-4)


def test_a_model_that_cannot_be_prepared_for_int8_stays_as_it_was(tmp_path: Path) -> None:
    encoder, tokenizer = build(pair(), make("marian", tmp_path), [])
    tasks = {"mood": Classification(Classification.fit(["good", "bad"]))}
    model = Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0, decoder=encoder.decoder()).eval()
    assert not model.fuse(torch.int8)
    assert not any(isinstance(module, fused.FixedLinear) for module in model.modules())
    model.fuse()
    assert any(isinstance(module, fused.FixedLinear) for module in model.modules())


def test_it_is_for_good(tmp_path: Path) -> None:
    decoder, *_ = decoder_of("own", tmp_path)
    decoder.fuse()
    prepared = list(decoder.modules())
    decoder.fuse()
    assert list(decoder.modules()) == prepared
    with pytest.raises(TypeError, match="cannot be trained"):
        decoder.train()
    with pytest.raises(TypeError, match="cannot be saved"):
        decoder.state_dict()
