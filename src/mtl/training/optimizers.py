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
"""Name of the part of a model that all tasks share; the other parts are named after their task."""


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
        """``fused`` is not passed on: a loss scaler enters a fused step also to skip it, and weights would shrink then."""
        apart = [{**group, "decoupled_weight_decay": group["weight_decay"], "weight_decay": 0.0} for group in groups]
        super().__init__(apart, momentum=momentum)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Shrink the weights that have a gradient, then step."""
        for group in self.param_groups:
            if learned := [parameter for parameter in group["params"] if parameter.grad is not None]:
                torch._foreach_mul_(learned, 1 - group["lr"] * group["decoupled_weight_decay"])
        return super().step(closure)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "sgdw": SGDW}
"""``train.optimizer`` to its class, which takes the other settings of that section as arguments."""


def build(model: Model, settings: Train, device: torch.device) -> Optimizer:
    """The optimiser of a model's parameters, without those of frozen layers.

    Groups run from the top of the encoder to its bottom, then come the heads. A schedule's factor multiplies ``initial_lr``; ``part`` is a
    task or ``SHARED``.
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
    # Fused: one kernel over all parameters instead of several passes over the memory of each; saves a third of the step's cost on a CPU.
    return OPTIMIZERS[settings.optimizer.type](
        [
            {"params": chosen, "part": part, "lr": rate, "initial_lr": rate, "weight_decay": decay}
            for (part, rate, decay), chosen in groups.items()
        ],
        # Torch's fused SGD cannot start the momentum of some parameters later, such as that of a head whose first label comes late.
        fused=device.type in ("cpu", "cuda") and "momentum" not in options,
        **options,
    )


def clip(optimizer: Optimizer, limit: float, loss_factors: Mapping[str, float], *, scaled: bool) -> Tensor:
    """Clip the gradients of the next step to a norm (Pascanu, Mikolov & Bengio 2013): those of the shared part together, and those of each
    task's own part together. With one norm for all, a jump in one task's gradient would shorten the steps of all others.

    Args:
        optimizer: has the gradients.
        limit: largest norm.
        loss_factors: by task, the factor in the gradients of its own part, 1 if missing. The step divides by it.
        scaled: whether a loss scaler makes the step.

    Returns:
        The sum of the norms before clipping, a scalar.
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
    if model.decoder is not None:
        yield model.decoder.parameters(), settings.learning_rate if model.decoder.pretrained else settings.head_learning_rate


def freeze(encoder: Encoder, count: int) -> None:
    """Freeze the lowest layers: no gradient is computed for them, nor through them.

    Raises:
        UnfitError: the encoder has fewer layers.
    """
    layers = encoder.layers()
    if count > len(layers):
        raise UnfitError(f"train.freeze_layers is {count}, but the encoder has {len(layers)} layers, embeddings included")
    for layer in layers[:count]:
        for parameter in layer:
            parameter.requires_grad_(False)
