"""The settings ``decoder`` of tasks that write text."""

from typing import Annotated

from pydantic import Field, model_validator

from mtl.config.base import Layers, Section


class Decoder(Section):
    """A transformer decoder (Vaswani et al. 2017), trained from scratch; all tasks that write text share one."""

    layers: Layers = 3
    width: Annotated[int, Field(ge=8, le=4096)] = 256
    """Size of hidden states; a multiple of ``heads``."""
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    """Attention heads of each layer."""
    vocabulary: Annotated[int, Field(ge=257, le=60_000)] = 8_000
    """Subwords in its vocabulary, which is learnt from the target texts of the train split."""
    max_length: Annotated[int, Field(ge=2, le=8192)] = 128
    """Most subwords of a target text and of a prediction, the end included. Longer target texts are cut off."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @model_validator(mode="after")
    def _check_heads(self) -> "Decoder":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self
