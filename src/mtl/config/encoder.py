"""The section ``encoder``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mtl import plugins
from mtl.config.base import Layers, OneOf, Section, Source


class BaseEncoder(Section):
    """What all encoders have in common."""

    implementation: ClassVar[str]
    """``module:Class`` of the ``mtl.encoders.base.Encoder``."""

    type: str
    max_length: Annotated[int, Field(ge=8, le=8192)] = 128
    """Longest sequence in subwords, special tokens included."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of hidden states."""
    has_decoder: ClassVar[bool] = False
    """Whether the source has a decoder too, which tasks that write text share."""


class PretrainedEncoder(BaseEncoder):
    """What encoders of a source have in common."""

    source: Source
    pooling: Literal["mean", "first"] = "mean"
    """How a text becomes one vector: the mean of its hidden states, or the state of its first subword ([CLS])."""
    start: Source | None = None
    """A folder that ``mtl`` has written, such as that of the promoted model, with the same encoder. Runs start from its weights, except
    second phases and the label audit."""


class TransformerEncoder(PretrainedEncoder):
    """Any Hugging Face encoder: a folder, a package's folder, or ``hf://owner/name``."""

    implementation = "mtl.encoders.transformer:TransformerEncoder"
    type: Literal["transformer"]
    word_shape: bool = True
    """Adds a learned embedding of each word's shape (case, digits), initially zero; it helps uncased encoders with entities."""
    task_layers: Annotated[int, Field(ge=0)] = 0
    """Each task can have its own copy of the top layers: how many. The tasks share the layers below."""


class EncoderDecoder(PretrainedEncoder):
    """A Hugging Face encoder-decoder (T5, mT5, BART, Marian): heads are put on its encoder, and tasks that write text share its decoder."""

    implementation = "mtl.decoders.seq2seq:Seq2SeqEncoder"
    has_decoder = True
    type: Literal["encoder_decoder"]
    target_length: Annotated[int, Field(ge=2, le=8192)] = 128
    """Most subwords of a target text and of a prediction, the end included. Longer target texts are cut off."""


class SmallEncoder(BaseEncoder):
    """Encoders trained from scratch on a vocabulary learnt from the train split."""

    vocabulary: Annotated[int, Field(ge=260, le=60_000)] = 8_000
    """Subwords in the vocabulary."""
    width: Annotated[int, Field(ge=8, le=4096)] = 128
    """Size of hidden states."""


class FeedForwardEncoder(SmallEncoder):
    """Embeddings of a window of subwords through a multi-layer perceptron."""

    implementation = "mtl.encoders.fnn:FeedForwardEncoder"
    type: Literal["fnn"]
    window: Annotated[int, Field(ge=0, le=8)] = 2
    """Subwords on each side of a position."""
    layers: Layers = 2


class ConvolutionalEncoder(SmallEncoder):
    """Convolutions of several widths side by side (Kim 2014)."""

    implementation = "mtl.encoders.cnn:ConvolutionalEncoder"
    type: Literal["cnn"]
    kernels: Annotated[tuple[Annotated[int, Field(ge=1, le=15)], ...], Field(min_length=1)] = (3, 5)
    """Widths of the convolutions."""
    layers: Layers = 2


class RecurrentEncoder(SmallEncoder):
    """A bidirectional LSTM or GRU."""

    implementation = "mtl.encoders.rnn:RecurrentEncoder"
    type: Literal["rnn"]
    cell: Literal["lstm", "gru"] = "lstm"
    layers: Layers = 1


Encoder = Annotated[BaseEncoder, OneOf(plugins.ENCODERS)]
