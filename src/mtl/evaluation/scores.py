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
    spec = params.tasks[task]
    gold, prediction = ([row[side] for row in rows] for side in ("gold", "prediction"))
    blocks = resample([f"{row['dataset']}\x1e{row['id']}" for row in rows], RESAMPLES)
    values, drawn = draws(spec.type, gold, prediction, blocks, spec.metric)
    for name in sorted(values, key=lambda name: name != spec.main_metric.name):
        metric = plugins.task_type(spec.type).metric(name)
        yield Score(task, name, values[name], *interval(drawn[name], CONFIDENCE, metric.low, metric.high), len(rows))
