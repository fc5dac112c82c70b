"""Encoders: pieces of text to hidden states, behind one interface; built from settings, restored from a saved ``config()``."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mtl.encoders.base import Encoder
from mtl.encoders.cnn import ConvolutionalEncoder
from mtl.encoders.fnn import FeedForwardEncoder
from mtl.encoders.rnn import RecurrentEncoder
from mtl.encoders.tokenizer import Encoded, PieceTokenizer
from mtl.encoders.transformer import TransformerEncoder
from mtl.errors import EncoderError
from mtl.params import BaseEncoder

ENCODERS: dict[str, type[Encoder]] = {
    "transformer": TransformerEncoder,
    "cnn": ConvolutionalEncoder,
    "rnn": RecurrentEncoder,
    "fnn": FeedForwardEncoder,
}
"""``encoder.type`` of ``params.yaml`` to its class."""


def build(settings: BaseEncoder, source: Path | None, rows: Iterable[Sequence[str]]) -> tuple[Encoder, PieceTokenizer]:
    """Make the encoder that the settings name, and its tokenizer.

    Args:
        settings: the section ``encoder`` of ``params.yaml``.
        source: the local folder of a transformer; unused by the others.
        rows: tokens of the train rows, from which the small encoders learn their vocabulary.

    New weights are drawn from the ambient torch generator.

    Raises:
        EncoderError: the folder is no encoder, or the settings do not fit it.
    """
    return ENCODERS[str(getattr(settings, "type", ""))].build(settings, source, rows)


def restore(config: Mapping[str, Any], tokenizer: Path) -> tuple[Encoder, PieceTokenizer]:
    """Rebuild an encoder from its ``config()`` and saved tokenizer; its weights are to be loaded by the caller.

    The ambient generator is left as it was.

    Raises:
        EncoderError: an unknown type, or a tokenizer that cannot be read.
    """
    kind = config.get("type")
    if kind not in ENCODERS:
        raise EncoderError(f"encoder type {kind!r} is unknown; choose from: {', '.join(ENCODERS)}")
    with torch.random.fork_rng(devices=[]):
        return ENCODERS[kind].restore(config), PieceTokenizer.load(tokenizer)


__all__ = ["ENCODERS", "Encoded", "Encoder", "PieceTokenizer", "build", "restore"]
