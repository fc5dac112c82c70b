"""Layers for prediction on a CPU, with fixed weights: those of a BERT-like transformer, and linear ones.

Weights are laid out once in the form that oneDNN multiplies. Bias, GELU and the residual sum are computed within the product. These are the
operators that torch's own compiler, Inductor, makes of a frozen model. Called by name, they need no compiler and no minutes.
"""

import math
from typing import Any, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from mtl.encoders import probes
from mtl.encoders.packing import SELECTED, Packed, Runs, attend_at, attend_once, packed_attention

ROWS = 2048
"""The number of packed positions that weights are laid out for; any other number is computed as well."""
LARGEST = 1e30
"""Inputs that are rounded to 8 bits are at most as large, so that all is finite."""


def available(dtype: torch.dtype = torch.float32) -> bool:
    """Whether torch has the operators of this format on this CPU."""
    return probes.available("int8_linear" if dtype == torch.int8 else "fused_linear")


class Inputs(NamedTuple):
    """What a product takes: numbers in its format, and how they were rounded to 8 bits, if they were."""

    values: Tensor
    """``[packed, ins]``"""
    scale: float = 1.0
    zero: int = 0
    """The integer that stands for 0."""


class Weights(Protocol):
    """What a linear layer multiplies by and adds, such as those of ``nn.Linear``."""

    @property
    def weight(self) -> Tensor:
        """``[outs, ins]``."""

    @property
    def bias(self) -> Tensor | None:
        """``[outs]``."""


class FusedLinear:
    """A linear layer with fixed weights, of ``[packed, ins]`` to ``[packed, outs]``; in bfloat16 if told so."""

    def __init__(self, linear: Weights, activation: str = "none", dtype: torch.dtype = torch.float32) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(dtype), ROWS)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self.activation, self.dtype = activation, dtype

    def __call__(self, states: Tensor) -> Tensor:
        """The product, the bias and the activation; in bfloat16 if that is the format, else in float32."""
        return self.product(self.rounded(states))

    def rounded(self, states: Tensor) -> Inputs:
        """The inputs in the format of the product. Layers of the same format and inputs can share them."""
        return Inputs(states.to(self.dtype))

    def product(self, inputs: Inputs) -> Tensor:
        """``[packed, outs]`` of rounded inputs."""
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs.values, self.weight, self.bias, self.activation, [], "none")
        return result

    def plus(self, states: Tensor, other: Tensor) -> Tensor:
        """The product and the bias, added to ``[packed, outs]``, in float32."""
        if self.dtype != torch.float32:
            return self(states) + other
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(states, other, self.weight, self.bias, "add")
        return result


class Int8Linear(FusedLinear):
    """A linear layer with 8-bit weights, which have a scale for each output, and 8-bit inputs, whose range is that of the present batch.

    So a prediction depends a little on the texts in the same batch. Sums, bias, activation and results are exact or float32.
    """

    def __init__(self, linear: nn.Linear, activation: str = "none", dtype: torch.dtype = torch.int8) -> None:
        weight = linear.weight.detach().float()
        self.scales = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        integers = (weight / self.scales[:, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(integers, [ROWS, weight.shape[1]])
        self.zeros, self.bias = torch.zeros(len(weight), dtype=torch.int32), linear.bias.detach().float()
        self.activation, self.dtype = activation, dtype

    def rounded(self, states: Tensor) -> Inputs:
        """In 0 to 255, so that 0 is exact. The range is one step short of that: with it, rounding 0 cannot lift the largest above 255."""
        low, high = _range(states)
        if not math.isfinite(high - low):
            states = states.nan_to_num().clamp(-LARGEST, LARGEST)
            low, high = _range(states)
        scale = max((high - low) / 254, 1 / LARGEST)
        zero = round(-low / scale)
        # Taken as an integer, a number loses its fraction: half added first, it is the nearest one.
        return Inputs(torch.add(torch.tensor(zero + 0.5), states, alpha=1 / scale).to(torch.uint8), scale, zero)

    def product(self, inputs: Inputs) -> Tensor:
        """``[packed, outs]`` of rounded inputs, in float32."""
        own = (self.weight, self.scales, self.zeros, self.bias)
        result: Tensor = torch.ops.onednn.qlinear_pointwise(*inputs, *own, 1.0, 0, torch.float32, self.activation, [], "none")
        return result


def fused_linear(linear: nn.Linear, activation: str = "none", dtype: torch.dtype = torch.float32) -> FusedLinear:
    """A layer in a format: float32, bfloat16 or int8."""
    return (Int8Linear if dtype == torch.int8 else FusedLinear)(linear, activation, dtype)


def _range(states: Tensor) -> tuple[float, float]:
    """The smallest and the largest number, and 0."""
    if not states.numel():
        return 0.0, 0.0
    low, high = torch.aminmax(states)
    return min(float(low), 0.0), max(float(high), 0.0)


class Fixed(nn.Module):
    """A module with fixed weights. It cannot be trained, saved or copied, and must not be moved: its weights would stay where they are.

    Raises:
        TypeError: it is trained or saved; copying raises an error of torch's.
    """

    def train(self, mode: bool = True) -> Self:
        """Evaluation mode only."""
        if mode:
            raise TypeError("a model prepared for prediction cannot be trained")
        return super().train(mode)

    def _save_to_state_dict(self, *_: Any, **__: Any) -> None:
        raise TypeError("a model prepared for prediction cannot be saved")


class FixedLinear(Fixed):
    """Takes the place of a linear layer, with its weights. The result is float32, whatever the format of the product."""

    weight = None
    """Transformers asks some layers of T5 for it."""

    def __init__(self, linear: Weights, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.product = FusedLinear(linear, dtype=dtype)

    def forward(self, states: Tensor) -> Tensor:
        """``[…, ins]`` to ``[…, outs]``."""
        return self.product(states.flatten(0, -2)).float().view(*states.shape[:-1], -1)


class FusedLayer(Fixed):
    """Takes the place of a packed model's layer, with its weights."""

    def __init__(self, layer: Any, *, last: bool, dtype: torch.dtype = torch.float32) -> None:
        """``dtype`` is the format of the products; attention, norms and residual connections are float32."""
        super().__init__()
        attention, self.last = layer.attention.self, last
        self.heads, self.width, self.scaling = attention.num_attention_heads, attention.attention_head_size, attention.scaling
        self.projections = [fused_linear(part, dtype=dtype) for part in (attention.query, attention.key, attention.value)]
        if last:
            self.key, self.value = attention.key.weight.detach(), attention.value.weight.detach()
            self.bias: Tensor = attention.value.bias.detach()
        self.attended, self.norm = fused_linear(layer.attention.output.dense, dtype=dtype), layer.attention.output.LayerNorm
        activation = layer.intermediate.intermediate_act_fn
        gelu = getattr(activation, "act", None) is nn.functional.gelu
        self.up, self.act = fused_linear(layer.intermediate.dense, "gelu" if gelu else "none", dtype), nn.Identity() if gelu else activation
        self.down, self.down_norm = fused_linear(layer.output.dense, dtype=dtype), layer.output.LayerNorm

    def forward(self, hidden_states: Tensor, *_: Any, packed: Packed, **__: Any) -> Tensor:
        """Hidden states ``[1, packed, width]``, in the last layer only those at ``SELECTED``."""
        states = hidden_states.squeeze(0)
        selected = SELECTED.get() if self.last else None
        if selected is None:
            attended = self._attend(states, packed)
        else:
            attended, states = attend_at(selected, states, packed, self._attend, self._attend_once), states[selected]
        states = self.norm(self.attended.plus(attended, states))
        result: Tensor = self.down_norm(self.down.plus(self.act(self.up(states)), states))
        return result[None]

    def _attend(self, states: Tensor, packed: Packed) -> Tensor:
        inputs = self.projections[0].rounded(states)
        query, key, value = (part.product(inputs).float().view(1, -1, self.heads, self.width).transpose(1, 2) for part in self.projections)
        return packed_attention(self, query, key, value, None, packed=packed, scaling=self.scaling)[0].view_as(states)

    def _attend_once(self, states: Tensor, positions: Tensor, runs: Runs) -> Tensor:
        query = self.projections[0](states[positions]).float().view(-1, self.heads, self.width)
        return attend_once(query, self.key, self.value, states, runs, self.scaling) + self.bias
