"""The scores of one run on the test split, with intervals over its rows, for the model's card."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from mtl import plugins
from mtl.config import Params, Run
from mtl.evaluation.bootstrap import draws, interval_about, resample
from mtl.evaluation.parity import Labels, parity
from mtl.evaluation.scored import COLUMNS, Predictions, predictions_of
from mtl.model.card import CONFIDENCE, RESAMPLES, Calibration, RawText, Score


def scores_of(params: Params, run: Run, predictions: Path) -> list[Score]:
    """All metrics on the test split, the main one of each task first.

    Args:
        predictions: the run's predictions file.
    """
    table = pq.read_table(predictions, columns=COLUMNS)
    datasets = {task: params.frozen_of(task) for task in run.tasks}
    return [score for task, rows in predictions_of(run.tasks, table, datasets).items() for score in _scores(params, task, rows)]


def _scores(params: Params, task: str, rows: Predictions) -> Iterator[Score]:
    spec = params.tasks[task]
    keys, gold, prediction, _, calibrated, measured = rows
    calibration = Calibration(*calibrated) if calibrated else None
    values, drawn = draws(spec.type, gold, prediction, resample(keys, RESAMPLES), spec.metric, measured)
    for name in sorted(values, key=lambda name: name != spec.main_metric.name):
        metric = plugins.task_type(spec.type).test_metric(name)
        ends = interval_about(values[name], drawn[name], CONFIDENCE, metric.low, metric.high)
        about = (_raw_text(params, task, rows), calibration) if name == spec.main_metric.name else ()
        yield Score(task, name, values[name], *ends, len(keys), *about)


def _raw_text(params: Params, task: str, rows: Predictions) -> RawText | None:
    """The main metric of a token-level task on the raw texts of the rows."""
    if rows.raw_text is None:
        return None
    spec = params.tasks[task]
    on_tokens = Labels(rows.gold, rows.prediction)
    found = parity(spec.type, spec.main_metric, rows.keys, on_tokens, rows.raw_text, RESAMPLES, CONFIDENCE)
    return RawText(found.raw_text, found.low, found.high)
