"""The section ``tasks``: what the settings of all task types have in common. Each type adds its own in its module of ``mtl.tasks``."""

from typing import Annotated, ClassVar

from pydantic import Field

from mtl import plugins
from mtl.config.base import Count, Name, OneOf, Positive, Section


class TaskSettings(Section):
    """One thing that the model learns to predict: a head on the shared encoder."""

    implementation: ClassVar[str]
    """``module:Class`` of the ``mtl.tasks.base.TaskType``."""
    label_types: ClassVar[tuple[str, ...]]
    """Types of labels that such a task learns."""

    type: str
    label: Name
    """Label of the datasets below."""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Datasets to learn from; by default all that have the label."""
    weight: Positive = 1.0
    """wₜ in the joint loss Σ wₜ·ℓₜ."""
    methods: dict[Name, Count] | None = None
    """Augmentation methods whose variants this task learns from, each with its maximum number of copies; by default all of
    ``augment.methods``. ``{}``: none."""

    def learns_from(self, method: str, copy: int) -> bool:
        """Whether this task learns from a method's variant number ``copy``, counted from 0."""
        return self.methods is None or copy < self.methods.get(method, 0)


Task = Annotated[TaskSettings, OneOf(plugins.TASKS)]
