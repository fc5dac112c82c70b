"""The scores of one run on the test split, with intervals over its rows, for the model's card."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtl import plugins
from mtl.config import Params, Run
from mtl.errors import DataError
from mtl.evaluation.bootstrap import draws, interval, resample
from mtl.evaluation.calibration import calibration_of
from mtl.evaluation.parity import Labels, parity
from mtl.evaluation.predictions import predict
from mtl.model.card import CONFIDENCE, RESAMPLES, Calibration, RawText, Score


def scores_of(params: Params, run: Run, model: Path, examples: Path) -> list[Score]:
    """All metrics on the test split, the main one of each task first; none if a task has no test row, which ``predict`` will refuse.

    Args:
        model: the run's model folder.
        examples: folder of the canonical tables.

    Raises:
        ModelError: the model folder is incomplete or damaged.
    """
    try:
        rows = [row for row in predict(params, run, model, examples) if row["dataset"] in params.frozen_of(row["task"])]
    except DataError:
        return []
    return [score for task in run.tasks for score in _scores(params, task, [row for row in rows if row["task"] == task])]


def _scores(params: Params, task: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Score]:
    spec = params.tasks[task]
    gold, prediction = ([row[side] for row in rows] for side in ("gold", "prediction"))
    calibrated = calibration_of(*([row.get(name) for row in rows] for name in ("calibrated", "uncalibrated")))
    calibration = Calibration(*calibrated) if calibrated else None
    keys = [f"{row['dataset']}\x1e{row['id']}" for row in rows]
    values, drawn = draws(spec.type, gold, prediction, resample(keys, RESAMPLES), spec.metric)
    for name in sorted(values, key=lambda name: name != spec.main_metric.name):
        metric = plugins.task_type(spec.type).metric(name)
        ends = interval(drawn[name], CONFIDENCE, metric.low, metric.high)
        about = (_raw_text(params, task, rows, keys), calibration) if name == spec.main_metric.name else ()
        yield Score(task, name, values[name], *ends, len(rows), *about)


def _raw_text(params: Params, task: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> RawText | None:
    """The main metric of a token-level task on the raw texts of the rows."""
    spec = params.tasks[task]
    if "raw_gold" not in rows[0]:
        return None
    on_tokens, on_raw_text = (
        Labels([row[gold] for row in rows], [row[prediction] for row in rows])
        for gold, prediction in (("gold", "prediction"), ("raw_gold", "raw_prediction"))
    )
    found = parity(spec.type, spec.main_metric, keys, on_tokens, on_raw_text, RESAMPLES, CONFIDENCE)
    return RawText(found.raw_text, found.low, found.high)
