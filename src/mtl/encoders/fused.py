"""The layers of a BERT-like transformer for prediction on a CPU, with fixed weights.

Weights are laid out once in the form that oneDNN multiplies. Bias, GELU and the residual sum are computed within the product. These are the
operators that torch's own compiler, Inductor, makes of a frozen model. Called by name, they need no compiler and no minutes.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn

from mtl.encoders import probes
from mtl.encoders.packing import SELECTED, Packed, Runs, attend_at, attend_once, packed_attention

ROWS = 2048
"""The number of packed positions that weights are laid out for; any other number is computed as well."""


def available() -> bool:
    """Whether torch has these operators on this CPU."""
    return probes.available("fused_linear")


class FusedLinear:
    """A linear layer with fixed weights, of ``[packed, ins]`` to ``[packed, outs]``; in bfloat16 if told so."""

    def __init__(self, linear: nn.Linear, activation: str = "none", dtype: torch.dtype = torch.float32) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(dtype), ROWS)
        self.bias = linear.bias.detach().to(dtype)
        self.activation, self.dtype = activation, dtype

    def __call__(self, states: Tensor) -> Tensor:
        """The product, the bias and the activation, in its own format."""
        rounded = states.to(self.dtype)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rounded, self.weight, self.bias, self.activation, [], "none")
        return result

    def plus(self, states: Tensor, other: Tensor) -> Tensor:
        """The product and the bias, added to ``[packed, outs]``, in float32."""
        if self.dtype != torch.float32:
            return self(states) + other
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(states, other, self.weight, self.bias, "add")
        return result


class FusedLayer(nn.Module):
    """Takes the place of a packed model's layer, with its weights. It cannot be trained, saved, copied or moved to another device.

    Raises:
        TypeError: it is trained or saved; copying and moving raise errors of torch's.
    """

    def __init__(self, layer: Any, *, last: bool, dtype: torch.dtype = torch.float32) -> None:
        """``dtype`` is the format of the products; attention, norms and residual connections are float32."""
        super().__init__()
        attention, self.last = layer.attention.self, last
        self.heads, self.width, self.scaling = attention.num_attention_heads, attention.attention_head_size, attention.scaling
        self.projections = [FusedLinear(part, dtype=dtype) for part in (attention.query, attention.key, attention.value)]
        if last:
            self.key, self.value = attention.key.weight.detach(), attention.value.weight.detach()
        self.attended, self.norm = FusedLinear(layer.attention.output.dense, dtype=dtype), layer.attention.output.LayerNorm
        activation = layer.intermediate.intermediate_act_fn
        gelu = getattr(activation, "act", None) is nn.functional.gelu
        self.up, self.act = FusedLinear(layer.intermediate.dense, "gelu" if gelu else "none", dtype), nn.Identity() if gelu else activation
        self.down, self.down_norm = FusedLinear(layer.output.dense, dtype=dtype), layer.output.LayerNorm

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

    def train(self, mode: bool = True) -> Self:
        """Evaluation mode only."""
        if mode:
            raise TypeError("an encoder prepared for prediction cannot be trained")
        return super().train(mode)

    def _save_to_state_dict(self, *_: Any, **__: Any) -> None:
        raise TypeError("an encoder prepared for prediction cannot be saved")

    def _attend(self, states: Tensor, packed: Packed) -> Tensor:
        query, key, value = (part(states).float().view(1, -1, self.heads, self.width).transpose(1, 2) for part in self.projections)
        return packed_attention(self, query, key, value, None, packed=packed, scaling=self.scaling)[0].view_as(states)

    def _attend_once(self, states: Tensor, positions: Tensor, runs: Runs) -> Tensor:
        query = self.projections[0](states[positions]).float().view(-1, self.heads, self.width)
        return attend_once(query, self.key, self.value, states, runs, self.scaling) + self.projections[2].bias
