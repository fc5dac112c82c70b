"""Optimisers, and which parameters learn at which rate."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from mtl.encoders import Encoder
from mtl.errors import UnfitError
from mtl.params import Train
from mtl.training.model import Model

Group = dict[str, Any]


class SGDW(SGD):
    """SGD with momentum and decoupled weight decay (Loshchilov & Hutter 2019): weights shrink by learning rate × decay, apart from the
    momentum.
    """

    def __init__(self, groups: Iterable[Group], *, momentum: float, fused: bool) -> None:
        """``fused`` is not passed on: a fused step is entered, and weights would shrink, also where the loss scaler skips the update."""
        apart = [{**group, "decoupled_weight_decay": group["weight_decay"], "weight_decay": 0.0} for group in groups]
        super().__init__(apart, momentum=momentum)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Shrink the weights that have a gradient, then step."""
        for group in self.param_groups:
            if learnt := [parameter for parameter in group["params"] if parameter.grad is not None]:
                torch._foreach_mul_(learnt, 1 - group["lr"] * group["decoupled_weight_decay"])
        return super().step(closure)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "sgdw": SGDW}
"""``train.optimizer`` to its class, which takes the other settings of that section as arguments."""


def build(model: Model, settings: Train, device: torch.device) -> Optimizer:
    """The optimiser of a model's parameters, those of frozen layers apart.

    Groups run from the top of the encoder to its bottom, then come the heads; ``initial_lr`` is what a schedule's factor multiplies.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameters, rate in _rates(model, settings):
        for parameter in parameters:
            if parameter.requires_grad:
                # Biases, norms and other vectors do not decay.
                groups.setdefault((rate, settings.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    options = settings.optimizer.model_dump(exclude={"type"})
    # Fused: one kernel over all parameters instead of several passes over the memory of each, a third of the step's cost on a CPU.
    return OPTIMIZERS[settings.optimizer.type](
        [{"params": chosen, "lr": rate, "initial_lr": rate, "weight_decay": decay} for (rate, decay), chosen in groups.items()],
        # Torch's fused SGD cannot start the momentum of some parameters later, as that of a head which meets its first label late.
        fused=device.type in ("cpu", "cuda") and "momentum" not in options,
        **options,
    )


def clip(optimizer: Optimizer, limit: float, *, scaled: bool) -> Tensor:
    """Let the next step see a gradient of at most this norm (Pascanu, Mikolov & Bengio 2013); returns the norm as it was, a scalar.

    Args:
        optimizer: has the gradients.
        limit: the greatest norm.
        scaled: whether a loss scaler makes the step.
    """
    learnt = [parameter for group in optimizer.param_groups for parameter in group["params"] if parameter.grad is not None]
    norm: Tensor = nn.utils.get_total_norm([parameter.grad for parameter in learnt])
    if norm.device.type == "cpu" and optimizer.defaults["fused"] and not scaled:
        # A fused step divides the gradient as it reads it, by what a loss scaler would leave here: one pass over all of it less.
        optimizer.grad_scale = (norm / limit).clamp(min=1)  # type: ignore[attr-defined]
    else:
        nn.utils.clip_grads_with_norm_(learnt, limit, norm)
    return norm


def _rates(model: Model, settings: Train) -> Iterable[tuple[Iterable[nn.Parameter], float]]:
    """Parameters and their learning rate: each layer's is ``layer_decay`` times that of the one above it; heads have their own."""
    for depth, layer in enumerate(reversed(model.encoder.layers())):
        yield layer, settings.learning_rate * settings.layer_decay**depth
    yield model.heads.parameters(), settings.head_learning_rate


def freeze(encoder: Encoder, count: int) -> None:
    """Let the lowest layers stay as they are: no gradient is computed for them, nor through them.

    Raises:
        UnfitError: the encoder has fewer layers.
    """
    layers = encoder.layers()
    if count > len(layers):
        raise UnfitError(f"train.freeze_layers is {count}, but the encoder has {len(layers)} layers, embeddings included")
    for layer in layers[:count]:
        for parameter in layer:
            parameter.requires_grad_(False)
