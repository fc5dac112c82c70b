"""The modules that prediction makes instead of transformers' compute the same."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import torch

from encoders.test_branches import TASKS, branched, by_task
from encoders.test_packing import SELECTIONS, encoder_of, inputs, needs_fused, segments, selected_of
from mtl.config import TransformerEncoder as Settings
from mtl.encoders import bert, build
from mtl.encoders.transformer import TransformerEncoder
from mtl.model import folder as models
from mtl.model.model import Model
from mtl.tasks.classification import Classification


def restored(encoder: TransformerEncoder, tasks: Iterable[str]) -> TransformerEncoder:
    same = TransformerEncoder.restore_to_fuse(encoder.config())
    same.branch(tasks)
    same.load_state_dict(encoder.state_dict())
    return same.eval()


@needs_fused
@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("kind", sorted(bert.TYPES))
def test_hidden_states_are_equal(kind: str, name: str) -> None:
    encoder, (subwords, mask, word_shape_ids) = encoder_of(kind, type_vocab_size=2, pad_token_id=1).eval(), inputs()
    same, selected = restored(encoder, []), selected_of(name, mask)
    assert isinstance(same.model, bert.Bert)
    assert same.positions == encoder.positions
    encoder.fuse(), same.fuse()
    for segment_ids in (None, segments(mask)):
        with torch.inference_mode():
            expected, found = (one(subwords, mask, word_shape_ids, selected, segment_ids) for one in (encoder, same))
        assert torch.equal(found, expected)


@needs_fused
@pytest.mark.parametrize("count", [1, 2])
def test_layers_of_tasks_are_equal(count: int) -> None:
    encoder = branched("bert", count).eval()
    same = restored(encoder, TASKS)
    assert isinstance(same.model, bert.Bert)
    encoder.fuse(), same.fuse()
    with torch.inference_mode():
        expected, found = by_task(encoder), by_task(same)
    assert all(torch.equal(found[task], expected[task]) for task in TASKS)


@pytest.mark.parametrize(("kind", "more"), [("bert", {"hidden_act": "relu"}), ("electra", {}), ("albert", {}), ("distilbert", {})])
def test_other_models_are_those_of_transformers(kind: str, more: dict[str, str]) -> None:
    encoder = encoder_of(kind, **more)
    assert type(restored(encoder, []).model) is type(encoder.model)


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 5},
        {"num_attention_heads": True},
        {"hidden_size": "24"},
        {"type_vocab_size": 0},
        {"layer_norm_eps": -1.0},
        {"pad_token_id": "1"},
        *({key: None} for key in (*bert.SIZES, "layer_norm_eps", "hidden_act")),
    ],
)
def test_odd_configurations_are_left_to_transformers(change: dict[str, Any]) -> None:
    config = encoder_of("roberta").config()["model"]
    assert bert.fits(config)
    assert not bert.fits({**config, **change})
    assert not bert.fits({key: value for key, value in config.items() if key not in change})


def test_encoders_that_inherit_are_restored_by_their_own_method() -> None:
    class Scaled(TransformerEncoder):
        scale = 1.0

        @classmethod
        def restore(cls, config: Mapping[str, Any]) -> Self:
            found = super().restore(config)
            found.scale = config["scale"]
            return found

    assert Scaled.restore_to_fuse({**encoder_of("bert").config(), "scale": 3.0}).scale == 3.0


@needs_fused
def test_prediction_does_without_transformers(tiny_bert: Path, tmp_path: Path) -> None:
    settings = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32}
    encoder, tokenizer = build(Settings.model_validate(settings), tiny_bert, [])
    tasks = {"mood": Classification(Classification.fit(["good", "bad"]))}
    models.save(Model(encoder, tokenizer, tasks, max_length=32, dropout=0.0), tmp_path, {})
    code = "import sys, mtl; mtl.load(sys.argv[1], device='cpu').predict(['a film']); print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True, text=True).stdout == "False\n"
