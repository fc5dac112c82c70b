"""Layers that tasks have of their own: copies of the topmost ones, on the states of the shared ones below."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl import encoders
from mtl.config import TransformerEncoder as Settings
from mtl.encoders import fused
from mtl.encoders.transformer import PACKING, TransformerEncoder
from mtl.errors import EncoderError

from .test_packing import encoder_of, inputs, needs_fused, segments, selected_of

TASKS = ("names", "mood")
Pass = Callable[[TransformerEncoder], dict[str, Tensor]]


def branched(kind: str, count: int) -> TransformerEncoder:
    """An encoder whose tasks' own layers are no longer alike."""
    encoder = encoder_of(kind)
    encoder.task_layers = count
    encoder.branch(TASKS)
    generator = torch.Generator().manual_seed(4)
    for parameter in encoder.own("mood"):
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return encoder


def by_task(encoder: TransformerEncoder, rows: dict[str, Tensor] | None = None, pairs: bool = False) -> dict[str, Tensor]:
    subwords, mask, word_shape_ids = inputs()
    selected = {"names": selected_of("some", mask), "mood": selected_of("the first of some rows", mask)}
    assert all(positions is not None for positions in selected.values())
    found = encoder.by_task(subwords, mask, word_shape_ids, selected, rows or {}, segments(mask) if pairs else None)  # type: ignore[arg-type]
    return {task: found[task][selected[task]] for task in TASKS}  # type: ignore[index]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", sorted(PACKING - {"albert"}))
def test_each_task_gets_what_a_model_with_its_layers_gives(kind: str, count: int) -> None:
    encoder, (subwords, mask, word_shape_ids) = branched(kind, count), inputs()
    found = by_task(encoder)
    for task in TASKS:
        whole = encoder_of(kind)
        stack: Any = whole._stack()
        for place, layer in enumerate(encoder._branches[0].copies[task]):
            stack[len(stack) - count + place].load_state_dict(layer.state_dict())
        selected = selected_of("some" if task == "names" else "the first of some rows", mask)
        torch.testing.assert_close(found[task], whole(subwords, mask, word_shape_ids)[selected], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", sorted(PACKING - {"albert"}))
def test_packed_is_padded_and_so_are_some_rows(kind: str, count: int, pairs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, found = branched(kind, count), []
    _, mask, _ = inputs()
    some = {"mood": torch.arange(0, len(mask), 2)}
    for packs, rows in ((True, {}), (False, {}), (False, some)):
        monkeypatch.setattr(TransformerEncoder, "packs", lambda self, device, packs=packs: packs)
        encoder.zero_grad()
        states = by_task(encoder, rows, pairs)
        assert encoder.model.config._attn_implementation == ("packed" if packs else "sdpa")  # type: ignore[union-attr]
        loss = sum((states[task].square() * torch.linspace(0, 1, 16)).sum() for task in TASKS)
        loss.backward()  # type: ignore[union-attr]
        found.append([*states.values(), *(parameter.grad for parameter in encoder.parameters())])
    for packed, padded, part in zip(*found, strict=True):
        torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(part, padded, rtol=1e-4, atol=1e-5)


def test_a_task_s_own_layers_learn_from_it_only_and_cost_no_more() -> None:
    encoder = branched("bert", 1)
    computed: list[int] = []
    for task in TASKS:
        layer: Any = encoder._branches[0].copies[task][-1]
        layer.intermediate.register_forward_hook(lambda module, states, result: computed.append(result.shape[1]))
    found = by_task(encoder)
    assert computed == [len(states) for states in found.values()]
    found["mood"].square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.own("mood"))
    assert all(parameter.grad is None for parameter in encoder.own("names"))
    assert not {*map(id, encoder.own("mood"))} & {*map(id, encoder.own("names"))}
    assert encoder.own("names")[0].shape == encoder.own("mood")[0].shape


@pytest.mark.parametrize("count", [1, 2])
def test_only_rows_that_a_task_selects_go_through_its_layers(count: int) -> None:
    encoder, (subwords, mask, word_shape_ids) = branched("bert", count), inputs()
    rows, computed = torch.arange(len(mask)) % 3 == 1, dict[str, list[int]](names=[], mood=[])
    for task, made in computed.items():
        layer: Any = encoder._branches[0].copies[task][0]
        layer.attention.self.key.register_forward_hook(lambda module, states, result, made=made: made.append(result.shape[-2]))
    selected = {"names": mask & rows[:, None], "mood": torch.zeros_like(mask)}
    found = encoder.by_task(subwords, mask, word_shape_ids, selected, {})
    assert computed == {"names": [int(mask[rows].sum())], "mood": []}
    assert torch.equal(found["names"].any(-1), selected["names"])
    assert not found["mood"].any()
    assert all(not states.any() for states in encoder.by_task(subwords, mask & False, word_shape_ids, selected, {}).values())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_every_parameter_is_in_one_group_and_copies_are_in_that_of_their_layer(count: int) -> None:
    encoder = branched("bert", count)
    groups = encoder.layers()
    assert sorted(id(p) for group in groups for p in group) == sorted(map(id, encoder.parameters()))
    assert [len(group) for group in groups[1:]] == [16 * (1 if place < 2 - count else 2) for place in range(2)]


@needs_fused
@pytest.mark.parametrize("count", [1, 2])
def test_fused_is_the_same(count: int) -> None:
    encoder = branched("bert", count).eval()
    same = copy.deepcopy(encoder)
    same.fuse()
    same.fuse()
    assert sum(isinstance(module, fused.FusedLayer) for module in same.modules()) == 2 + count
    with torch.inference_mode():
        expected, found = by_task(encoder), by_task(same)
    for task in TASKS:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-4, atol=1e-5)


def test_more_layers_than_there_are_is_an_error(tiny_bert: Path) -> None:
    settings = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "task_layers": 3}
    with pytest.raises(EncoderError, match=r"task_layers is 3, but the model has 2 layers"):
        encoders.build(Settings.model_validate(settings), tiny_bert, [])


def test_a_kind_that_cannot_have_them_is_an_error() -> None:
    encoder = encoder_of("albert")
    encoder.task_layers = 1
    with pytest.raises(EncoderError, match="a model of type albert cannot have; choose 0, or a model of type bert"):
        encoder._check_task_layers(Path("here"))
