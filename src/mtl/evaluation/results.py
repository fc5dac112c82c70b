"""All results of an experiment: ``comparisons.json`` for the report, ``metrics.json`` and ``plots/`` for DVC."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mtl import plugins
from mtl.config import Params, Run
from mtl.errors import DataError, PipelineError
from mtl.evaluation.bootstrap import Array, draws, interval_about, resample
from mtl.evaluation.comparison import Key, Scores, compare, corrected_confidence, largest_family, overall, spread
from mtl.evaluation.intervals import over_seeds
from mtl.evaluation.parity import Labels, Parity, parity
from mtl.evaluation.scored import COLUMNS, Predictions, predictions_of
from mtl.evaluation.tables import by_task, main_scores, write_csv
from mtl.evaluation.transfer import Training, training_of, transfer
from mtl.files import write_json
from mtl.pipeline import versions
from mtl.tasks.base import Metric

ENOUGH_SEEDS = 5
"""With fewer, the quantile of Student's t makes intervals many times wider than the spread of the seeds."""


def evaluate(params: Params, models: Path, predictions: Path, out: Path) -> None:
    """Score every run, compare them, and write ``comparisons.json``, ``metrics.json`` and ``plots/`` into ``out``.

    Args:
        models: folder of the model folders, of which ``history.jsonl`` and ``run.json`` are read.
        predictions: folder of ``<run>.parquet``.

    Raises:
        PipelineError: a run's file is missing or damaged, or runs predict different rows.
        DataError: a task has no test row.
    """
    runs = params.runs()
    frozen = {task: params.frozen_of(task) for task in params.tasks}
    by_run = {name: read_predictions(predictions / f"{name}.parquet", run, frozen) for name, run in runs.items()}
    check_paired(by_run)
    histories = {name: read_history(models / name / "history.jsonl") for name in runs}
    trained = training_of(params, models, histories) if params.experiment.groups or params.experiment.phases else None
    comparisons = results(params, by_run, trained)
    comparisons["versions"] = versions.groups(models, list(runs))
    comparisons["warnings"] = [*filter(None, [versions.unlike(comparisons["versions"])]), *comparisons["warnings"]]
    write_json(out / "comparisons.json", comparisons, sort_keys=False)
    write_json(out / "metrics.json", headline(params, comparisons), sort_keys=False)
    main = {task: spec.main_metric.name for task, spec in params.tasks.items()}
    write_csv(by_task(histories, "loss"), out / "plots" / "loss.csv")
    write_csv(main_scores(histories, main), out / "plots" / "validation.csv")
    write_csv(confusion_rows(params, by_run[joint_run(params).name]), out / "plots" / "confusion.csv")


def read_predictions(path: Path, run: Run, datasets: Mapping[str, Collection[str]] | None = None) -> dict[str, Predictions]:
    """A run's predictions by task; with ``datasets``, only on the rows of these, by task.

    Raises:
        PipelineError: the file is missing, damaged, or has other tasks than the run.
        DataError: a task has no test row.
    """
    try:
        table = pq.read_table(path, columns=COLUMNS)
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise PipelineError(f"{path}: cannot be read as the predictions of run {run.name}: {error}") from None
    for task in table.column("task").unique().to_pylist():
        if task not in run.tasks:
            raise PipelineError(f"{path}: holds task {task!r}, but run {run.name} has: {', '.join(run.tasks)}")
    by_task = predictions_of(run.tasks, table, datasets)
    for task, found in by_task.items():
        if not found.keys:
            raise DataError(f"{path}: no test row for task {task}; give the split test of its datasets a share or a source")
    return by_task


def check_paired(predictions: Mapping[str, Mapping[str, Predictions]]) -> None:
    """Check that all runs of a task predict the same rows with the same gold labels.

    Raises:
        PipelineError: names the first two runs that differ.
    """
    first: dict[str, tuple[str, Predictions]] = {}
    for run, tasks in predictions.items():
        for task, found in tasks.items():
            other, expected = first.setdefault(task, (run, found))
            if (found.keys, found.gold) != (expected.keys, expected.gold):
                raise PipelineError(f"task {task}: runs {other} and {run} predict different test rows; predict both again")


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a run's training, one a line.

    Raises:
        PipelineError: the file is missing, or a line is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}") from None
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records.append({**record, "kind": record["kind"], "step": record["step"]})
        except (ValueError, TypeError, KeyError):
            raise PipelineError(f"{path}:{number}: not a record of training: {line[:80]!r}") from None
    return records


# --- comparisons.json -----------------------------------------------------------------------------------------------


def results(params: Params, predictions: Mapping[str, Mapping[str, Predictions]], trained: Training | None) -> dict[str, Any]:
    """Everything that the report says about scores; about groups of tasks too, where there are any and their training is given."""
    confidence = params.evaluate.confidence
    runs = params.runs()
    details: dict[str, dict[str, Any]] = {name: _about(run) for name, run in runs.items()}
    scores: dict[Key, Scores] = {}
    for task in params.tasks:
        sampled = _score_task(params, task, {name: found[task] for name, found in predictions.items() if task in found}, details)
        scores.update(_grouped(params, task, sampled, details))
    target = params.experiment.target
    compared = compare(scores, confidence, target)
    groups = transfer(params, scores, trained) if trained else {"comparisons": []}
    largest = max(largest_family(family, target) for family in (compared, groups["comparisons"]))
    return {
        "confidence": confidence,
        "resamples": params.evaluate.resamples,
        "correction": "Bonferroni",
        "target": target,
        "seeds": list(params.experiment.seeds),
        "sizes": list(params.experiment.sizes),
        "headline": joint_run(params).data,
        "tasks": {task: _task(params, task, predictions) for task in params.tasks},
        "runs": details,
        "groups": [_group(key, group, confidence, params.tasks[key.task].main_metric) for key, group in scores.items()],
        "comparisons": compared,
        "overall": overall(scores, list(params.tasks), confidence),
        **({"transfer": groups} if trained else {}),
        "warnings": [*warnings(params, largest), *raw_text_warnings(details[joint_run(params).name]["tasks"], confidence)],
    }


def joint_run(params: Params) -> Run:
    """The headline run: joint, augmented if there is one, on all rows, first seed."""
    data = "augmented" if "augmented" in params.experiment.joint else "plain"
    return next(run for run in params.runs().values() if (run.model, run.data, run.size) == ("joint", data, "all"))


def _about(run: Run) -> dict[str, Any]:
    model = "single" if run.model in run.tasks else run.model
    return {"model": model, "data": run.data, "seed": run.seed, "size": run.size, "tasks": {}}


def _task(params: Params, task: str, predictions: Mapping[str, Mapping[str, Predictions]]) -> dict[str, Any]:
    spec = params.tasks[task]
    main, type_ = spec.main_metric, plugins.task_type(spec.type)
    return {
        "type": spec.type,
        "metric": main.name,
        "higher_is_better": main.higher_is_better,
        "titles": {metric.name: metric.title for metric in (main, *type_.all_metrics) if metric.title},
        "rows": len(predictions[joint_run(params).name][task].keys),
        "datasets": list(params.datasets_of(task)),
    }


def _score_task(params: Params, task: str, predictions: Mapping[str, Predictions], details: Mapping[str, Any]) -> dict[str, Array]:
    """Fill in ``details[run]["tasks"][task]``; the main metric's draws ``[resamples]`` by run."""
    spec, confidence = params.tasks[task], params.evaluate.confidence
    type_ = plugins.task_type(spec.type)
    sampled = {}
    for name, (keys, gold, prediction, raw_text, calibration, measured) in predictions.items():
        values, drawn = draws(spec.type, gold, prediction, resample(keys, params.evaluate.resamples), spec.metric, measured)
        metrics = {metric: _measured(value, drawn[metric], confidence, type_.test_metric(metric)) for metric, value in values.items()}
        per_class, confusion = type_.per_class(gold, prediction), type_.confusion(gold, prediction)
        details[name]["tasks"][task] = {"metrics": metrics, "per_class": per_class, **({"confusion": confusion} if confusion else {})}
        if raw_text:
            compared = parity(spec.type, spec.main_metric, keys, Labels(gold, prediction), raw_text, params.evaluate.resamples, confidence)
            details[name]["tasks"][task]["raw_text"] = compared._asdict()
        if calibration:
            details[name]["tasks"][task]["calibration"] = calibration._asdict()
        sampled[name] = drawn[spec.main_metric.name]
    return sampled


def _measured(value: float, drawn: Array, confidence: float, metric: Metric) -> dict[str, float]:
    low, high = interval_about(value, drawn, confidence, metric.low, metric.high)
    return {"value": value, "low": low, "high": high}


def _grouped(params: Params, task: str, sampled: Mapping[str, Array], details: Mapping[str, Any]) -> dict[Key, Scores]:
    """The runs of a task brought together over seeds."""
    metric = params.tasks[task].main_metric
    members: dict[Key, list[str]] = {}
    for name in sampled:
        about = details[name]
        members.setdefault(Key(task, about["model"], about["data"], about["size"]), []).append(name)
    return {
        key: Scores(
            tuple(details[name]["seed"] for name in names),
            np.array([details[name]["tasks"][task]["metrics"][metric.name]["value"] for name in names]),
            np.stack([sampled[name] for name in names]),
            metric.sign,
        )
        for key, names in members.items()
    }


def _group(key: Key, group: Scores, confidence: float, metric: Metric) -> dict[str, Any]:
    """A setting's mean, standard deviation over seeds, and interval, cut where the task's main metric cannot be."""
    low, high = over_seeds(group.values, group.draws, confidence)
    return {
        **key._asdict(),
        "seeds": list(group.seeds),
        "values": group.values.tolist(),
        "mean": float(group.values.mean()),
        "sd": spread(group.values),
        "low": max(low, metric.low),
        "high": min(high, metric.high),
    }


def warnings(params: Params, comparisons: int) -> Iterator[str]:
    """What a reader must know before trusting the intervals."""
    seeds = len(params.experiment.seeds)
    if seeds == 1:
        yield "One seed: intervals cover the test rows, not the variance over training seeds. Add seeds to experiment.seeds to cover both."
    if 1 < seeds < ENOUGH_SEEDS:
        yield f"{seeds} seeds: intervals are wide, because few seeds say little about their variance; use {ENOUGH_SEEDS} or more."
    tail = (1 - corrected_confidence(params.evaluate.confidence, comparisons)) / 2
    if params.evaluate.resamples * tail < 1:
        needed = int(np.ceil(1 / tail - 1e-6))
        yield f"Too few resamples for {comparisons} comparisons: set evaluate.resamples to at least {needed}."


def raw_text_warnings(tasks: Mapping[str, Any], confidence: float) -> Iterator[str]:
    """For each task of a run whose scores on raw text and on tokens differ: users have no tokens."""
    for task, about in tasks.items():
        if "raw_text" in about and (found := Parity(**about["raw_text"])).differs:
            yield (
                f"{task}: scores {found.raw_text:.3f} on the raw text of the test rows and {found.tokens:.3f} on their tokens "
                f"({confidence:.0%} interval of the difference: {found.low:+.3f} to {found.high:+.3f}). New texts score like raw text: "
                "name a segmentation that fits the tokens of the dataset."
            )


# --- metrics.json ---------------------------------------------------------------------------------------------------


def headline(params: Params, comparisons: Mapping[str, Any]) -> dict[str, Any]:
    """What ``dvc exp show`` prints in a column each: the main metric of every task in the joint run, a mean over its seeds, and their mean.
    The mean is left out where a metric is not a share, at most 1 and better when higher.

    A column has the name of its task alone, or three of them and a setting would not fit a terminal. Which metric it is, and what joint
    training and augmentation brought, is in ``comparisons.json``.
    """
    data = comparisons["headline"]
    of_headline = [group for group in comparisons["groups"] if (group["model"], group["data"], group["size"]) == ("joint", data, "all")]
    means = {group["task"]: group["mean"] for group in of_headline}
    shares = all(spec.main_metric.higher_is_better and spec.main_metric.high == 1 for spec in params.tasks.values())
    figures: dict[str, Any] = {"score": _rounded(sum(means.values()) / len(means))} if shares else {}
    for item in comparisons["overall"]:
        if (item["data"], item["size"]) == (data, "all") and item["delta_m"] is not None:
            figures["delta_m"] = _rounded(item["delta_m"])
    for task, mean in means.items():
        figures[task] = _rounded(mean)
    runs = [run["tasks"] for run in comparisons["runs"].values() if (run["model"], run["data"], run["size"]) == ("joint", data, "all")]
    on_raw_text = {task: [run[task]["raw_text"]["raw_text"] for run in runs] for task in means if "raw_text" in runs[0][task]}
    advised = [
        item for item in comparisons.get("transfer", {}).get("groupings", []) if item["models"] == comparisons["transfer"]["advised"]
    ]
    for item in advised:
        figures["grouping"] = {"models": item["models"], "delta_m": _rounded(item["delta_m"])}
    if on_raw_text:
        figures["raw_text"] = {task: _rounded(sum(values) / len(values)) for task, values in on_raw_text.items()}
    return figures


def _rounded(value: float) -> float:
    """Four decimals, more of a number that is near 0: further ones would say nothing on some hundred test rows. No negative zero."""
    return float(f"{value:.4g}") if abs(value) < 0.01 else round(value, 4) + 0.0


# --- plots ----------------------------------------------------------------------------------------------------------


def confusion_rows(params: Params, predictions: Mapping[str, Predictions]) -> pd.DataFrame:
    """Columns ``task``, ``actual`` and ``predicted``, a row for each count of a confusion matrix; classes carry their task's name where
    several tasks have classes."""
    types = {task: plugins.task_type(spec.type) for task, spec in params.tasks.items()}
    matrices = {task: type_.confusion(predictions[task].gold, predictions[task].prediction) for task, type_ in types.items()}
    known = {task: matrix for task, matrix in matrices.items() if matrix}
    rows = [row for task, matrix in known.items() for row in _confusion_rows(task, matrix, f"{task}: " if len(known) > 1 else "")]
    return pd.DataFrame(rows, columns=["task", "actual", "predicted"])


def _confusion_rows(task: str, matrix: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for gold, counts in zip(matrix["classes"], matrix["counts"], strict=True):
        for predicted, count in zip(matrix["classes"], counts, strict=True):
            yield from [(task, prefix + gold, prefix + predicted)] * count
