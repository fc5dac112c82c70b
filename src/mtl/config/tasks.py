"""The section ``tasks``: what the settings of all task types have in common. Each type adds its own in its module of ``mtl.tasks``."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from mtl import plugins
from mtl.config.base import Count, Name, OneOf, Positive, Rate, Section, Share
from mtl.config.decoder import Decoder


def takes(methods: dict[str, int] | None, method: str, copy: int) -> bool:
    """Whether ``methods`` take a method's variant number ``copy``, counted from 0; None takes all."""
    return methods is None or copy < methods.get(method, 0)


class Consistency(Section):
    """Training on rows without labels: the prediction on a variant follows that on its original row (UDA: Xie et al. 2020)."""

    methods: dict[Name, Count] | None = None
    """Augmentation methods whose variants are compared with their original rows, each with its maximum number of copies; by default all of
    ``augment.methods``."""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Datasets whose train rows without a label of this task are used; by default those that the task learns from, and those that have no
    labels and the same text fields."""
    weight: Positive = 1.0
    """Factor of the consistency term, a mean over the compared rows or tokens, in the task's loss."""
    confidence: Share = 0.8
    """Probability that the best class or tag of an original row must have for its variant to follow. Numbers are always followed."""
    temperature: Rate = 0.4
    """What the logits of the original row are divided by, which makes its prediction sharper; 1 leaves it. Numbers have none."""
    align: bool = True
    """Shifts predicted classes so that their running mean is the share of each class in the labelled train rows, weighted by
    ``class_weights`` if there are any (distribution alignment: Berthelot et al. 2020). Turn it off where rows without labels have other
    shares. Tags and numbers have no alignment."""
    anneal: Literal["linear", "log", "exp"] | None = None
    """Training signal annealing: labelled rows or tokens whose class is predicted with more than a probability are left out. It rises from
    chance to 1 over the run: most slowly at first with ``exp``, fastest with ``log``. Null: no annealing. Numbers have none."""


class TaskSettings(Section):
    """One thing that the model learns to predict: a head on the shared encoder."""

    implementation: ClassVar[str]
    """``module:Class`` of the ``mtl.tasks.base.TaskType``."""
    label_types: ClassVar[tuple[str, ...]]
    """Types of labels that such a task learns."""
    second_field: ClassVar[bool] = False
    """Whether its labels must be about the second of two text fields, such as a context after a question."""

    type: str
    label: Name
    """Label of the datasets below."""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Datasets to learn from; by default all that have the label."""
    metric: str | None = None
    """Main metric: weights are kept by it, a search tunes it, and headlines show it. By default the task type's first one."""
    weight: Positive = 1.0
    """wₜ in the joint loss Σ wₜ·ℓₜ."""
    methods: dict[Name, Count] | None = None
    """Augmentation methods whose variants this task learns from, each with its maximum number of copies; by default all of
    ``augment.methods``. ``{}``: none."""
    consistency: Consistency | None = None
    """Learns from rows without labels too, in augmented runs."""

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, name: str | None) -> str | None:
        if name is not None:
            plugins.implementation_of(cls).metric(name)
        return name

    @property
    def main_metric(self) -> Any:
        """The ``mtl.tasks.base.Metric`` that it is judged by."""
        return plugins.implementation_of(self).metric(self.metric)

    def named_classes(self) -> dict[str, tuple[str, ...]]:
        """By key the classes that its settings name, which must occur in the train split."""
        _, _, of = (self.metric or "").partition(":")
        return {"metric": (of,)} if of else {}

    def learns_from(self, method: str, copy: int) -> bool:
        """Whether this task learns from a method's variant number ``copy``, counted from 0."""
        return takes(self.methods, method, copy)


class WritingSettings(TaskSettings):
    """What tasks that write text have in common."""

    decoder: Decoder | None = None
    """The decoder that all tasks that write text share. One of them may set it for all; by default that of the other tasks."""


Task = Annotated[TaskSettings, OneOf(plugins.TASKS)]
