"""The rows that a run touches, by split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtl.config import Params, Run
from mtl.data.schema import read_schema, segmentation_of
from mtl.errors import TrainingError
from mtl.training.columns import Mask
from mtl.training.subsets import subset, variants_within
from mtl.training.texts import Texts, read_split, read_variants


@dataclass(frozen=True, slots=True)
class Splits:
    """All rows of a run. ``train`` has the labels of every task of the settings, the others those of the run's tasks."""

    train: Texts
    counted: Mask
    """The labelled train rows, whatever the size of the run: their subword count sets the number of steps."""
    variants: Texts
    """Augmented rows with a label of a task of the run."""
    validation: Texts
    test: Texts
    segmentations: Mapping[str, str]
    """By dataset, how new texts become tokens like its own."""


def read_splits(params: Params, run: Run, examples: Path, shards: Path) -> Splits:
    """Read all rows. The plan of the steps needs the train rows of every task's datasets, also in a single-task run.

    Raises:
        DataError: a table or shard is missing or damaged.
        TrainingError: a task of the run has no labelled train row.
    """
    every = tuple(params.tasks)
    whole = read_split(params, "train", examples, every)
    train = subset(whole, run)
    for task in run.tasks:
        if not train.labelled([task]).any():
            names = ", ".join(params.datasets_of(task))
            part = "" if run.size == "all" else f" among the {run.size} drawn"
            raise TrainingError(f"task {task!r}: no train row of {names} has a label {params.tasks[task].label!r}{part}")
    return Splits(
        train=train,
        counted=whole.labelled(every),
        variants=variants_within(params, run, train, read_variants(params, shards, run.tasks))
        if run.data == "augmented"
        else Texts(run.tasks),
        validation=read_split(params, "validation", examples, run.tasks),
        test=read_split(params, "test", examples, run.tasks),
        segmentations={name: segmentation_of(read_schema(examples / f"{name}.parquet")) for name in params.used_datasets(run.tasks)},
    )
