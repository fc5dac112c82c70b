"""How the new texts of each task of a model become tokens."""

from collections.abc import Iterator, Mapping

import numpy as np

from mtl import plugins
from mtl.config import Params, Run
from mtl.data.segmentation import BETWEEN_SPACES
from mtl.training.splits import Splits


def segmentations(params: Params, run: Run, splits: Splits) -> dict[str, str]:
    """The segmentation of each task: that of the dataset with most of its train rows.

    A task on whole texts takes that of a task on their tokens where both hardly differ, so that one pass serves them.
    """
    own = {task: splits.segmentations[_largest(params, task, splits)] for task in run.tasks}
    return {task: _shared(params, task, own) for task in run.tasks}


def _largest(params: Params, task: str, splits: Splits) -> str:
    """The dataset with most train rows of a task."""
    rows = np.bincount(splits.train.groups[splits.train.labelled([task])], minlength=len(params.datasets))
    return list(params.datasets)[int(rows.argmax())]


def _shared(params: Params, task: str, own: Mapping[str, str]) -> str:
    if _of_tokens(params, task) or own[task] not in BETWEEN_SPACES:
        return own[task]
    texts = _fields(params, task)
    others = (own[other] for other in own if _of_tokens(params, other) and _fields(params, other) == texts)
    return next((name for name in others if name in BETWEEN_SPACES), own[task])


def _of_tokens(params: Params, task: str) -> bool:
    return bool(plugins.implementation_of(params.tasks[task]).token_level)


def _fields(params: Params, task: str) -> tuple[str, ...]:
    return tuple(params.datasets[params.datasets_of(task)[0]].fields)


def unlike(params: Params, run: Run, splits: Splits) -> Iterator[str]:
    """A warning for each task on tokens whose datasets are split differently: new texts can be split in one way only."""
    chosen = segmentations(params, run, splits)
    for task in filter(lambda task: _of_tokens(params, task), run.tasks):
        names = {dataset: splits.segmentations[dataset] for dataset in params.datasets_of(task)}
        if len(set(names.values())) > 1:
            listed = ", ".join(f"{dataset}: {name}" for dataset, name in names.items())
            yield f"{task}: its datasets have different segmentations ({listed}); new texts are split into {chosen[task]}"
