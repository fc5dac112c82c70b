"""The section ``evaluate``."""

from typing import Annotated

from pydantic import Field

from mtl.config.base import Section


class Evaluate(Section):
    """Test metrics and their intervals."""

    resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Bootstrap resamples of the test rows."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of intervals, before correction for several comparisons."""
