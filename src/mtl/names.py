"""Names of runs, shards and augmented rows: built and parsed here, and nowhere else."""

from typing import NamedTuple

JOINT = "joint"
_SINGLE = "single_"


class RunName(NamedTuple):
    """The parts of a run's name, such as ``joint-augmented-1``, ``single_entities-plain-1``, or of 150 rows ``joint-augmented-1-150``."""

    model: str
    """``joint``, or the task of a single-task run."""
    data: str
    """``augmented`` or ``plain``."""
    seed: int
    size: int | str = "all"

    def __str__(self) -> str:
        model = JOINT if self.model == JOINT else f"{_SINGLE}{self.model}"
        return f"{model}-{self.data}-{self.seed}" + ("" if self.size == "all" else f"-{self.size}")

    @classmethod
    def parse(cls, name: str) -> "RunName":
        """The reverse of ``str``.

        Raises:
            ValueError: this is not the name of a run.
        """
        model, data, seed, *size = name.split("-")
        if (model != JOINT and not model.startswith(_SINGLE)) or data not in ("augmented", "plain") or len(size) > 1:
            raise ValueError(f"{name!r} is not the name of a run")
        return cls(model.removeprefix(_SINGLE), data, int(seed), int(size[0]) if size else "all")


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
        dataset, number, of, shards = name.removesuffix(".parquet").rsplit("-", 3)
        if of != "of":
            raise ValueError(f"{name!r} is not the name of a shard")
        return cls(dataset, int(number), int(shards))


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
        parent, method, copy = name.rsplit("~", 2)
        return cls(parent, method, int(copy))
