"""An augmenter and an encoder of an outside package: their settings. What computes is imported when it is used."""

from typing import Literal

from mtl.config import SmallEncoder
from mtl.config.augment import Method


class Reverse(Method):
    """Turns the order of the words that may move."""

    implementation = "mtl_extras.reverse:ReverseAugmenter"

    type: Literal["reverse"]


class GatedEncoder(SmallEncoder):
    """Embeddings through gated linear units."""

    implementation = "mtl_extras.gated:Gated"

    type: Literal["gated"]
    layers: int = 1
