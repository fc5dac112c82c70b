"""The section ``tune``: the search space and its method."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from mtl.config.base import Section

Number = int | float


class Range(Section):
    """Numbers from low to high; integers where the setting takes only integers."""

    low: Number
    high: Number
    log: bool = False
    """Sample on a logarithmic scale, as suits learning rates."""
    step: Annotated[Number, Field(gt=0)] | None = None
    """Distance between the values that are tried, from low upwards."""
    points: Annotated[int, Field(ge=2)] | None = None
    """Number of values in a grid, evenly spaced, on a logarithmic scale with ``log``."""

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
    """The search for better settings, run by ``snakemake tune``. No other stage depends on it."""

    method: Literal["grid", "random", "tpe"] = "tpe"
    """tpe: Bayesian, by a tree-structured Parzen estimator (Bergstra et al. 2011)."""
    trials: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Number of trials; the first uses the present settings. 20 by default. A grid has one trial per point."""
    pruning: Literal["none", "median", "hyperband"] | None = None
    """Ends unpromising trials early. Null: median for tpe; none for grid and random, which are then exactly reproducible."""
    space: Annotated[dict[str, Axis], Field(min_length=1)]
    """Dotted path of a setting to ``{low, high}`` or to a list of choices, such as
    ``train.learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}``."""
