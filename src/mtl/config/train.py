"""The section ``train``: balancing, sampling, optimiser, schedule and stopping."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mtl.config.base import Count, Name, Positive, Rate, Section, Share, by_name


class PlainBalancing(Section):
    """Balancing without settings: fixed weights, or an aggregation of the tasks' encoder gradients."""

    type: Literal["static", "pcgrad", "mgda", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"]


class GradientNormBalancing(Section):
    """Equal gradient norms: each task's gradient share follows its weight, whatever the scale of its loss."""

    type: Literal["gradient_norm"]
    by: Literal["task", "dataset"] = "task"
    """task: each task has a gradient share of its own. dataset: tasks that learn from the same datasets divide one share."""
    rate: Annotated[float, Field(ge=0)] = 0.0
    """Exponent of a task's loss relative to the mean loss: above 0, tasks that lag behind get larger gradient shares."""
    interval: Count = 20
    """Steps between two measurements of the gradient norms."""


class UncertaintyBalancing(Section):
    """Weights from learned variances (Kendall, Gal & Cipolla 2018)."""

    type: Literal["uncertainty"]
    learning_rate: Positive = 0.01
    """Learning rate of the log variances."""


class DwaBalancing(Section):
    """Dynamic weight average: more for tasks whose loss falls slowly (Liu, Johns & Davison 2019)."""

    type: Literal["dwa"]
    temperature: Positive = 2.0
    """Higher values make the weights more equal."""
    interval: Count = 50
    """Steps over which losses are averaged before they are compared. The paper uses an epoch."""


class GradNormBalancing(Section):
    """Weights learned so that tasks that lag behind have larger gradients (Chen et al. 2018)."""

    type: Literal["gradnorm"]
    alpha: Annotated[float, Field(ge=0)] = 1.5
    """How strongly tasks that lag behind are favoured; 0 gives all tasks equal norms."""
    learning_rate: Positive = 0.025
    """Learning rate of the weights."""
    interval: Count = 1
    """Steps between two updates of the weights. Each update costs a backward pass per task."""


class CagradBalancing(Section):
    """Conflict-averse gradient: the best step for the worst task near the mean gradient (Liu et al. 2021)."""

    type: Literal["cagrad"]
    c: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Distance from the mean gradient, as a share of its norm; 0 gives the mean itself."""


BALANCING_TYPES = (
    *("gradient_norm", "static", "uncertainty", "dwa", "gradnorm"),
    *("pcgrad", "mgda", "cagrad", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"),
)


UNWEIGHTED = {"mgda", "imtl_g"}
"""Balancing methods that do not use ``tasks.<task>.weight``."""


_Balancing = Annotated[
    PlainBalancing | GradientNormBalancing | UncertaintyBalancing | DwaBalancing | GradNormBalancing | CagradBalancing,
    Field(discriminator="type"),
]


Balancing = Annotated[_Balancing, BeforeValidator(by_name, json_schema_input_type=Literal[BALANCING_TYPES] | _Balancing)]


class PlainSampling(Section):
    """proportional: each dataset in proportion to its size, every row once per epoch. uniform: equal shares."""

    type: Literal["proportional", "uniform"]


class TemperatureSampling(Section):
    """Shares in proportion to size to the power of 1 / temperature."""

    type: Literal["temperature"]
    temperature: Annotated[float, Field(ge=1)] = 2.0
    """1 is proportional; higher values make the shares more equal."""


class AnnealedSampling(Section):
    """Shares in proportion to size to a power that falls from 1 over the run (Stickland & Murray 2019)."""

    type: Literal["annealed"]
    end: Share = 0.0
    """The power at the end of the run: 0 is uniform; 0.2 in the paper."""


class FixedSampling(Section):
    """Fixed shares."""

    type: Literal["fixed"]
    shares: Annotated[dict[Name, Positive], Field(min_length=1)]
    """Share of each dataset in a step; shares are normalised."""


SAMPLING_TYPES = ("proportional", "uniform", "temperature", "annealed")
"""Sampling types that need no settings."""


_Sampling = Annotated[PlainSampling | TemperatureSampling | AnnealedSampling | FixedSampling, Field(discriminator="type")]


Sampling = Annotated[_Sampling, BeforeValidator(by_name, json_schema_input_type=Literal[SAMPLING_TYPES] | _Sampling)]


Decay = Annotated[float, Field(ge=0, lt=1)]


class Adam(Section):
    """Adam (Kingma & Ba 2015). ``adam`` adds weight decay to the gradient as an L2 penalty; ``adamw`` decouples it (Loshchilov & Hutter
    2019).
    """

    type: Literal["adam", "adamw"]
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay rates of the running means of the gradient and of its square."""


class Sgd(Section):
    """Stochastic gradient descent with momentum. ``sgd`` adds weight decay to the gradient as an L2 penalty; ``sgdw`` decouples it
    (Loshchilov & Hutter 2019).
    """

    type: Literal["sgd", "sgdw"]
    momentum: Decay = 0.9


_Optimizer = Annotated[Adam | Sgd, Field(discriminator="type")]


Optimizer = Annotated[
    _Optimizer,
    BeforeValidator(by_name, json_schema_input_type=_Optimizer | Literal["adamw", "adam", "sgd", "sgdw"]),
]


class Train(Section):
    """Joint training."""

    epochs: Annotated[float, Field(gt=0, le=100_000)] = 3.0
    """Passes over the train split of each dataset. With a ``sampling`` other than proportional: passes over as many rows."""
    batch_tokens: Annotated[int, Field(ge=16)] = 1024
    """Subword tokens per optimiser step, over all datasets."""
    micro_batch_tokens: Annotated[int, Field(ge=16)] | None = None
    """Largest padded size of a micro-batch, in subwords: what must fit the device's memory at once. The gradients of a step's micro-batches
    are added up, so the result does not depend on it. Null: chosen for the device."""
    optimizer: Optimizer = Adam(type="adamw")
    """A name, or a mapping with ``type`` and its settings, such as ``{type: sgd, momentum: 0.95}``."""
    learning_rate: Positive = 2e-4
    """Peak learning rate of the encoder's top layer."""
    head_learning_rate: Positive = 1e-3
    """Peak learning rate of the heads."""
    layer_decay: Rate = 1.0
    """Learning rate of each encoder layer relative to the layer above it; the embeddings are the lowest layer (discriminative fine-tuning,
    Howard & Ruder 2018). 1: all layers have the same rate."""
    freeze_layers: Annotated[int, Field(ge=0)] = 0
    """Number of frozen encoder layers, counted from the embeddings up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of matrices; biases, norms and other vectors do not decay. See ``optimizer`` for coupled or decoupled decay."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning rate after the warm-up: linear or cosine decay to 0, or constant."""
    warmup: Share = 0.1
    """Share of all steps in which the learning rate rises linearly from 0."""
    clip_norm: Positive = 1.0
    """Largest gradient norm: of the shared parameters, and separately of each task's own head and layers."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """auto: bf16 on a GPU that supports it, fp16 with loss scaling on other GPUs, fp32 on a CPU. tf32: fp32 with matrix products rounded
    to 10 bits on a GPU."""
    int8: bool = False
    """Also measure what prediction in int8 changes in the scores of the validation rows, for the model folder."""
    balancing: Balancing = GradientNormBalancing(type="gradient_norm")
    """How the tasks' gradients on the shared encoder are balanced: a name, or ``{type: name, ...}`` with its settings."""
    sampling: Sampling = PlainSampling(type="proportional")
    """The share of each dataset in a step: a name, or ``{type: name, ...}`` with its settings. The number of steps is always that of
    ``epochs`` passes over all datasets."""
    unlabelled: Positive = 1.0
    """Subwords of rows without labels in a step, as a multiple of ``batch_tokens``, where a task has ``consistency``. Their variants come
    on top."""
    eval_every: Count = 50
    """Steps between two validations."""
    patience: Count = 5
    """Validations without improvement before training stops."""
    score: str = "mean"
    """Score that early stopping watches: the geometric ``mean`` of all main metrics, or the main metric of the named task."""
    score_window: Count = 1
    """Number of most recent validations whose mean score decides. A single validation on few rows is noisy."""
    stop: Literal["together", "each"] = "together"
    """together: training stops when ``score`` has not risen for ``patience`` validations. each: a task is left out once its own main metric
    has not risen for ``patience`` validations; training stops with the last task."""
