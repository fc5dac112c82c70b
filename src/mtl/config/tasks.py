"""The section ``tasks``."""

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.base import Count, Name, Positive, Section

LABEL_TYPE_OF = {"classification": "class", "regression": "number", "token_classification": "tags"}
"""Task type (a module of ``mtl.tasks``) to the kind of label that it learns."""


class Task(Section):
    """One thing that the model learns to predict: a head on the shared encoder."""

    type: Literal["classification", "regression", "token_classification"]
    label: Name
    """Label of the datasets below."""
    datasets: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Datasets to learn from; without it, all that have the label."""
    weight: Positive = 1.0
    """wₜ in the joint loss Σ wₜ·ℓₜ."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    methods: dict[Name, Count] | None = None
    """Augmentation methods whose variants this task learns from, and how many copies of each at most; without it, all of
    ``augment.methods``. ``{}``: none."""

    def learns_from(self, method: str, copy: int) -> bool:
        """Whether this task learns from a method's variant number ``copy``, counted from 0."""
        return self.methods is None or copy < self.methods.get(method, 0)
