"""Without padding the results are the same: hidden states, gradients, and no text sees another."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from mtl.encoders.packing import Packed
from mtl.encoders.transformer import PACKING, TransformerEncoder

LENGTHS = [7, 3, 3, 1, 12, 7]


def encoder_of(kind: str, **more: Any) -> TransformerEncoder:
    config = AutoConfig.for_model(
        kind, vocab_size=50, hidden_size=16, embedding_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=20, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more,
    )  # fmt: skip
    auto: Any = AutoModel
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = TransformerEncoder(auto.from_config(config, attn_implementation="sdpa"), word_shape=True)
        torch.nn.init.normal_(encoder.shapes.weight)  # type: ignore[union-attr]
    return encoder


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return torch.randint(2, 50, mask.shape, generator=generator), mask, torch.randint(0, 13, mask.shape, generator=generator)


@pytest.mark.parametrize("kind", sorted(PACKING))
def test_packed_is_padded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (pieces, mask, shapes) = encoder_of(kind), inputs()
    found = {}
    for packs in (True, False):
        monkeypatch.setattr(TransformerEncoder, "packs", lambda self, device, packs=packs: packs)
        encoder.zero_grad()
        hidden = encoder(pieces, mask, shapes)
        assert encoder.model.config._attn_implementation == ("packed" if packs else "sdpa")
        (hidden[mask].square() * torch.linspace(0, 1, 16)).sum().backward()
        found[packs] = [hidden[mask].detach(), *(parameter.grad for parameter in encoder.parameters())]
    for packed, padded in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(PACKING))
def test_what_is_asked_does_not_change(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (pieces, mask, shapes) = encoder_of(kind), inputs()
    asked = mask & (torch.rand(mask.shape, generator=torch.Generator().manual_seed(2)) < 0.4)
    found = {}
    for name, positions in (("some", asked), ("all", None)):
        encoder.zero_grad()
        hidden = encoder(pieces, mask, shapes, positions)
        (hidden[asked].square() * torch.linspace(0, 1, 16)).sum().backward()
        found[name] = [hidden[asked].detach(), *(parameter.grad for parameter in encoder.parameters())]
    for some, every in zip(found["some"], found["all"], strict=True):
        torch.testing.assert_close(some, every, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(TransformerEncoder, "packs", lambda self, device: False)
    torch.testing.assert_close(encoder(pieces, mask, shapes, asked)[asked], found["some"][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(PACKING - {"albert"}))
def test_the_last_layer_computes_what_is_asked(kind: str) -> None:
    encoder, (pieces, mask, shapes) = encoder_of(kind), inputs()
    asked = mask & (torch.arange(mask.shape[1]) < 2)
    computed: list[int] = []
    for layer in encoder._stack():
        layer.intermediate.register_forward_hook(lambda module, states, result: computed.append(result.shape[1]))  # type: ignore[operator, union-attr]
    hidden = encoder(pieces, mask, shapes, asked)
    assert computed == [sum(LENGTHS), int(asked.sum())]
    assert torch.equal(hidden.any(-1), asked)
    encoder(pieces, mask, shapes)
    assert computed[2:] == [sum(LENGTHS)] * 2
    assert not encoder(pieces, mask, shapes, torch.zeros_like(mask)).any()


def test_threads_ask_for_positions_of_their_own() -> None:
    encoder, (pieces, mask, shapes) = encoder_of("bert").eval(), inputs()
    positions = [mask & (torch.arange(mask.shape[1]) < count) for count in range(1, 9)] * 10

    def nonzero(asked: Tensor) -> Tensor:
        with torch.inference_mode():
            return encoder(pieces, mask, shapes, asked).any(-1)

    with ThreadPoolExecutor(4) as pool:
        for asked, found in zip(positions, pool.map(nonzero, positions), strict=True):
            assert torch.equal(asked, found)


@pytest.mark.parametrize("kind", sorted(PACKING))
def test_no_text_sees_another(kind: str) -> None:
    encoder, (pieces, mask, shapes) = encoder_of(kind).eval(), inputs()
    assert encoder.packs(mask.device)
    before = encoder(pieces, mask, shapes)
    pieces[2] = (pieces[2] + 1).clamp(max=49)
    after = encoder(pieces, mask, shapes)
    changed = (before != after).any(-1).any(-1)
    assert changed.tolist() == [False, False, True, False, False, False]


def test_a_model_of_another_kind_is_padded() -> None:
    assert not encoder_of("distilbert").packs(torch.device("cpu"))
    assert not encoder_of("bert").packs(torch.device("cuda"))


def test_padding_is_zero_and_order_is_kept() -> None:
    _, mask, shapes = inputs()
    packed = Packed.of(mask)
    assert packed.runs == ((7, 1), (3, 2), (1, 1), (12, 1), (7, 1))
    assert torch.equal(packed.unpack(packed.pack(shapes)), shapes * mask)
    assert packed.positions.tolist() == [place for length in LENGTHS for place in range(length)]
