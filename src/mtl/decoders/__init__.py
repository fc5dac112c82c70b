"""The decoder that tasks share which write text, its vocabulary, and the search for the best text."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from mtl.config.decoder import Decoder as DecoderSettings
from mtl.decoders.base import Decoder
from mtl.decoders.decoder import TransformerDecoder
from mtl.decoders.search import Search, generate
from mtl.decoders.vocabulary import END, TargetVocabulary
from mtl.seeds import seed_of

__all__ = ["END", "Decoder", "Search", "TargetVocabulary", "TransformerDecoder", "build", "generate", "restore"]


def build(settings: DecoderSettings, texts: Iterable[str], encoder_width: int, seed: int) -> TransformerDecoder:
    """A new decoder: a vocabulary learnt from target texts, and weights drawn from the seed."""
    vocabulary = TargetVocabulary.train(texts, settings.vocabulary)
    own = settings.model_dump(exclude={"vocabulary"})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("decoder", seed))
        return TransformerDecoder(vocabulary, encoder_width, **own)


def restore(config: Mapping[str, Any]) -> TransformerDecoder:
    """The same architecture and vocabulary. The caller loads the weights."""
    return TransformerDecoder(
        TargetVocabulary.parse(config["vocabulary"]), **{key: value for key, value in config.items() if key != "vocabulary"}
    )
