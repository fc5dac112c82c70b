"""The scores of one run on the test split, with intervals over its rows, for the model's card."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mtl import plugins
from mtl.config import Params, Run
from mtl.errors import DataError
from mtl.evaluation.bootstrap import draws, interval, resample
from mtl.evaluation.predictions import predict
from mtl.model.card import CONFIDENCE, RESAMPLES, Score


def scores_of(params: Params, run: Run, model: Path, examples: Path) -> list[Score]:
    """All metrics on the test split, the main one of each task first; none if a task has no test row, which ``predict`` will refuse.

    Args:
        model: the run's model folder.
        examples: folder of the canonical tables.

    Raises:
        ModelError: the model folder is incomplete or damaged.
    """
    try:
        rows = predict(params, run, model, examples)
    except DataError:
        return []
    return [score for task in run.tasks for score in _scores(params, task, [row for row in rows if row["task"] == task])]


def _scores(params: Params, task: str, rows: Sequence[Mapping[str, str]]) -> Iterator[Score]:
    task_type = params.tasks[task].type
    gold, prediction = ([row[side] for row in rows] for side in ("gold", "prediction"))
    drawn = draws(task_type, gold, prediction, resample([f"{row['dataset']}\x1e{row['id']}" for row in rows], RESAMPLES))
    values = plugins.task_type(task_type).metrics(gold, prediction)
    for metric in sorted(values, key=lambda name: name != plugins.task_type(task_type).main_metric):
        yield Score(task, metric, values[metric], *interval(drawn[metric], CONFIDENCE), len(rows))
