"""The section ``audit``: a search for wrong labels among the train rows."""

from typing import Annotated

from pydantic import Field

from mtl.config.base import Section


class Audit(Section):
    """The label audit, run by ``snakemake audit``. No other stage depends on it."""

    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Trainings: each leaves out one fold of the train rows, whose labels it judges. More folds train on more rows each."""
