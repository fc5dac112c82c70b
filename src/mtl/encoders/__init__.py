"""Encoders: subwords of text to hidden states, behind one interface; built from settings, restored from a saved ``config()``."""

import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mtl.config import BaseEncoder
from mtl.encoders.base import Encoder
from mtl.encoders.tokenizer import Encoded, SubwordTokenizer
from mtl.errors import EncoderError

ENCODERS: dict[str, str] = {
    "transformer": "mtl.encoders.transformer:TransformerEncoder",
    "cnn": "mtl.encoders.cnn:ConvolutionalEncoder",
    "rnn": "mtl.encoders.rnn:RecurrentEncoder",
    "fnn": "mtl.encoders.fnn:FeedForwardEncoder",
}
"""``encoder.type`` of ``params.yaml`` to its class. It is imported when used: transformers takes seconds to import."""


def encoder_class(encoder_type: str) -> type[Encoder]:
    """The class of an encoder type.

    Raises:
        EncoderError: the type is unknown.
    """
    if encoder_type not in ENCODERS:
        raise EncoderError(f"encoder type {encoder_type!r} is unknown; choose from: {', '.join(ENCODERS)}")
    cls: type[Encoder] = pkgutil.resolve_name(ENCODERS[encoder_type])
    return cls


def build(settings: BaseEncoder, source: Path | None, rows: Iterable[Sequence[str]]) -> tuple[Encoder, SubwordTokenizer]:
    """Make the encoder that the settings name, and its tokenizer.

    Args:
        settings: the section ``encoder`` of ``params.yaml``.
        source: the local folder of a transformer; unused by the others.
        rows: tokens of the train rows, from which the small encoders learn their vocabulary.

    New weights are drawn from the ambient torch generator.

    Raises:
        EncoderError: the folder is not an encoder, or the settings do not fit it.
    """
    return encoder_class(str(getattr(settings, "type", ""))).build(settings, source, rows)


def restore(config: Mapping[str, Any], tokenizer: Path) -> tuple[Encoder, SubwordTokenizer]:
    """Rebuild an encoder from its ``config()`` and saved tokenizer. The caller loads the weights.

    The ambient generator does not change.

    Raises:
        EncoderError: an unknown type, or a tokenizer that cannot be read.
    """
    cls = encoder_class(str(config.get("type")))
    with torch.random.fork_rng(devices=[]):
        return cls.restore(config), SubwordTokenizer.load(tokenizer)


__all__ = ["ENCODERS", "Encoded", "Encoder", "SubwordTokenizer", "build", "encoder_class", "restore"]
