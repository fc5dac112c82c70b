"""Each optimiser makes the steps of its formula; layers learn at their own rate, or not at all."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from mtl import config, encoders
from mtl.config import Train
from mtl.encoders import Encoder
from mtl.encoders.base import EncoderOutput
from mtl.errors import UnfitError
from mtl.model.model import Model
from mtl.tasks.classification import Classification
from mtl.training import optimizers

ROWS = [["The", "quick", "brown", "fox"], ["Angela", "Merkel", "visited", "Paris"], []]
ENCODERS: dict[str, dict[str, Any]] = {
    "transformer": {"type": "transformer", "source": {"url": "unused"}},
    "fnn": {"type": "fnn", "width": 8, "layers": 2, "vocabulary": 300},
    "cnn": {"type": "cnn", "width": 8, "layers": 2, "vocabulary": 300},
    "rnn": {"type": "rnn", "width": 8, "layers": 2, "vocabulary": 300},
}


@pytest.fixture
def make_model(tiny_bert: Path) -> Callable[[str], Model]:
    """Makes a model with one head on an encoder of the type."""

    def make(kind: str) -> Model:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            settings: Any = TypeAdapter(config.Encoder).validate_python({"max_length": 32, "dropout": 0.0, **ENCODERS[kind]})
            encoder, tokenizer = encoders.build(settings, tiny_bert, ROWS)
        return Model(encoder, tokenizer, {"mood": Classification(Classification.fit(["good", "bad"]))}, max_length=32, dropout=0.0)

    return make


def backward(model: Model) -> None:
    """Gradients of something that every parameter has a part in."""
    encoded = model.tokenizer.encode(ROWS[:1], 32)
    subwords, word_shape_ids = (torch.from_numpy(array)[None].long() for array in (encoded.subwords, encoded.word_shape_ids))
    mask = torch.ones_like(subwords, dtype=torch.bool)
    model.heads["mood"](
        EncoderOutput(model.encoder(subwords, mask, word_shape_ids), mask, mask.numpy(), model.encoder.pool)
    ).square().sum().backward()


def norm_of(gradients: Iterable[Tensor]) -> float:
    return float(torch.cat([gradient.flatten() for gradient in gradients]).norm())


def settings(**train: Any) -> Train:
    return Train.model_validate(train)


# --- rules ------------------------------------------------------------------------------------------------------------

Step = Callable[[Tensor, Tensor, dict[str, Any], int, float, float], Tensor]


def adam(weight: Tensor, gradient: Tensor, memory: dict[str, Any], number: int, rate: float, decay: float) -> Tensor:
    """Algorithm 1 of Kingma & Ba 2015, with betas .8 and .95; L2 in the gradient."""
    gradient = gradient + decay * weight
    memory["m"] = 0.8 * memory.get("m", 0) + 0.2 * gradient
    memory["v"] = 0.95 * memory.get("v", 0) + 0.05 * gradient**2
    mean, square = memory["m"] / (1 - 0.8**number), memory["v"] / (1 - 0.95**number)
    return weight - rate * mean / (square.sqrt() + 1e-8)


def adamw(weight: Tensor, gradient: Tensor, memory: dict[str, Any], number: int, rate: float, decay: float) -> Tensor:
    """Algorithm 2 of Loshchilov & Hutter 2019; torch multiplies the decay by the rate."""
    return adam(weight, gradient, memory, number, rate, 0.0) - rate * decay * weight


def sgd(weight: Tensor, gradient: Tensor, memory: dict[str, Any], number: int, rate: float, decay: float) -> Tensor:
    """Momentum .7; L2 in the gradient."""
    memory["m"] = 0.7 * memory.get("m", 0) + gradient + decay * weight
    return weight - rate * memory["m"]


def sgdw(weight: Tensor, gradient: Tensor, memory: dict[str, Any], number: int, rate: float, decay: float) -> Tensor:
    """Algorithm 1 of Loshchilov & Hutter 2019."""
    return sgd(weight, gradient, memory, number, rate, 0.0) - rate * decay * weight


@pytest.mark.parametrize(
    ("rule", "optimizer"),
    [
        (adam, {"type": "adam", "betas": [0.8, 0.95]}),
        (adamw, {"type": "adamw", "betas": [0.8, 0.95]}),
        (sgd, {"type": "sgd", "momentum": 0.7}),
        (sgdw, {"type": "sgdw", "momentum": 0.7}),
    ],
)
@pytest.mark.parametrize(("limit", "scaled"), [(0.01, False), (0.01, True), (1e6, False), (1e6, True)])
def test_steps_are_those_of_the_formula(
    make_model: Callable[[str], Model], rule: Step, optimizer: dict[str, Any], limit: float, scaled: bool
) -> None:
    model = make_model("fnn")
    built = optimizers.build(model, settings(optimizer=optimizer, learning_rate=0.01, weight_decay=0.3), torch.device("cpu"))
    for group in built.param_groups:
        group["lr"] = 0.01
    expected = {name: parameter.detach().clone().double() for name, parameter in model.named_parameters()}
    memory: dict[str, dict[str, Any]] = {name: {} for name in expected}
    for number in (1, 2, 3):
        built.zero_grad()
        backward(model)
        gradients = {name: parameter.grad.double() for name, parameter in model.named_parameters() if parameter.grad is not None}
        norms = {part: norm_of(gradient for name, gradient in gradients.items() if name.startswith(part)) for part in ("encoder", "heads")}
        assert all(0.02 < norm < 1e6 for norm in norms.values())
        for name, parameter in model.named_parameters():
            decay, norm = 0.3 if parameter.ndim > 1 else 0.0, norms[name.partition(".")[0]]
            expected[name] = rule(expected[name], gradients[name] * min(1, limit / norm), memory[name], number, 0.01, decay)
        # The head's gradients are 3 times too large, as after one backward pass for all tasks.
        torch._foreach_mul_([parameter.grad for parameter in model.own("mood")], 3.0)
        assert float(optimizers.clip(built, limit, {"mood": 3.0, "away": 2.0}, scaled=scaled)) == pytest.approx(sum(norms.values()))
        built.step()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.double(), expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "sgdw"])
def test_a_name_by_itself_takes_the_defaults_of_torch(make_model: Callable[[str], Model], name: str) -> None:
    built = optimizers.build(make_model("fnn"), settings(optimizer=name), torch.device("cpu"))
    if name.startswith("adam"):
        assert built.defaults["betas"] == (0.9, 0.999)
        assert type(built).__name__.lower() == name
    else:
        assert built.defaults["momentum"] == 0.9
        assert (type(built) is optimizers.SGDW) == (name == "sgdw")
    assert bool(built.defaults.get("fused")) == name.startswith("adam")


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "sgdw"])
def test_a_head_may_meet_its_first_label_late(make_model: Callable[[str], Model], name: str) -> None:
    model = make_model("fnn")
    built = optimizers.build(model, settings(optimizer=name), torch.device("cpu"))
    own = list(model.heads["mood"].parameters())
    for late in (False, True):
        backward(model)
        for parameter in own:
            parameter.grad = torch.ones_like(parameter) if late else None
        before = [parameter.detach().clone() for parameter in own]
        built.step()
        assert all(torch.equal(one, other) != late for one, other in zip(before, own, strict=True))


@pytest.mark.parametrize("name", ["adamw", "sgd", "sgdw"])
def test_a_step_that_the_loss_scaler_skips_changes_nothing(make_model: Callable[[str], Model], name: str) -> None:
    model = make_model("fnn")
    built = optimizers.build(model, settings(optimizer=name, weight_decay=0.5, learning_rate=0.1), torch.device("cpu"))
    scaler = torch.amp.GradScaler("cpu")
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for factor, changes in ((float("inf"), False), (1.0, True)):
        built.zero_grad()
        backward(model)
        scaler.scale(torch.ones(()))  # sets the scale up
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.mul_(factor).nan_to_num_(posinf=float("inf"))
        scaler.unscale_(built)
        scaler.step(built)
        scaler.update()
        same = [torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items()]
        assert all(same) != changes
    assert scaler.get_scale() == 2.0**15


# --- rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENCODERS)
def test_each_layer_learns_at_its_own_rate(make_model: Callable[[str], Model], kind: str) -> None:
    model = make_model(kind)
    built = optimizers.build(model, settings(layer_decay=0.5, learning_rate=0.1, head_learning_rate=0.7), torch.device("cpu"))
    rates = {id(parameter): group["initial_lr"] for group in built.param_groups for parameter in group["params"]}
    layers = model.encoder.layers()
    assert len(layers) >= 3
    for depth, layer in enumerate(reversed(layers)):
        assert [rates.pop(id(parameter)) for parameter in layer] == pytest.approx([0.1 * 0.5**depth] * len(layer))
    assert list(rates.values()) == [0.7, 0.7]
    assert built.param_groups[0]["initial_lr"] == 0.1  # the one that the history shows


def test_without_layer_decay_there_are_no_more_groups_than_it_takes(make_model: Callable[[str], Model]) -> None:
    assert len(optimizers.build(make_model("transformer"), settings(), torch.device("cpu")).param_groups) == 4


@pytest.mark.parametrize("kind", ENCODERS)
def test_frozen_layers_get_no_gradient(make_model: Callable[[str], Model], kind: str) -> None:
    count = len(make_model(kind).encoder.layers())
    for frozen in range(count + 1):
        model = make_model(kind)
        optimizers.freeze(model.encoder, frozen)
        backward(model)
        for number, layer in enumerate(model.encoder.layers()):
            assert all((parameter.grad is None) == (number < frozen) for parameter in layer)
        built = optimizers.build(model, settings(), torch.device("cpu"))
        learned = {id(parameter) for group in built.param_groups for parameter in group["params"]}
        assert learned == {id(parameter) for parameter in model.parameters() if parameter.grad is not None}


def test_more_frozen_layers_than_there_are_is_an_error(make_model: Callable[[str], Model]) -> None:
    encoder: Encoder = make_model("fnn").encoder
    with pytest.raises(UnfitError, match=r"train\.freeze_layers is 4, but the encoder has 3 layers, embeddings included"):
        optimizers.freeze(encoder, 4)
