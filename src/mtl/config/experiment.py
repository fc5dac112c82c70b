"""The section ``experiment``: the matrix of runs."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mtl.config.base import Count, Name, Section
from mtl.names import RunName, members_of, phases_of


def _size(value: Any) -> Any:
    """A number of rows or ``all``, checked here so that there is one issue, which names both."""
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError(f"must be a number of rows, 1 or more, or all, not {value!r}")


def _groups(value: Any) -> Any:
    """A word or a list of lists, checked here so that there is one issue, which names the forms."""
    if value in ("pairs", "all") or (isinstance(value, list | tuple) and all(isinstance(group, list | tuple) for group in value)):
        return value
    raise ValueError(f"must be pairs, all, or lists of tasks such as [[a, b], [a, c]], not {value!r}")


def _phases(value: Any) -> Any:
    """A list of mappings, checked here so that there is one issue, which shows the form."""
    if isinstance(value, list | tuple) and all(isinstance(item, Phases) or _is_phases(item) for item in value):
        return value
    raise ValueError(f"must be a list such as [{{first: [a, b], then: c}}], not {value!r}")


def _is_phases(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("first"), list | tuple) and isinstance(item.get("then"), str)


Size = Annotated[Count | Literal["all"], BeforeValidator(_size)]
"""How many labelled train rows of each dataset a run learns from."""


Group = Annotated[tuple[str, ...], Field(min_length=1)]
Groups = Annotated[Literal["pairs", "all"] | tuple[Group, ...], BeforeValidator(_groups)]
"""Sets of tasks."""


class Phases(Section):
    """A task that is learned after others: intermediate training (Phang et al. 2018)."""

    first: Group
    """Tasks of the first phase: a single-task run or that of a group."""
    then: Name
    """The task of the second phase, a run of its own that starts from the weights of the first."""


class Experiment(Section):
    """The matrix of runs: seeds × sizes × {joint, single-task} × {augmented, plain}, seeds × groups, and seeds × phases. All have the same
    budget of updates; each of two phases has it."""

    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (1,)
    """With several seeds, intervals and verdicts cover the variance over seeds too; five show much more than two."""
    sizes: tuple[Size, ...] = ("all",)
    """Labelled train rows of each dataset, such as ``[50, 150, 500, all]`` for a learning curve. Rows are drawn by the run's seed; smaller
    samples are contained in larger ones. Validation and test stay whole."""
    joint: Annotated[tuple[Literal["augmented", "plain"], ...], Field(min_length=1)] = ("augmented", "plain")
    """Data of the joint runs; by default only plain where ``augment`` has no methods."""
    single_task: tuple[Literal["augmented", "plain"], ...] = ("augmented",)
    """Data of the single-task runs, one per task; by default plain where ``augment`` has no methods."""
    target: Name | None = None
    """The task that the experiment is about. Runs that it learns in have all seeds, and so have those that they start from; the others have
    only the first. Its comparisons are corrected among themselves, apart from those of the other tasks."""
    groups: Groups = ()
    """Tasks that are also trained together without the others, to see which should share a model: ``pairs``, ``all`` (every set of tasks)
    or lists of tasks, such as ``[[entities, sentiment]]``. Runs learn from all rows of the data that is compared with single-task runs."""
    phases: Annotated[tuple[Phases, ...], BeforeValidator(_phases)] = ()
    """Tasks that are also learned after others, such as ``[{first: [films], then: products}]``, to see whether that is better than at the
    same time."""


class Run(Section):
    """One training run of the experiment."""

    tasks: tuple[str, ...]
    model: str
    """``joint``, the name of the only task, or those of a group or of two phases (see ``mtl.names``)."""
    data: Literal["augmented", "plain"]
    seed: int
    size: Size = "all"

    @property
    def name(self) -> str:
        """Such as ``joint-augmented-1`` or ``single_entities-plain-1`` (see ``RunName``)."""
        return str(RunName(self.model, self.data, self.seed, self.size))

    @property
    def learned(self) -> tuple[str, ...]:
        """All tasks that its weights have learned, those of a first phase too."""
        phases = phases_of(self.model)
        return self.tasks if phases is None else (*members_of(phases[0]), *self.tasks)

    @property
    def start(self) -> str | None:
        """The run from whose weights it starts, if it is a second phase."""
        phases = phases_of(self.model)
        return None if phases is None else str(RunName(phases[0], self.data, self.seed, self.size))
