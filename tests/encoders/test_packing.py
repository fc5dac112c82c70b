"""Without padding the results are the same: hidden states, gradients, and no text sees another. So they are of fused layers."""

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from mtl.encoders import fused
from mtl.encoders.packing import Packed
from mtl.encoders.transformer import PACKING, TransformerEncoder

LENGTHS = [7, 3, 3, 1, 12, 12, 7]


def encoder_of(kind: str, **more: Any) -> TransformerEncoder:
    config = AutoConfig.for_model(
        kind, vocab_size=50, hidden_size=16, embedding_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=20, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more,
    )  # fmt: skip
    auto: Any = AutoModel
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = TransformerEncoder(auto.from_config(config, attn_implementation="sdpa"), word_shape=True)
        torch.nn.init.normal_(encoder.word_shape_ids.weight)  # type: ignore[union-attr]
        for name, parameter in encoder.named_parameters():
            if name.endswith("bias"):  # a new model's are 0
                torch.nn.init.normal_(parameter)
    return encoder


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return torch.randint(2, 50, mask.shape, generator=generator), mask, torch.randint(0, 13, mask.shape, generator=generator)


@pytest.mark.parametrize("kind", sorted(PACKING))
def test_packed_is_padded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of(kind), inputs()
    found = {}
    for packs in (True, False):
        monkeypatch.setattr(TransformerEncoder, "packs", lambda self, device, packs=packs: packs)
        encoder.zero_grad()
        hidden = encoder(subwords, mask, word_shape_ids)
        assert encoder.model.config._attn_implementation == ("packed" if packs else "sdpa")
        (hidden[mask].square() * torch.linspace(0, 1, 16)).sum().backward()
        found[packs] = [hidden[mask].detach(), *(parameter.grad for parameter in encoder.parameters())]
    for packed, padded in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-5)


def selected_of(name: str, mask: Tensor) -> Tensor | None:
    place, row = torch.arange(mask.shape[1]), torch.arange(len(mask))[:, None]
    by_name: dict[str, Tensor | None] = {
        "all": None,
        "some": mask & (torch.rand(mask.shape, generator=torch.Generator().manual_seed(2)) < 0.4),
        "none": torch.zeros_like(mask),
        "the first of a row": mask & (place == 0),
        "the last of a row": place == mask.sum(1, keepdim=True) - 1,
        "as many as rows": (place < len(mask)) & (row == 0),
        "the first of a row, all of others, none of some": mask & ((place == 0) | (row % 3 == 1)) & (row % 3 != 2),
        "the first of some rows": mask & (place == 0) & (row % 2 == 0),
    }
    return by_name[name]


def segments(mask: Tensor) -> Tensor:
    """Some rows of one field, others of two of unlike length."""
    begin = torch.tensor([LENGTHS[0], 1, LENGTHS[2], LENGTHS[3], 5, 11, 6])
    return (torch.arange(mask.shape[1]) >= begin[:, None]).long() * mask


SELECTIONS = (
    "all", "some", "none", "the first of a row", "the last of a row", "as many as rows", "the first of a row, all of others, none of some",
    "the first of some rows",
)  # fmt: skip


TYPES = {kind: kind in {"albert", "bert", "electra", "ernie"} for kind in sorted(PACKING)}
"""Whether the models of a type embed which of two fields a subword is in, as they are published."""


def with_types(kind: str) -> TransformerEncoder:
    encoder = encoder_of(kind, type_vocab_size=1 + TYPES[kind])
    torch.nn.init.normal_(encoder.get_parameter(next(n for n, _ in encoder.named_parameters() if "token_type_embeddings" in n)))
    return encoder


@pytest.mark.parametrize("kind", TYPES)
def test_packed_is_padded_with_two_fields(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (subwords, mask, word_shape_ids) = with_types(kind), inputs()
    segment_ids, selected = segments(mask), selected_of("the first of a row, all of others, none of some", mask)
    assert selected is not None
    results = []
    for packs, positions in ((True, None), (True, selected), (False, None), (False, selected)):
        monkeypatch.setattr(TransformerEncoder, "packs", lambda self, device, packs=packs: packs)
        encoder.zero_grad()
        hidden = encoder(subwords, mask, word_shape_ids, positions, segment_ids)
        (hidden[selected].square() * torch.linspace(0, 1, 16)).sum().backward()
        results.append([hidden[selected].detach(), *(parameter.grad for parameter in encoder.parameters())])
    for one, *others in zip(*results, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    without = encoder(subwords, mask, word_shape_ids)
    assert (without[segment_ids == 1] - hidden[segment_ids == 1]).abs().max().item() > 1e-3 or not TYPES[kind]


@pytest.mark.parametrize("kind", TYPES)
def test_two_fields_are_those_of_the_library(kind: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = with_types(kind).eval(), inputs()
    segment_ids = segments(mask)
    torch.nn.init.zeros_(encoder.word_shape_ids.weight)  # type: ignore[union-attr]
    with torch.no_grad():
        hidden = encoder(subwords, mask, word_shape_ids, None, segment_ids)
        encoder.model.set_attn_implementation("sdpa")  # type: ignore[operator]
        ids = subwords.masked_fill(~mask, encoder.model.config.pad_token_id)  # type: ignore[union-attr]
        types = {"token_type_ids": segment_ids} if TYPES[kind] else {}
        expected = encoder.model(input_ids=ids, attention_mask=mask.long(), **types).last_hidden_state
    torch.testing.assert_close(hidden[mask], expected[mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TYPES)
def test_one_field_has_the_same_bits_beside_rows_of_two(kind: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = with_types(kind).eval(), inputs()
    with torch.no_grad():
        assert torch.equal(encoder(subwords, mask, word_shape_ids), encoder(subwords, mask, word_shape_ids, None, 0 * subwords))


@pytest.mark.parametrize("name", SELECTIONS[1:])
@pytest.mark.parametrize("kind", sorted(PACKING))
def test_selected_positions_do_not_change(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of(kind), inputs()
    selected = selected_of(name, mask)
    assert selected is not None
    found = {}
    for name, positions in (("some", selected), ("all", None)):
        encoder.zero_grad()
        hidden = encoder(subwords, mask, word_shape_ids, positions)
        (hidden[selected].square() * torch.linspace(0, 1, 16)).sum().backward()
        found[name] = [hidden[selected].detach(), *(parameter.grad for parameter in encoder.parameters())]
    for some, every in zip(found["some"], found["all"], strict=True):
        torch.testing.assert_close(some, every, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(TransformerEncoder, "packs", lambda self, device: False)
    torch.testing.assert_close(encoder(subwords, mask, word_shape_ids, selected)[selected], found["some"][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(PACKING - {"albert"}))
def test_the_last_layer_computes_what_is_asked(kind: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of(kind), inputs()
    selected = mask & (torch.arange(mask.shape[1]) < 2)
    computed: list[int] = []
    for layer in encoder._stack():
        layer.intermediate.register_forward_hook(lambda module, states, result: computed.append(result.shape[1]))  # type: ignore[operator, union-attr]
    hidden = encoder(subwords, mask, word_shape_ids, selected)
    assert computed == [sum(LENGTHS), int(selected.sum())]
    assert torch.equal(hidden.any(-1), selected)
    encoder(subwords, mask, word_shape_ids)
    assert computed[2:] == [sum(LENGTHS)] * 2
    assert not encoder(subwords, mask, word_shape_ids, torch.zeros_like(mask)).any()


@pytest.mark.parametrize("kind", sorted(PACKING - {"albert"}))
def test_for_one_position_a_row_the_last_layer_makes_neither_keys_nor_values(kind: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of(kind), inputs()
    selected = selected_of("the first of a row, all of others, none of some", mask)
    several = sum(length for row, length in enumerate(LENGTHS) if row % 3 == 1 and length > 1)
    attention: Any = encoder._stack()[-1].attention
    computed: dict[str, list[int]] = {"query": [], "key": [], "value": []}
    for name, made in computed.items():
        getattr(attention.self, name).register_forward_hook(lambda module, states, result, made=made: made.append(result.shape[-2]))
    encoder(subwords, mask, word_shape_ids, selected)
    assert computed == {"query": [3, several], "key": [several], "value": [several]}
    attention.self.dropout.p = 0.5
    encoder(subwords, mask, word_shape_ids, selected)
    assert computed["key"][1:] == [sum(LENGTHS)]


def test_a_row_without_subwords_is_passed_over() -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of("bert"), inputs()
    mask = mask & (torch.arange(len(mask)) != 3)[:, None]
    hidden = encoder(subwords, mask, word_shape_ids, selected_of("the first of a row", mask))
    assert hidden.any(-1).any(-1).tolist() == [length > 1 for length in LENGTHS]


def test_threads_ask_for_positions_of_their_own() -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of("bert").eval(), inputs()
    positions = [mask & (torch.arange(mask.shape[1]) < count) for count in range(1, 9)] * 10

    def nonzero(selected: Tensor) -> Tensor:
        with torch.inference_mode():
            return encoder(subwords, mask, word_shape_ids, selected).any(-1)

    with ThreadPoolExecutor(4) as pool:
        for selected, found in zip(positions, pool.map(nonzero, positions), strict=True):
            assert torch.equal(selected, found)


@pytest.mark.parametrize("kind", sorted(PACKING))
def test_no_text_sees_another(kind: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of(kind).eval(), inputs()
    assert encoder.packs(mask.device)
    before = encoder(subwords, mask, word_shape_ids)
    subwords[2] = (subwords[2] + 1).clamp(max=49)
    after = encoder(subwords, mask, word_shape_ids)
    changed = (before != after).any(-1).any(-1)
    assert changed.tolist() == [False, False, True, False, False, False, False]


needs_int8 = pytest.mark.skipif(not fused.available(torch.int8), reason="this CPU or torch has no 8-bit products")
needs_fused = pytest.mark.skipif(not fused.available(), reason="this machine's torch has no fused products")


@needs_fused
@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("kind", sorted(PACKING - {"albert"}))
def test_fused_is_the_same(kind: str, name: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of(kind).eval(), inputs()
    same, selected = copy.deepcopy(encoder), selected_of(name, mask)
    same.fuse()
    assert all(isinstance(layer, fused.FusedLayer) for layer in same._stack())
    for segment_ids in (None, segments(mask)):
        with torch.inference_mode():
            expected, found = (one(subwords, mask, word_shape_ids, selected, segment_ids) for one in (encoder, same))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@needs_fused
@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.int8, marks=needs_int8)])
@pytest.mark.parametrize("name", SELECTIONS)
def test_fused_in_fewer_bits_is_about_the_same_and_float32_outside_of_products(name: str, dtype: torch.dtype) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of("bert").eval(), inputs()
    same, selected = copy.deepcopy(encoder), selected_of(name, mask)
    assert same.fuse(dtype)
    with torch.inference_mode():
        expected, found = (one(subwords, mask, word_shape_ids, selected, None) for one in (encoder, same))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)
    assert name == "none" or not torch.equal(found, expected)


@needs_int8
def test_8_bits_hold_any_range_and_the_nearest_integers() -> None:
    linear = nn.Linear(64, 32)
    layer = fused.Int8Linear(linear)
    states = torch.linspace(-1, 3, 40 * 64).view(40, 64)
    rounded = layer.rounded(states)
    restored = (rounded.values.float() - rounded.zero) * rounded.scale
    assert (restored - states).abs().max() <= rounded.scale / 2 * 1.001
    for low in np.linspace(-255, 0, 1021).tolist():  # halves of steps too, which the integer of 0 is rounded up for
        rounded = layer.rounded(torch.tensor([[low, 0.0, 255 + low]]))
        assert rounded.values[0, 1] == rounded.zero
        assert rounded.values[0].tolist() == sorted(rounded.values[0].tolist())
    with torch.no_grad():
        torch.testing.assert_close(layer(states), linear(states), rtol=0.02, atol=0.02)
        for constant in (0.0, 2.0, -2.0):
            flat = torch.full((3, 64), constant)
            torch.testing.assert_close(layer(flat), linear(flat), rtol=0.02, atol=0.02)
    for value in (float("nan"), float("inf"), -1e30, 1e-42):
        states[0, 0] = value
        assert layer(states).isfinite().all()
    assert layer(states[:0]).shape == (0, 32)


@pytest.mark.parametrize("kind", ["albert", "distilbert"])
def test_other_kinds_stay_as_they_are(kind: str) -> None:
    encoder = encoder_of(kind)
    before = list(encoder.modules())
    assert not encoder.fuse()
    assert list(encoder.modules()) == before


@needs_fused
def test_fused_is_for_good() -> None:
    encoder = encoder_of("bert").eval()
    encoder.fuse()
    layers = list(encoder._stack())
    encoder.fuse()
    assert list(encoder._stack()) == layers
    with pytest.raises(TypeError, match="cannot be trained"):
        encoder.train()
    with pytest.raises(TypeError, match="cannot be saved"):
        encoder.state_dict()


@needs_fused
@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
def test_fused_has_the_activation_of_the_model(activation: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of("bert", hidden_act=activation).eval(), inputs()
    same = copy.deepcopy(encoder)
    same.fuse()
    assert {layer.up.activation for layer in same._stack()} == {"gelu" if activation == "gelu" else "none"}  # type: ignore[union-attr]
    with torch.inference_mode():
        torch.testing.assert_close(same(subwords, mask, word_shape_ids), encoder(subwords, mask, word_shape_ids), rtol=1e-4, atol=1e-5)


@needs_fused
def test_of_one_position_a_row_fused_makes_no_keys_in_the_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of("bert").eval(), inputs()
    encoder.fuse()
    computed: list[int] = []
    product = fused.FusedLinear.product

    def counted(self: fused.FusedLinear, rounded: fused.Inputs) -> Tensor:
        computed.append(len(rounded.values))
        return product(self, rounded)

    monkeypatch.setattr(fused.FusedLinear, "product", counted)
    with torch.inference_mode():
        encoder(subwords, mask, word_shape_ids, selected_of("the first of a row", mask))
    assert computed == [sum(LENGTHS)] * 4 + [len(LENGTHS)] * 2


def test_a_model_of_another_kind_is_padded() -> None:
    assert not encoder_of("distilbert").packs(torch.device("cpu"))
    assert not encoder_of("bert").packs(torch.device("cuda"))


def test_padding_is_zero_and_order_is_kept() -> None:
    _, mask, word_shape_ids = inputs()
    packed = Packed.of(mask)
    assert packed.runs == ((7, 1), (3, 2), (1, 1), (12, 2), (7, 1))
    assert torch.equal(packed.unpack(packed.pack(word_shape_ids)), word_shape_ids * mask)
    assert packed.positions.tolist() == [place for length in LENGTHS for place in range(length)]
