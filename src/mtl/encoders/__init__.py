"""Encoders: subwords of text to hidden states, behind one interface; built from settings, restored from a saved ``config()``.

The tokenizer does without torch, which is imported when an encoder is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl import plugins
from mtl.config import BaseEncoder
from mtl.encoders.tokenizer import Encoded, SubwordTokenizer
from mtl.errors import EncoderError, one_line
from mtl.lazy import lazy

if TYPE_CHECKING:
    import torch

    from mtl.encoders.base import Encoder
else:
    torch = lazy("torch")


def __getattr__(name: str) -> Any:
    if name == "Encoder":
        from mtl.encoders.base import Encoder

        return Encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def encoder_class(name: str) -> type[Encoder]:
    """The class of an encoder type, imported only now: some of them import what takes seconds.

    Raises:
        EncoderError: the type is unknown.
    """
    try:
        settings = plugins.settings_of(plugins.ENCODERS, name)
    except KeyError:
        raise EncoderError(f"encoder type {name!r} is unknown; choose from: {', '.join(plugins.names(plugins.ENCODERS))}") from None
    found: type[Encoder] = plugins.implementation_of(settings)
    return found


def build(settings: BaseEncoder, source: Path | None, rows: Iterable[Sequence[str]]) -> tuple[Encoder, SubwordTokenizer]:
    """Make the encoder that the settings name, and its tokenizer.

    Args:
        settings: the section ``encoder`` of ``params.yaml``.
        source: the local folder of a transformer; of a small encoder, that of its vocabulary, if it was learnt before.
        rows: tokens of the train rows, from which the small encoders else learn their vocabulary.

    New weights are drawn from the ambient torch generator.

    Raises:
        EncoderError: the folder is not an encoder, or the settings do not fit it.
    """
    encoder, tokenizer = encoder_class(str(getattr(settings, "type", ""))).build(settings, source, rows)
    with one_line(EncoderError, f"{source or 'encoder'}: the model cannot read a text"):
        _try_out(encoder, tokenizer, settings.max_length)
    return encoder, tokenizer


def _try_out(encoder: Encoder, tokenizer: SubwordTokenizer, max_length: int) -> None:
    """Run a row through: some values of a configuration are not used before."""
    subwords = torch.from_numpy(tokenizer.encode([["a"]], max_length).subwords).long()[None]
    modes = [(module, module.training) for module in encoder.modules()]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        encoder.eval()(subwords, torch.ones_like(subwords, dtype=torch.bool), torch.zeros_like(subwords))
    for module, training in modes:
        module.training = training


def restore(config: Mapping[str, Any], tokenizer: Path, *, to_fuse: bool = False) -> tuple[Encoder, SubwordTokenizer]:
    """Rebuild an encoder from its ``config()`` and saved tokenizer. The caller loads the weights, and calls ``fuse`` if ``to_fuse`` is set.

    The ambient generator does not change.

    Raises:
        EncoderError: an unknown type, or a tokenizer that cannot be read.
    """
    cls = encoder_class(str(config.get("type")))
    with torch.random.fork_rng(devices=[]):
        return cls.restore_to_fuse(config) if to_fuse else cls.restore(config), SubwordTokenizer.load(tokenizer)


__all__ = ["Encoded", "Encoder", "SubwordTokenizer", "build", "encoder_class", "restore"]
