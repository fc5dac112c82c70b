"""The section ``tasks``: what the settings of all task types have in common. Each type adds its own in its module of ``mtl.tasks``."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from mtl import plugins
from mtl.config.base import Count, Name, OneOf, Positive, Section
from mtl.config.decoder import Decoder


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
        return self.methods is None or copy < self.methods.get(method, 0)


class WritingSettings(TaskSettings):
    """What tasks that write text have in common."""

    decoder: Decoder | None = None
    """The decoder that all tasks that write text share. One of them may set it for all; by default that of the other tasks."""


Task = Annotated[TaskSettings, OneOf(plugins.TASKS)]
