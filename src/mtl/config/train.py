"""The section ``train``: balancing, sampling, optimiser and all else that training needs."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mtl.config.base import Count, Name, Positive, Rate, Section, Share, by_name


class PlainBalancing(Section):
    """Balancing without settings of its own: a fixed sum, or an aggregation of the tasks' encoder gradients."""

    type: Literal["static", "pcgrad", "mgda", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"]


class GradientNormBalancing(Section):
    """Equal norms: tasks weigh on the shared encoder in proportion to their weights, whatever the scale of their losses."""

    type: Literal["gradient_norm"]
    by: Literal["task", "dataset"] = "task"
    """dataset: tasks that learn from the same datasets have one say together, shared among them, rather than one each."""
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


_Balancing = Annotated[
    PlainBalancing | GradientNormBalancing | UncertaintyBalancing | DwaBalancing | GradNormBalancing | CagradBalancing,
    Field(discriminator="type"),
]


Balancing = Annotated[_Balancing, BeforeValidator(by_name, json_schema_input_type=Literal[BALANCING_TYPES] | _Balancing)]


class PlainSampling(Section):
    """Each dataset in proportion to its size, every row once an epoch; or all datasets alike."""

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
    """Dataset to its share of each step; they are divided by their sum."""


SAMPLING_TYPES = ("proportional", "uniform", "temperature", "annealed")
"""Those that need no settings."""


_Sampling = Annotated[PlainSampling | TemperatureSampling | AnnealedSampling | FixedSampling, Field(discriminator="type")]


Sampling = Annotated[_Sampling, BeforeValidator(by_name, json_schema_input_type=Literal[SAMPLING_TYPES] | _Sampling)]


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
    BeforeValidator(by_name, json_schema_input_type=_Optimizer | Literal["adamw", "adam", "sgd", "sgdw"]),
]


class Train(Section):
    """Joint training."""

    epochs: Positive = 3.0
    """Passes over each dataset's train split; with another ``sampling`` than proportional, over as many rows."""
    batch_tokens: Annotated[int, Field(ge=16)] = 1024
    """Real tokens (subwords) per optimiser step, all datasets together."""
    micro_batch_tokens: Annotated[int, Field(ge=16)] | None = None
    """Largest padded size, in subwords, of the micro-batches whose gradients add up to a step: what must fit the device's memory at once.
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
    """What share of a step each dataset has: a name, or ``{type: name, ...}`` with its settings. Whatever it is, the number of steps
    is that of ``epochs`` passes over all datasets together."""
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
