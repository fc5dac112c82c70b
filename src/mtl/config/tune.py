"""The section ``tune``: the search space and its method."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from mtl.config.base import Section

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
    """The search for better settings that ``snakemake tune`` makes; it is no part of any other stage."""

    method: Literal["grid", "random", "tpe"] = "tpe"
    """tpe: Bayesian, by a tree-structured Parzen estimator (Bergstra et al. 2011)."""
    trials: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Trials in all, the settings as they stand being the first; 20 if not given. A grid has as many as it has points."""
    pruning: Literal["none", "median", "hyperband"] | None = None
    """Ends trials that do badly before their time. Null: median for tpe; none for grid and random, which can then be repeated exactly."""
    space: Annotated[dict[str, Axis], Field(min_length=1)]
    """What is searched: dotted path of a param to ``{low, high}`` or to a list of choices, such as
    ``train.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}``."""
