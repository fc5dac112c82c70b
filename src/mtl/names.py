"""Names of runs, shards and augmented rows: built and parsed here, and nowhere else."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_RUN = re.compile(r"(?:(joint)|single_(\w+)|group_(\w+(?:\+\w+)+)|phases_(\w+(?:\+\w+)*~\w+))-(augmented|plain)-(\d+)(?:-(\d+))?")
_TOGETHER = "+"
"""Between the tasks of a group."""
_THEN = "~"
"""Between those of the first phase and the task of the second."""
_SHARD = re.compile(r"(.+)-(\d{5,})-of-(\d{5,})(?:\.parquet)?")
_VARIANT = re.compile(r"(.*)~(\w+)~(\d+)", flags=re.DOTALL)

ACROSS_DATASETS = "across-datasets.json"
"""The file beside the data cards that compares datasets; the dash keeps it apart from their names."""


class RunName(NamedTuple):
    """The parts of a run's name, such as ``joint-augmented-1``, ``single_entities-plain-1``, ``group_entities+topic-plain-1``,
    ``phases_entities+topic~mood-plain-1``, or of 150 rows ``joint-augmented-1-150``."""

    model: str
    """``joint``, the task of a single-task run, the tasks of a group (see ``group_of``), or those of two phases (see ``phased``)."""
    data: str
    """``augmented`` or ``plain``."""
    seed: int
    size: int | str = "all"

    def __str__(self) -> str:
        prefix = "phases_" if _THEN in self.model else "group_" if _TOGETHER in self.model else "single_"
        prefix = "" if self.model == "joint" else prefix
        return f"{prefix}{self.model}-{self.data}-{self.seed}" + ("" if self.size == "all" else f"-{self.size}")

    @classmethod
    def parse(cls, name: str) -> "RunName":
        """The reverse of ``str``.

        Raises:
            ValueError: this is not the name of a run.
        """
        joint, task, group, phases, data, seed, size = _match(_RUN, name, "run")
        return cls(joint or task or group or phases, data, int(seed), int(size) if size else "all")


def group_of(tasks: Iterable[str]) -> str:
    """The model of a group of tasks, such as ``entities+topic``."""
    return _TOGETHER.join(tasks)


def members_of(model: str) -> list[str]:
    """The tasks of a group by its model: the reverse of ``group_of``."""
    return model.split(_TOGETHER)


def phased(first: Iterable[str], then: str) -> str:
    """The model of a task that is learned after others, such as ``entities+topic~mood``."""
    return f"{group_of(first)}{_THEN}{then}"


def phases_of(model: str) -> tuple[str, str] | None:
    """The model of the first phase and the task of the second: the reverse of ``phased``; None for a model of one phase."""
    first, then, task = model.partition(_THEN)
    return (first, task) if then else None


class ShardName(NamedTuple):
    """The parts of a shard's name, such as ``tweets-00000-of-00002``."""

    dataset: str
    number: int
    """From 0."""
    shards: int
    """How many the dataset has."""

    def __str__(self) -> str:
        return f"{self.dataset}-{self.number:05d}-of-{self.shards:05d}"

    @property
    def file(self) -> str:
        """Such as ``tweets-00000-of-00002.parquet``."""
        return f"{self}.parquet"

    @classmethod
    def parse(cls, name: str) -> "ShardName":
        """The reverse of ``str`` and of ``file``.

        Raises:
            ValueError: this is not the name of a shard.
        """
        dataset, number, shards = _match(_SHARD, name, "shard")
        return cls(dataset, int(number), int(shards))

    @classmethod
    def all(cls, dataset: str, shards: int) -> "list[ShardName]":
        """The names of all shards of a dataset."""
        return [cls(dataset, number, shards) for number in range(shards)]


class VariantId(NamedTuple):
    """The parts of the id of an augmented row: ``<parent>~<method>~<copy>``."""

    parent: str
    """Id of the original row, which may hold ``~`` itself."""
    method: str
    copy: int

    def __str__(self) -> str:
        return f"{self.parent}~{self.method}~{self.copy}"

    @classmethod
    def parse(cls, name: str) -> "VariantId":
        """The reverse of ``str``.

        Raises:
            ValueError: this is not the id of an augmented row.
        """
        parent, method, copy = _match(_VARIANT, name, "augmented row")
        return cls(parent, method, int(copy))


def _match(pattern: re.Pattern[str], name: str, what: str) -> tuple[str, ...]:
    if match := pattern.fullmatch(name):
        return match.groups()
    raise ValueError(f"{name!r} is not the name of a {what}")
