"""BERT and its like with the modules and names of transformers, for prediction without importing it: that would take two seconds."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from mtl.encoders.packing import Packed

TYPES = {"bert", "camembert", "roberta", "xlm-roberta"}
"""Model types that it computes. All but BERT keep the positions up to their padding index to themselves."""
SIZES = (
    "vocab_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)
"""Keys of whole numbers above 0."""


class Bert(nn.Module):
    """Packed rows to hidden states, once ``FusedLayer`` has taken the place of its layers: they have weights, but compute nothing."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """``config`` is the Hugging Face configuration, for which ``fits`` is true."""
        super().__init__()
        self.config = SimpleNamespace(**config)
        width, padding = self.config.hidden_size, None if self.config.model_type == "bert" else self.config.pad_token_id
        self.embeddings = _module(
            word_embeddings=_Embedding(self.config.vocab_size, width),
            position_embeddings=_Embedding(self.config.max_position_embeddings, width, padding_idx=padding),
            token_type_embeddings=_Embedding(self.config.type_vocab_size, width),
            LayerNorm=self._norm(),
        )
        self.encoder = _module(layer=nn.ModuleList(self._layer() for _ in range(self.config.num_hidden_layers)))

    def _norm(self) -> nn.LayerNorm:
        return nn.LayerNorm(self.config.hidden_size, eps=self.config.layer_norm_eps)

    def _layer(self) -> nn.Module:
        width, inner, heads = self.config.hidden_size, self.config.intermediate_size, self.config.num_attention_heads
        attention = _module(**{name: _Linear(width, width) for name in ("query", "key", "value")})
        attention.num_attention_heads, attention.attention_head_size, attention.scaling = heads, width // heads, (width // heads) ** -0.5
        intermediate = _module(dense=_Linear(width, inner))
        intermediate.intermediate_act_fn = SimpleNamespace(act=nn.functional.gelu)
        layer: nn.Module = _module(
            attention=_module(self=attention, output=_module(dense=_Linear(width, width), LayerNorm=self._norm())),
            intermediate=intermediate,
            output=_module(dense=_Linear(inner, width), LayerNorm=self._norm()),
        )
        return layer

    def forward(self, inputs_embeds: Tensor, position_ids: Tensor, packed: Packed, token_type_ids: Tensor | None = None) -> SimpleNamespace:
        """The hidden states ``[1, packed, width]`` of embedded subwords of that shape, as ``last_hidden_state``."""
        types = self.embeddings.token_type_embeddings
        embedded = inputs_embeds + (types.weight[0] if token_type_ids is None else types(token_type_ids))
        hidden = self.embeddings.LayerNorm(embedded + self.embeddings.position_embeddings(position_ids))
        for layer in self.encoder.layer:
            hidden = layer(hidden, packed=packed)
        return SimpleNamespace(last_hidden_state=hidden)

    def get_input_embeddings(self) -> nn.Module:
        """Of the subwords."""
        embedding: nn.Module = self.embeddings.word_embeddings
        return embedding


def fits(config: Mapping[str, Any]) -> bool:
    """Whether this is the configuration of a model that ``Bert`` computes. Others are for transformers to complete or refuse."""
    usual = config.get("hidden_act") == "gelu" and config.get("position_embedding_type", "absolute") == "absolute"
    if config.get("model_type") not in TYPES or not usual or not all(type(config.get(key)) is int and config[key] > 0 for key in SIZES):
        return False
    padding, epsilon = config.get("pad_token_id", ""), config.get("layer_norm_eps")
    even = config["hidden_size"] % config["num_attention_heads"] == 0
    return even and isinstance(padding, int | None) and isinstance(epsilon, float) and epsilon > 0


class _Embedding(nn.Embedding):
    """Without random weights, which take longer to draw than those of a file to read."""

    def reset_parameters(self) -> None:
        """The caller loads them."""


class _Linear(nn.Linear):
    """Without them too."""

    def reset_parameters(self) -> None:
        """The caller loads them."""


def _module(**parts: nn.Module) -> Any:
    """A module that holds others by these names."""
    found = nn.Module()
    for name, part in parts.items():
        found.add_module(name, part)
    return found
