"""The settings: ``params.yaml`` as typed, frozen models.

The models are the schema. ``load`` reads a file and reports every fault at once; ``json_schema`` is what editors use.
This module imports neither torch nor transformers: the Snakefile loads it each time it is parsed.
"""

import ast
import inspect
import itertools
import json
import math
import string
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mtl.errors import Fault, ParamsError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]  # files are named after them
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Layers = Annotated[int, Field(ge=1, le=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]


def _size(value: Any) -> Any:
    """A number of rows or ``all``, told apart here so that a fault is one and says both."""
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError(f"must be a number of rows, 1 or more, or all, not {value!r}")


Size = Annotated[Count | Literal["all"], BeforeValidator(_size)]
"""How many labelled train rows of each data set a run learns from."""


class Section(BaseModel):
    """Base of all sections: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Section):
    """A file or folder, named by one URL, with the sum that it must have."""

    url: Annotated[str, Field(min_length=1)]
    """Any fsspec URL (https, s3, gs, hf, file, chains such as ``tar://a.txt::https://…``), a path, or
    ``pypi://NAME==VERSION/path/inside``."""
    sha256: Sha256 | None = None
    """sha256 of the file; of a folder: of the lines ``<sha256>  <relative path>\\n``, sorted by path.
    Of a folder, pickles and other frameworks' weights are left out. A missing sum is an error that prints the one found."""


def _source_form(value: Any) -> str:
    """Whether a data set's source is one, or one for each split."""
    one = isinstance(value, Source) or not isinstance(value, Mapping) or bool({"url", "sha256"} & set(value))
    return "Source" if one else "Sources"


# --- datasets -------------------------------------------------------------------------------------------------------


def _names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if none but those of skipped columns stands there twice."""
    if twice := sorted(name for name, times in Counter(columns).items() if times > 1 and not name.startswith("_")):
        raise ValueError(f"column {twice[0]!r} is named twice")
    return columns


Columns = Annotated[tuple[str, ...], AfterValidator(_names)]


class ConllReader(Section):
    """One token a line, columns split by white space, a blank line between sentences; ``-DOCSTART-`` is dropped."""

    format: Literal["conll"]
    columns: Columns = ("token", "tags")
    """Names of the columns, in order; ``token`` is the token itself. ``_`` skips a column."""
    separator: Literal["whitespace", "tab", "space"] = "whitespace"


class DelimitedReader(Section):
    """Comma- or tab-separated values."""

    format: Literal["csv", "tsv"]
    columns: Columns | None = None
    """Names of the columns where the file has no header line; without it the first line is the header.
    ``_`` skips a column, ``_*`` at the end any number. With delimiter ``" "`` and quoting none the last one takes the rest of the line."""
    quoting: Literal["minimal", "none"] = "minimal"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Another delimiter than the format's own."""


class JsonLinesReader(Section):
    """One JSON object a line."""

    format: Literal["jsonl"]


class ParquetReader(Section):
    """A Parquet file."""

    format: Literal["parquet"]


class ParallelReader(Section):
    """A folder of files with one row a line each, such as ``seq.in``, ``seq.out`` and ``label``."""

    format: Literal["parallel"]
    files: dict[str, str]
    """Column name to file name inside the source's folder."""

    @model_validator(mode="after")
    def _check(self) -> "ParallelReader":
        for column, name in self.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
                raise ValueError(f"file {name!r} of column {column} must be a name inside the source's folder")
        return self


Reader = Annotated[ConllReader | DelimitedReader | JsonLinesReader | ParquetReader | ParallelReader, Field(discriminator="format")]


class ClassLabel(Section):
    """A class per text: the column's own values, mapped values, or a number cut into named bins."""

    kind: Literal["class"]
    column: str
    values: Annotated[dict[str, str], Field(min_length=1)] | None = None
    """Renames values, such as ``{"0": negative, "1": positive}``; a value not named is a malformed row."""
    bins: Annotated[dict[str, tuple[float, float]], Field(min_length=1)] | None = None
    """Class to ``[low, high)``; the bin with the greatest ``high`` includes it. A number in no bin has no label."""

    @model_validator(mode="after")
    def _check(self) -> "ClassLabel":
        if self.values is not None and self.bins is not None:
            raise ValueError("give values or bins, not both")
        spans = sorted((low, high, name) for name, (low, high) in (self.bins or {}).items())
        for low, high, name in spans:
            if not low < high:
                raise ValueError(f"bin {name}: low {low} must be less than high {high}")
        for (_, high, first), (low, _, second) in itertools.pairwise(spans):
            if low < high:
                raise ValueError(f"bins {first} and {second} overlap")
        return self


class NumberLabel(Section):
    """A number per text."""

    kind: Literal["number"]
    column: str


class TagsLabel(Section):
    """A tag per token; read as IOB1, IOB2 or BIOES, kept as IOB2."""

    kind: Literal["tags"]
    column: str
    scheme: Literal["iob1", "iob2", "bioes"] = "iob2"


Label = Annotated[ClassLabel | NumberLabel | TagsLabel, Field(discriminator="kind")]


def _text_encoding(name: str) -> str:
    """The name, if Python knows an encoding of texts by it in which ASCII is as in UTF-8: files are read line by line."""
    plain = string.ascii_letters + "\n"
    try:
        fits = plain.encode().decode(name) == plain
    except (LookupError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"{name!r} is no encoding of texts that keeps ASCII as it is; choose one such as cp1252, latin-1 or shift_jis")
    return name


class Fractions(Section):
    """How rows are dealt out where the source does not say: by a hash of the text, so that equal texts stay together."""

    train: Rate
    validation: Share = 0.0
    test: Share = 0.0

    @model_validator(mode="after")
    def _check(self) -> "Fractions":
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class Dataset(Section):
    """One labelled data set."""

    source: Annotated[
        Annotated[Source, Tag("Source")] | Annotated[dict[Split, Source], Field(min_length=1), Tag("Sources")], Discriminator(_source_form)
    ]
    """One source, or one for each split that the publisher gives."""
    reader: Reader
    text: str = "text"
    """Column that holds the text; for ``conll`` and ``parallel`` readers the column of tokens."""
    tokens: bool = False
    """For csv, jsonl and parquet: the text column holds tokens (a list, or split by spaces)."""
    labels: Annotated[dict[Name, Label], Field(min_length=1)]
    split: Fractions | None = None
    """Deals out the rows of a single source, or of the source named ``train`` where others lack;
    leave it out where every split has a source."""
    encoding: Annotated[str, AfterValidator(_text_encoding)] | None = None
    """Fallback for bytes that are not UTF-8, such as ``cp1252``; without one such a byte is an error."""
    unescape_html: bool = False
    """Turns ``&amp;`` and its like into the characters they stand for, in texts that are not tokens."""
    max_malformed: Share = 0.01
    """Share of malformed rows above which reading fails."""

    @property
    def sources(self) -> dict[str, Source]:
        """The sources by split name; a single source is named ``all``."""
        named = self.source if isinstance(self.source, dict) else {"all": self.source}
        return {str(split): source for split, source in named.items()}


# --- tasks ----------------------------------------------------------------------------------------------------------

LABEL_KIND = {"classification": "class", "regression": "number", "token_classification": "tags"}
"""Task type (a module of ``mtl.tasks``) to the kind of label that it learns."""


class Task(Section):
    """One thing that the model learns to predict: a head on the shared encoder."""

    type: Literal["classification", "regression", "token_classification"]
    label: Name
    """Label of the data sets below."""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Data sets to learn from; without it, all that have the label."""
    weight: Positive = 1.0
    """wₜ in the joint loss Σ wₜ·ℓₜ."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    methods: dict[Name, Count] | None = None
    """Augmentation methods whose variants this task learns from, and how many copies of each at most; without it, all of
    ``augment.methods``. ``{}``: none."""

    def learns_from(self, method: str, copy: int) -> bool:
        """Whether this task learns from a method's variant number ``copy``, counted from 0."""
        return self.methods is None or copy < self.methods.get(method, 0)


# --- augmentation ---------------------------------------------------------------------------------------------------


class Method(Section):
    """What all augmentation methods have in common."""

    needs_tags: ClassVar[bool] = False
    """Whether the method works on tags: it is then applied only to data sets that have some."""
    borrows: ClassVar[bool] = False
    """Whether its variants hold words of other rows of the train split."""

    copies: Annotated[int, Field(ge=1, le=100)] = 1
    """Variants made of each training row."""
    datasets: tuple[Name, ...] | None = None
    """Data sets it is applied to; without it, all that it can work on."""


class Synonym(Method):
    """Swaps words for synonyms of the shipped table, one token for one token."""

    type: Literal["synonym"]
    rate: Rate = 0.3
    """Share of the words that have a synonym that are swapped."""


class BackTranslate(Method):
    """Translates there and back; entities and other protected tokens go through as placeholders."""

    type: Literal["back_translate"]
    engine: Literal["apertium", "transformers", "ctranslate2"] = "apertium"
    """Apertium translates by rules; the others run a pair of models, ctranslate2 with 8-bit weights and faster on a CPU."""
    pivots: Annotated[tuple[str, ...], Field(min_length=1)] = ("eo", "es")
    """Apertium: pivot languages, taken in turn by the copies. Other engines: ignored."""
    forward: Source | None = None
    """transformers, ctranslate2: the model into the pivot language."""
    backward: Source | None = None
    """transformers, ctranslate2: the model back."""

    @property
    def models(self) -> dict[str, Source]:
        """The models that the engine runs, by key."""
        named = {"forward": self.forward, "backward": self.backward}
        return {} if self.engine == "apertium" else {key: source for key, source in named.items() if source}

    @model_validator(mode="after")
    def _check(self) -> "BackTranslate":
        if self.engine != "apertium" and len(self.models) < 2:
            raise ValueError(f"engine {self.engine} needs forward and backward models")
        unknown = set(self.pivots) - {"eo", "es"}
        if self.engine == "apertium" and unknown:
            raise ValueError(f"unknown pivot {', '.join(sorted(unknown))}; choose from: eo, es")
        return self


class Nlpaug(Method):
    """Any word or character augmenter of nlpaug, by its class name."""

    type: Literal["nlpaug"]
    augmenter: Annotated[str, Field(min_length=1)]
    """Such as ``KeyboardAug`` (nlpaug.augmenter.char) or ``SpellingAug`` (nlpaug.augmenter.word). ``type: "nlpaug:KeyboardAug"`` is
    short for ``type: nlpaug`` and ``augmenter: KeyboardAug``."""
    options: dict[str, Any] = {}
    """Arguments of its constructor."""


class MentionReplace(Method):
    """Replaces entities by others of the same type from the train split (Dai & Adel 2020)."""

    needs_tags = True
    borrows = True
    type: Literal["mention_replace"]
    rate: Rate = 0.5
    """Chance that an entity is replaced."""


class LabelTokenReplace(Method):
    """Replaces tokens by others that carry the same tag in the train split (Dai & Adel 2020)."""

    needs_tags = True
    borrows = True
    type: Literal["label_token_replace"]
    rate: Rate = 0.2
    """Chance that a token is replaced."""


class ShuffleWithinSegments(Method):
    """Shuffles tokens within segments: an entity, or what stands between two (Dai & Adel 2020)."""

    needs_tags = True
    type: Literal["shuffle_within_segments"]
    rate: Rate = 0.3
    """Chance that a segment is shuffled."""


class Delete(Method):
    """Leaves words out, never entities (random deletion of Wei & Zou 2019)."""

    type: Literal["delete"]
    rate: Rate = 0.1
    """Chance that a word is left out."""


class Swap(Method):
    """Lets pairs of words change places, never entities (random swap of Wei & Zou 2019)."""

    type: Literal["swap"]
    rate: Rate = 0.1
    """Swaps per word, at least one a row."""


class InsertPunctuation(Method):
    """Puts punctuation between words, never into entities (AEDA, Karimi, Rossi & Prati 2021)."""

    type: Literal["insert_punctuation"]
    rate: Rate = 0.3
    """Marks per word at most; how many is drawn from 1 up to that."""


class Typo(Method):
    """Makes one slip of the keyboard in some words, never in entities: a neighbouring, missing, doubled or exchanged letter."""

    type: Literal["typo"]
    rate: Rate = 0.1
    """Chance that a word is misspelt, at least one a row."""


class NlpaugInShort(Method):
    """Any word or character augmenter of nlpaug, named in the type."""

    type: Annotated[str, Field(pattern=r"^nlpaug:.+$")]
    """Such as ``nlpaug:KeyboardAug``."""
    options: dict[str, Any] = {}
    """Arguments of its constructor."""


def _at_length(method: Any) -> Any:
    """``type: "nlpaug:KeyboardAug"`` as type and augmenter."""
    kind = method.get("type") if isinstance(method, Mapping) else None
    if not isinstance(kind, str) or not kind.startswith("nlpaug:"):
        return method
    if "augmenter" in method:
        raise ValueError(f"name the augmenter in type ({kind}) or in augmenter, not in both")
    return {**method, "type": "nlpaug", "augmenter": kind.removeprefix("nlpaug:")}


_Methods = Annotated[
    Synonym
    | BackTranslate
    | MentionReplace
    | LabelTokenReplace
    | ShuffleWithinSegments
    | Delete
    | Swap
    | InsertPunctuation
    | Typo
    | Nlpaug,
    Field(discriminator="type"),
]
AugmentMethod = Annotated[_Methods, BeforeValidator(_at_length, json_schema_input_type=_Methods | NlpaugInShort)]


class Augment(Section):
    """Augmentation of the train split."""

    shards: Annotated[int, Field(ge=1, le=99_999)] = 2
    """Shards per data set: one job and one Parquet file each."""
    methods: dict[Name, AugmentMethod] = {}
    """By a name of your choice, which rows and report carry."""
    share: Share = 0.5
    """Chance that a row that has variants is trained on as one of them rather than as it was written."""
    min_similarity: Share | None = None
    """Variants are dropped if the cosine of their embedding and their original's is below it: that of the pretrained encoder, which must be
    of type transformer. Null: no text is embedded."""


# --- model and training ---------------------------------------------------------------------------------------------


class BaseEncoder(Section):
    """What all encoders have in common."""

    max_length: Annotated[int, Field(ge=8, le=8192)] = 128
    """Longest sequence in pieces, special ones included."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1


class TransformerEncoder(BaseEncoder):
    """Any Hugging Face encoder: a folder, a package's folder, or ``hf://owner/name``."""

    type: Literal["transformer"]
    source: Source
    word_shape: bool = True
    """Adds a learned embedding of each word's shape (case, digits), zero at the start; helps uncased encoders with entities."""
    pooling: Literal["mean", "first"] = "mean"
    """What a text-level head sees of a text: the mean of its hidden states, or that of its first piece ([CLS])."""
    task_layers: Annotated[int, Field(ge=0)] = 0
    """How many of the topmost layers each task has a copy of its own of; the tasks share what is below."""


class SmallEncoder(BaseEncoder):
    """Encoders trained from scratch on a vocabulary learnt from the train split."""

    vocabulary: Annotated[int, Field(ge=260, le=60_000)] = 8_000
    width: Annotated[int, Field(ge=8, le=4096)] = 128


class FeedForwardEncoder(SmallEncoder):
    """Embeddings of a window of pieces through a multi-layer perceptron."""

    type: Literal["fnn"]
    window: Annotated[int, Field(ge=0, le=8)] = 2
    layers: Layers = 2


class ConvolutionalEncoder(SmallEncoder):
    """Convolutions of several widths side by side (Kim 2014)."""

    type: Literal["cnn"]
    kernels: Annotated[tuple[Annotated[int, Field(ge=1, le=15)], ...], Field(min_length=1)] = (3, 5)
    layers: Layers = 2


class RecurrentEncoder(SmallEncoder):
    """A bidirectional LSTM or GRU."""

    type: Literal["rnn"]
    cell: Literal["lstm", "gru"] = "lstm"
    layers: Layers = 1


Encoder = Annotated[TransformerEncoder | FeedForwardEncoder | ConvolutionalEncoder | RecurrentEncoder, Field(discriminator="type")]


class PlainBalancing(Section):
    """Balancing without settings of its own: a fixed sum, or an aggregation of the tasks' encoder gradients."""

    type: Literal["static", "pcgrad", "mgda", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"]


class GradientNormBalancing(Section):
    """Equal norms: tasks weigh on the shared encoder in proportion to their weights, whatever the scale of their losses."""

    type: Literal["gradient_norm"]
    by: Literal["task", "dataset"] = "task"
    """dataset: tasks that learn from the same data sets have one say together, shared among them, rather than one each."""
    rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Exponent of a task's loss over the mean of all tasks' losses: above 0, tasks that lag behind pull more."""
    interval: Count = 20
    """Steps between two measurements of the norms."""


class UncertaintyBalancing(Section):
    """Weights from learned variances (Kendall, Gal & Cipolla 2018)."""

    type: Literal["uncertainty"]
    learning_rate: Positive = 0.01
    """Of the logarithms of the variances."""


class DwaBalancing(Section):
    """Dynamic weight average: more for tasks whose loss falls slowly (Liu, Johns & Davison 2019)."""

    type: Literal["dwa"]
    temperature: Positive = 2.0
    """The higher, the more alike the weights."""
    interval: Count = 50
    """Steps over which losses are averaged before they are compared; an epoch in the paper."""


class GradNormBalancing(Section):
    """Weights learned so that tasks that lag behind have larger gradients (Chen et al. 2018)."""

    type: Literal["gradnorm"]
    alpha: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.5
    """How much more a task that lags behind gets; 0: equal norms for all."""
    learning_rate: Positive = 0.025
    """Of the weights."""
    interval: Count = 1
    """Steps between two updates of the weights, each of which costs a backward pass for every task."""


class CagradBalancing(Section):
    """Conflict-averse gradient: the best step for the worst task near the mean gradient (Liu et al. 2021)."""

    type: Literal["cagrad"]
    c: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """How far from the mean gradient, as a share of its norm; 0 is the mean itself."""


BALANCING_TYPES = (
    *("gradient_norm", "static", "uncertainty", "dwa", "gradnorm"),
    *("pcgrad", "mgda", "cagrad", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"),
)
UNWEIGHTED = {"mgda", "imtl_g"}
"""Ways of balancing that have no place for ``tasks.<task>.weight``."""


def _by_name(value: Any) -> Any:
    """A plain name as a section that has only its type."""
    return {"type": value} if isinstance(value, str) else value


_Balancing = Annotated[
    PlainBalancing | GradientNormBalancing | UncertaintyBalancing | DwaBalancing | GradNormBalancing | CagradBalancing,
    Field(discriminator="type"),
]
Balancing = Annotated[_Balancing, BeforeValidator(_by_name, json_schema_input_type=Literal[BALANCING_TYPES] | _Balancing)]


class PlainSampling(Section):
    """Each data set in proportion to its size, every row once an epoch; or all data sets alike."""

    type: Literal["proportional", "uniform"]


class TemperatureSampling(Section):
    """Shares in proportion to size to the power of 1 / temperature."""

    type: Literal["temperature"]
    temperature: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    """1 is proportional; the higher, the more alike the shares."""


class AnnealedSampling(Section):
    """Shares in proportion to size to a power that falls from 1 over the run (Stickland & Murray 2019)."""

    type: Literal["annealed"]
    end: Share = 0.0
    """The power at the end of the run: 0 is uniform; 0.2 in the paper."""


class FixedSampling(Section):
    """Shares as given."""

    type: Literal["fixed"]
    shares: Annotated[dict[Name, Positive], Field(min_length=1)]
    """Data set to its share of each step; they are divided by their sum."""


SAMPLING_TYPES = ("proportional", "uniform", "temperature", "annealed")
"""Those that need no settings."""
_Sampling = Annotated[PlainSampling | TemperatureSampling | AnnealedSampling | FixedSampling, Field(discriminator="type")]
Sampling = Annotated[_Sampling, BeforeValidator(_by_name, json_schema_input_type=Literal[SAMPLING_TYPES] | _Sampling)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Adam(Section):
    """Adam (Kingma & Ba 2015). Weight decay is an L2 penalty in the gradient, which adam scales like the rest of it; adamw takes it off
    the weights by itself (decoupled, Loshchilov & Hutter 2019).
    """

    type: Literal["adam", "adamw"]
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running mean of the gradient, and of that of its square."""


class Sgd(Section):
    """Stochastic gradient descent with momentum. Weight decay is an L2 penalty in the gradient; sgdw decouples it (Loshchilov & Hutter
    2019).
    """

    type: Literal["sgd", "sgdw"]
    momentum: Decay = 0.9


_Optimizer = Annotated[Adam | Sgd, Field(discriminator="type")]
Optimizer = Annotated[
    _Optimizer,
    BeforeValidator(_by_name, json_schema_input_type=_Optimizer | Literal["adamw", "adam", "sgd", "sgdw"]),
]


class Train(Section):
    """Joint training."""

    epochs: Positive = 3.0
    """Passes over each data set's train split; with another ``sampling`` than proportional, over as many rows."""
    batch_tokens: Annotated[int, Field(ge=16)] = 1024
    """Real tokens (pieces) per optimiser step, all data sets together."""
    micro_batch_tokens: Annotated[int, Field(ge=16)] | None = None
    """Largest padded size, in pieces, of the micro-batches whose gradients add up to a step: what must fit the device's memory at once.
    The result does not depend on it. Null: what suits the device."""
    optimizer: Optimizer = Adam(type="adamw")
    """A name, or a mapping with ``type`` and settings of its own, such as ``{type: sgd, momentum: 0.95}``."""
    learning_rate: Positive = 2e-4
    """Of the encoder's top layer, at its height."""
    head_learning_rate: Positive = 1e-3
    layer_decay: Rate = 1.0
    """Factor on the learning rate from each layer of the encoder to the one below it, the embeddings being the lowest
    (discriminative fine-tuning, Howard & Ruder 2018). 1: all layers learn at the same rate."""
    freeze_layers: Annotated[int, Field(ge=0)] = 0
    """Layers of the encoder that stay as they are, counted from the bottom, embeddings first."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Of matrices; biases, norms and other vectors do not decay. Coupled or decoupled: see ``optimizer``."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """The learning rate's way after the warm-up: down to 0 in a line or by half a cosine, or level."""
    warmup: Share = 0.1
    """Share of all steps in which the learning rate rises."""
    clip_norm: Positive = 1.0
    """The greatest norm of the gradient on what the tasks share, and for each task of that on its own head and layers."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """auto: bf16 on a GPU that has it, fp16 with loss scaling on one that has not, fp32 on a CPU. tf32 is fp32 whose matrix products
    are rounded to 10 bits on a GPU."""
    balancing: Balancing = GradientNormBalancing(type="gradient_norm")
    """How much each task weighs on the shared encoder: a name, or ``{type: name, ...}`` with its settings. gradient_norm: in proportion to
    the tasks' weights, whatever the scale of their losses."""
    sampling: Sampling = PlainSampling(type="proportional")
    """What share of a step each data set has: a name, or ``{type: name, ...}`` with its settings. Whatever it is, the number of steps
    is that of ``epochs`` passes over all data sets together."""
    eval_every: Count = 50
    """Steps between two validations."""
    patience: Count = 5
    """Validations without a better score before training stops."""
    score: str = "mean"
    """What early stopping watches: the geometric ``mean`` of all tasks' main metrics, or one task's name."""
    score_window: Count = 1
    """What decides is the mean score of so many validations, the last ones: one by itself is luck in part where there are few rows."""
    stop: Literal["together", "each"] = "together"
    """together: training stops when ``score`` has not risen for ``patience`` validations. each: a task whose own main metric has not risen
    for so long is left out from there on, and training stops with the last of them."""


class Experiment(Section):
    """The matrix of runs: seeds × sizes × {joint, each task alone} × {augmented, plain}. All have the same budget of updates."""

    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (1,)
    """With several, intervals and verdicts cover the luck of training too; five show much more than two."""
    sizes: tuple[Size, ...] = ("all",)
    """Such as ``[50, 150, 500, all]``, for a learning curve: labelled train rows of each data set, drawn by the run's seed, smaller parts
    within larger ones. Validation and test stay whole."""
    joint: Annotated[tuple[Literal["augmented", "plain"], ...], Field(min_length=1)] = ("augmented", "plain")
    alone: tuple[Literal["augmented", "plain"], ...] = ("augmented",)


class Evaluate(Section):
    """Test metrics and their intervals."""

    resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Bootstrap resamples of the test rows."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Report(Section):
    """The HTML report."""

    title: str = "Multi-task training report"
    samples: Annotated[int, Field(ge=0, le=50)] = 5
    """Augmented rows shown per data set and method."""


# --- search ---------------------------------------------------------------------------------------------------------

Number = Annotated[int | float, Field(allow_inf_nan=False)]


class Range(Section):
    """Numbers from low to high; whole ones where the param takes no others."""

    low: Number
    high: Number
    log: bool = False
    """Whether 0.001 lies half-way between 0.0001 and 0.01: right for learning rates."""
    step: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Only low, low + step, … are tried."""
    points: Annotated[int, Field(ge=2)] | None = None
    """Of a grid: how many values, evenly spaced, or evenly in their logarithms with ``log``."""

    @model_validator(mode="after")
    def _check(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be less than high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low}")
        if self.step is not None and (self.log or self.points):
            raise ValueError(f"step cannot be given with {'log' if self.log else 'points'}")
        return self


Choices = Annotated[tuple[JsonValue, ...], Field(min_length=2)]


def _axis_form(value: Any) -> str:
    """Whether what is searched is a range or a list of choices."""
    return "Range" if isinstance(value, Range | Mapping) else "Choices"


Axis = Annotated[Annotated[Range, Tag("Range")] | Annotated[Choices, Tag("Choices")], Discriminator(_axis_form)]


class Tune(Section):
    """The search for better settings that ``snakemake tune`` makes; it is no part of any other milestone."""

    method: Literal["grid", "random", "tpe"] = "tpe"
    """tpe: Bayesian, by a tree-structured Parzen estimator (Bergstra et al. 2011)."""
    trials: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Trials in all, the settings as they stand being the first; 20 if not given. A grid has as many as it has points."""
    pruning: Literal["none", "median", "hyperband"] | None = None
    """Ends trials that do badly before their time. Null: median for tpe; none for grid and random, which can then be repeated exactly."""
    space: Annotated[dict[str, Axis], Field(min_length=1)]
    """What is searched: dotted path of a param to ``{low, high}`` or to a list of choices, such as
    ``train.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}``."""


class Params(Section):
    """All of ``params.yaml``. Every section but ``tune`` is required, since DVC tracks each by its name; ``train: {}`` takes the
    defaults."""

    seed: Annotated[int, Field(ge=0)]
    """Seed of splits, augmentation and search; ``experiment.seeds`` are those of the runs."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    augment: Augment
    encoder: Encoder
    train: Train
    experiment: Experiment
    evaluate: Evaluate
    report: Report
    tune: Tune | None = None
    """The search, for those who want one."""

    def datasets_of(self, task: str) -> tuple[str, ...]:
        """The names of the data sets that a task learns from, in the order of ``datasets``."""
        spec = self.tasks[task]
        return tuple(
            name
            for name, dataset in self.datasets.items()
            if spec.label in dataset.labels and (spec.datasets is None or name in spec.datasets)
        )

    def methods_of(self, dataset: str) -> dict[str, AugmentMethod]:
        """The augmentation methods that are applied to a data set."""
        tagged = any(label.kind == "tags" for label in self.datasets[dataset].labels.values())

        def applied(method: AugmentMethod) -> bool:
            return (tagged or not method.needs_tags) if method.datasets is None else dataset in method.datasets

        return {name: method for name, method in self.augment.methods.items() if applied(method)}

    def runs(self) -> dict[str, "Run"]:
        """Every run of the experiment by its name, joint ones first."""
        runs = [
            Run(tasks=tuple(self.tasks), model="joint", data=data, seed=seed, size=size)
            for seed in self.experiment.seeds
            for size in self.experiment.sizes
            for data in self.experiment.joint
        ]
        if len(self.tasks) > 1:
            runs += [
                Run(tasks=(task,), model=task, data=data, seed=seed, size=size)
                for seed in self.experiment.seeds
                for size in self.experiment.sizes
                for data in self.experiment.alone
                for task in self.tasks
            ]
        return {run.name: run for run in runs}


class Run(Section):
    """One training run of the experiment."""

    tasks: tuple[str, ...]
    model: str
    """``joint``, or the name of the task that is trained alone."""
    data: Literal["augmented", "plain"]
    seed: int
    size: Size = "all"

    @property
    def name(self) -> str:
        """Such as ``joint-augmented-1``, ``alone_entities-plain-1``, or of 150 rows ``joint-augmented-1-150``."""
        model = self.model if self.model == "joint" else f"alone_{self.model}"
        return f"{model}-{self.data}-{self.seed}" + ("" if self.size == "all" else f"-{self.size}")


# --- loading --------------------------------------------------------------------------------------------------------


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 file (the dialect that DVC writes) as plain values.

    Raises:
        ParamsError: the file is missing, is not UTF-8 or YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else YAML(typ="safe", pure=True).load(text)
    except FileNotFoundError:
        raise ParamsError(str(path), [Fault("file", "does not exist")]) from None
    except (YAMLError, ValueError, KeyError, RecursionError, OSError) as error:
        raise ParamsError(str(path), [Fault("file", f"cannot be read as YAML: {error}")]) from None
    if not isinstance(content, dict):
        raise ParamsError(str(path), [Fault("file", "must be a mapping of sections")])
    return content


def load(path: Path) -> Params:
    """Read and check a params file (YAML or JSON).

    Raises:
        ParamsError: lists every fault with its dotted path and the allowed values.
    """
    return parse(read_yaml(path), source=str(path))


def parse(content: Mapping[str, Any], source: str = "params") -> Params:
    """Check settings that were read already.

    Raises:
        ParamsError: lists every fault with its dotted path and the allowed values.
    """
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        tags = _SOURCE_FORMS | _union_tags(Params.model_json_schema())
        faults = [_fault(item, content, tags) for item in error.errors()]
        raise ParamsError(source, [*faults, *_relations_of_raw(content)]) from None
    faults = _relations(params)
    if faults:
        raise ParamsError(source, faults)
    return params


def dump(params: Params) -> str:
    """All settings, defaults included, as JSON in the order given: data sets and tasks are dealt with in that order."""
    return json.dumps(params.model_dump(mode="json"), indent=1) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON schema that editors use to check and complete ``params.yaml``."""
    schema = Params.model_json_schema()
    docs = _docs()
    for name, section in {"Params": schema, **schema["$defs"]}.items():
        for key, described in section.get("properties", {}).items():
            owners = (base.__name__ for base in globals()[name].__mro__)
            if text := next((docs[owner][key] for owner in owners if key in docs.get(owner, {})), None):
                section["properties"][key] = dict(sorted({**described, "description": text}.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _docs() -> dict[str, dict[str, str]]:
    """The strings below the fields of each class. Pydantic would look them up in every process that imports this module."""
    classes = [node for node in ast.parse(Path(__file__).read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    return {
        node.name: {
            field.target.id: inspect.cleandoc(below.value.value)
            for field, below in itertools.pairwise(node.body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
        }
        for node in classes
    }


_OPTIONAL_SECTIONS = ("augment", "train", "experiment", "evaluate", "report")
_SOURCE_FORMS = {"Source", "Sources", "Range", "Choices"}


def _union_tags(schema: Any) -> set[str]:
    """The names by which a JSON schema tells the members of its unions apart; pydantic puts them into the paths of errors."""
    if isinstance(schema, list):
        return set().union(*map(_union_tags, schema))
    if not isinstance(schema, dict):
        return set()
    return _union_tags(list(schema.values())) | set(schema.get("discriminator", {}).get("mapping", ()))


def _fault(item: Any, content: Mapping[str, Any], tags: set[str]) -> Fault:
    """One pydantic error as a fault: its path without the tags of unions, its message with the bad value and the choices."""
    path: list[str] = []
    node: Any = content
    for part in item["loc"]:
        inside = (isinstance(node, Mapping) and part in node) or (isinstance(node, list) and isinstance(part, int) and part < len(node))
        if not inside and (part in tags or ("[" in str(part) and item["type"] != "missing")):
            continue
        if part == "[key]":
            continue
        path.append(str(part))
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            node = None
    key = ".".join(path) or "params"
    return Fault(key, _message(item))


def _message(item: Any) -> str:
    value = item.get("input")
    match item["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            whole_section = len(item["loc"]) == 1 and item["loc"][0] in _OPTIONAL_SECTIONS
            return f"is required; write `{item['loc'][0]}: {{}}` for the defaults" if whole_section else "is required"
        case "union_tag_invalid":
            context = item["ctx"]
            return f"{context['tag']!r} is unknown; choose from: {context['expected_tags']}"
        case "union_tag_not_found":
            return f"{item['ctx']['discriminator']} is required"
        case "value_error":
            return str(item["ctx"]["error"])
    message = str(item["msg"]).removeprefix("Input ")
    scalar = isinstance(value, str | int | float | bool) or value is None
    return f"{message}, not {value!r}" if scalar else message


def _relations(params: Params) -> list[Fault]:
    """Faults that lie between sections."""
    faults: list[Fault] = []
    names = ", ".join(params.datasets)
    for task, spec in params.tasks.items():
        for name in spec.datasets or ():
            if name not in params.datasets:
                faults.append(Fault(f"tasks.{task}.datasets", f"{name!r} is no data set; choose from: {names}"))
            elif spec.label not in params.datasets[name].labels:
                choices = ", ".join(params.datasets[name].labels)
                faults.append(Fault(f"tasks.{task}.label", f"data set {name!r} has no label {spec.label!r}; choose from: {choices}"))
        if spec.label_smoothing and spec.type == "regression":
            faults.append(Fault(f"tasks.{task}.label_smoothing", "has no meaning for numbers; leave it out"))
        if not params.datasets_of(task) and spec.datasets is None:
            choices = ", ".join(sorted({label for dataset in params.datasets.values() for label in dataset.labels}))
            faults.append(Fault(f"tasks.{task}.label", f"no data set has a label {spec.label!r}; choose from: {choices}"))
        for name in params.datasets_of(task):
            kind = params.datasets[name].labels[spec.label].kind
            if kind != LABEL_KIND[spec.type]:
                fitting = ", ".join(type_ for type_, wanted in LABEL_KIND.items() if wanted == kind)
                faults.append(
                    Fault(
                        f"tasks.{task}.type", f"label {spec.label!r} of {name!r} is a {kind}; choose {fitting}, or change the label's kind"
                    )
                )
    for name, dataset in params.datasets.items():
        faults += _dataset_faults(name, dataset)
    for method, spec_ in params.augment.methods.items():
        for name in spec_.datasets or ():
            if name not in params.datasets:
                faults.append(Fault(f"augment.methods.{method}.datasets", f"{name!r} is no data set; choose from: {names}"))
            elif spec_.needs_tags and not any(label.kind == "tags" for label in params.datasets[name].labels.values()):
                faults.append(Fault(f"augment.methods.{method}.datasets", f"{spec_.type} works on tags, and {name!r} has none"))
        if isinstance(spec_, BackTranslate) and spec_.models and method == "encoder":
            faults.append(Fault("augment.methods.encoder", "the name is kept for the download of the encoder; choose another"))
    if params.augment.min_similarity is not None and not isinstance(params.encoder, TransformerEncoder):
        found = f"encoder.type is {params.encoder.type!r}; choose transformer, or null for no such filter"
        faults.append(Fault("augment.min_similarity", f"needs a pretrained encoder, and {found}"))
    for task, spec in params.tasks.items():
        for name in spec.methods or ():
            if name not in params.augment.methods:
                choices = ", ".join(params.augment.methods) or "(none)"
                faults.append(Fault(f"tasks.{task}.methods", f"{name!r} is no method of augment.methods; choose from: {choices}"))
    if params.train.score != "mean" and params.train.score not in params.tasks:
        faults.append(Fault("train.score", f"{params.train.score!r} is unknown; choose from: mean, {', '.join(params.tasks)}"))
    faults += _training_faults(params)
    for task in {"delta_m", "joint", "mean", "score", "text", "tokens"} & set(params.tasks):
        faults.append(Fault(f"tasks.{task}", "the name is kept for a part of the results; choose another"))
    for key, values in (("seeds", params.experiment.seeds), ("sizes", params.experiment.sizes)):
        faults += [Fault(f"experiment.{key}", f"names {value} twice") for value, times in Counter[Any](values).items() if times > 1]
    if "all" not in params.experiment.sizes:
        faults.append(Fault("experiment.sizes", "must hold all: the headline and `predict` use the runs on all rows"))
    if "augmented" in (*params.experiment.joint, *params.experiment.alone) and not params.augment.methods:
        faults.append(Fault("augment.methods", "is empty, yet experiment asks for augmented runs; name a method or leave only plain"))
    return faults


def _training_faults(params: Params) -> list[Fault]:
    """Balancing and sampling that do not fit tasks and data sets."""
    kind, sampling = params.train.balancing.type, params.train.sampling
    faults = [
        Fault(f"tasks.{task}.weight", f"train.balancing {kind} has no place for weights; leave it at 1, or choose another way of balancing")
        for task, spec in params.tasks.items()
        if kind in UNWEIGHTED and spec.weight != 1
    ]
    if isinstance(sampling, FixedSampling):
        used = [name for name in params.datasets if any(name in params.datasets_of(task) for task in params.tasks)]
        faults += [Fault(f"train.sampling.shares.{name}", "is required") for name in used if name not in sampling.shares]
        faults += [
            Fault(f"train.sampling.shares.{name}", f"is no data set that a task learns from; choose from: {', '.join(used)}")
            for name in sampling.shares
            if name not in used
        ]
    return faults


def scoring_faults(params: Params) -> list[Fault]:
    """Tasks that would be trained but could not be scored: no data set of theirs has test rows."""
    return [
        Fault(f"tasks.{task}", f"no test rows to score it on: give {', '.join(names)} a share of test in split, or a source for test")
        for task, names in ((task, params.datasets_of(task)) for task in params.tasks)
        if not any("test" in params.datasets[name].sources or getattr(params.datasets[name].split, "test", 0) > 0 for name in names)
    ]


RESERVED = {"id", "split", "tokens", "space_after", "parent_id", "augmenter"}
"""Columns of the canonical table (``mtl.data.schema``), which no label may be named after."""


def _dataset_faults(name: str, dataset: Dataset) -> list[Fault]:
    """Faults inside one data set that involve several of its keys."""
    faults: list[Fault] = []
    if not isinstance(dataset.source, dict) and dataset.split is None:
        faults.append(Fault(f"datasets.{name}.split", "is required where there is one source"))
    if isinstance(dataset.source, dict) and "train" not in dataset.source:
        faults.append(Fault(f"datasets.{name}.source", "needs a source for train"))
    if isinstance(dataset.source, dict):
        faults += [
            Fault(f"datasets.{name}.split.{split}", "there is a source for this split, to which no other rows belong; leave it out, or 0")
            for split in ("validation", "test")
            if split in dataset.source and getattr(dataset.split, split, 0) > 0
        ]
    faults += [
        Fault(f"datasets.{name}.labels.{label}", "the name is kept for a column of its own; choose another")
        for label in RESERVED & set(dataset.labels)
    ]
    columns = _columns(dataset.reader)
    if columns is not None:
        wanted = {f"labels.{label}.column": spec.column for label, spec in dataset.labels.items()}
        wanted["text"] = "token" if isinstance(dataset.reader, ConllReader) else dataset.text
        for key, column in wanted.items():
            if column not in columns:
                faults.append(Fault(f"datasets.{name}.{key}", f"{column!r} is no column; choose from: {', '.join(columns)}"))
    return faults


def _columns(reader: Any) -> tuple[str, ...] | None:
    """The columns that a reader declares, or None where only the file knows."""
    if isinstance(reader, ParallelReader):
        return tuple(reader.files)
    columns: tuple[str, ...] | None = getattr(reader, "columns", None)
    return columns


def _relations_of_raw(content: Mapping[str, Any]) -> list[Fault]:
    """Faults between sections that can be told although some section is wrong: tasks that name no data set or label."""
    datasets, tasks = content.get("datasets"), content.get("tasks")
    if not isinstance(datasets, Mapping) or not isinstance(tasks, Mapping):
        return []
    faults = []
    labels = {
        label
        for dataset in datasets.values()
        if isinstance(dataset, Mapping) and isinstance(dataset.get("labels"), Mapping)
        for label in dataset["labels"]
    }
    for task, spec in tasks.items():
        if not isinstance(spec, Mapping):
            continue
        named = spec.get("datasets")
        for name in named if isinstance(named, list) else ():
            if isinstance(name, str) and name not in datasets:
                faults.append(Fault(f"tasks.{task}.datasets", f"{name!r} is no data set; choose from: {', '.join(map(str, datasets))}"))
        if isinstance(spec.get("label"), str) and spec["label"] not in labels:
            faults.append(
                Fault(
                    f"tasks.{task}.label", f"no data set has a label {spec['label']!r}; choose from: {', '.join(sorted(map(str, labels)))}"
                )
            )
    return faults
