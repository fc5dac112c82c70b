"""Optimisers, and which parameters learn at which rate."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim import Adam as TorchAdam

from mtl.config import Train
from mtl.encoders import Encoder, probes
from mtl.errors import UnfitError
from mtl.model.model import Model

Group = dict[str, Any]

SHARED = ""
"""The part of a model that all its tasks share; the others go by the name of their task."""


class Adam(TorchAdam):
    """Adam (Kingma & Ba 2015) whose fused step divides the gradients of each group by its own divisor as it reads them."""

    divisors: Mapping[str, Tensor] = MappingProxyType({})
    """Scalars, by ``part`` of a group."""

    def _init_group(self, group: Group, *lists: Any) -> bool:
        """Called for each group before its step, which divides by ``grad_scale``, meant for loss scalers."""
        if self.divisors:
            self.grad_scale = self.divisors.get(group["part"])
        has_complex: bool = super()._init_group(group, *lists)  # type: ignore[no-untyped-call]
        return has_complex


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): weights shrink by learning rate × decay, whatever their gradient."""

    def __init__(self, groups: Iterable[Group], **options: Any) -> None:
        super().__init__(groups, decoupled_weight_decay=True, **options)


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

    Groups run from the top of the encoder to its bottom, then come the heads; ``initial_lr`` is what a schedule's factor multiplies, and
    ``part`` is a task or ``SHARED``.
    """
    parts = {id(parameter): task for task in model.tasks for parameter in model.own(task)}
    groups: dict[tuple[str, float, float], list[nn.Parameter]] = {}
    for parameters, rate in _rates(model, settings):
        for parameter in parameters:
            if parameter.requires_grad:
                # Biases, norms and other vectors do not decay.
                decay = settings.weight_decay if parameter.ndim > 1 else 0.0
                groups.setdefault((parts.get(id(parameter), SHARED), rate, decay), []).append(parameter)
    options = settings.optimizer.model_dump(exclude={"type"})
    # Fused: one kernel over all parameters instead of several passes over the memory of each, a third of the step's cost on a CPU.
    return OPTIMIZERS[settings.optimizer.type](
        [
            {"params": chosen, "part": part, "lr": rate, "initial_lr": rate, "weight_decay": decay}
            for (part, rate, decay), chosen in groups.items()
        ],
        # Torch's fused SGD cannot start the momentum of some parameters later, as that of a head which meets its first label late.
        fused=device.type in ("cpu", "cuda") and "momentum" not in options,
        **options,
    )


def clip(optimizer: Optimizer, limit: float, loss_factors: Mapping[str, float], *, scaled: bool) -> Tensor:
    """Let the next step see gradients of at most this norm (Pascanu, Mikolov & Bengio 2013): that of what the tasks share, and for each
    task that of what it has for itself. With one norm for all, a leap of one task's gradient would shorten the steps of all others.

    Args:
        optimizer: has the gradients.
        limit: the greatest norm.
        loss_factors: by task, what the gradients of its own part are too large by; where none is given they are not.
        scaled: whether a loss scaler makes the step.

    Returns:
        The sum of the norms as they were, a scalar.
    """
    parts: dict[str, list[Tensor]] = {}
    for group in optimizer.param_groups:
        parts.setdefault(group["part"], []).extend(parameter.grad for parameter in group["params"] if parameter.grad is not None)
    norms = {part: nn.utils.get_total_norm(gradients) / loss_factors.get(part, 1.0) for part, gradients in parts.items() if gradients}
    divisors = {part: (norm / limit).clamp(min=1) * loss_factors.get(part, 1.0) for part, norm in norms.items()}
    total = sum(norms.values(), torch.zeros(()))
    own_step = total.device.type == "cpu" and not scaled
    if own_step and isinstance(optimizer, Adam) and probes.available("fused_adam", type(optimizer)):
        optimizer.divisors = divisors  # of its fused step, which saves a pass over all gradients
    else:
        for part, divisor in divisors.items():
            torch._foreach_div_(parts[part], divisor)
    return total


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
