"""The section ``report``."""

from typing import Annotated

from pydantic import Field

from mtl.config.base import Section


class Report(Section):
    """The HTML report."""

    title: str = "Multi-task training report"
    """Title of the page."""
    samples: Annotated[int, Field(ge=0, le=50)] = 5
    """Sampled augmented rows per dataset and method."""
