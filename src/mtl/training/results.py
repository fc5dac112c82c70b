"""What a finished run writes: the model, its history, run.json and cost.json."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError

from mtl.config import Params, Run
from mtl.errors import TrainingError
from mtl.files import write_text
from mtl.model.device import peak_memory
from mtl.model.folder import save
from mtl.training.columns import Mask
from mtl.training.costs import balance_cost
from mtl.training.int8 import int8_scores
from mtl.training.loop import Loop
from mtl.training.resume import VERSIONS
from mtl.training.serving import serving_cost
from mtl.training.splits import Splits

SPEED = "tokens_per_second"


def write_results(params: Params, run: Run, splits: Splits, loop: Loop, warnings: Sequence[str], out: Path) -> None:
    """Write the model folder; run.json comes last, so where it is, the folder is complete. The model is no longer trained after that.

    What depends on the speed of the machine stands in cost.json alone: the other files are the same after an equal training.

    Raises:
        StorageError: the disk is full or read-only.
        TrainingError: the model cannot be written for another reason.
    """
    int8, more = _int8(params, loop)
    loop.model.encoder.restore_vocabulary()
    tasks = {
        name: {"type": params.tasks[name].type, "label": params.tasks[name].label, "datasets": params.datasets_of(name)}
        for name in run.tasks
    }
    used = params.model_dump(include={"encoder", "train"}, mode="json") | {"share": params.augment.share}
    facts = _facts(params, run, splits, loop) | int8 | {"warnings": [*warnings, *loop.warnings(), *more]}
    try:
        save(loop.model, out, {"tasks": tasks, "run": run.model_dump(mode="json"), "params": used})
        history = [{key: value for key, value in record.items() if key != SPEED} for record in loop.progress.history]
        write_text(out / "history.jsonl", "".join(json.dumps(record) + "\n" for record in history))
        cost = _cost(loop) | {"serving": serving_cost(loop.model, splits, out)}
        write_text(out / "cost.json", json.dumps(cost, indent=2) + "\n")
        write_text(out / "run.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{out}: the model cannot be written: {error}; run again, training then goes on") from None


def _facts(params: Params, run: Run, splits: Splits, loop: Loop) -> dict[str, Any]:
    """What run.json says of a finished run, warnings apart."""
    sampled = _sampled(params, run, splits, loop)
    return {
        "run": run.name,
        "model": run.model,
        "data": run.data,
        "seed": run.seed,
        "size": run.size,
        "tasks": list(run.tasks),
        **_course(loop),
        "epochs": {name: counts["passes"] for name, counts in sampled["datasets"].items()},
        "sampled": sampled,
        "temperatures": {name: task.temperature for name, task in loop.model.tasks.items() if task.has_temperature},
        "rows": _labelled_rows(params, run, loop),
        **_unlabelled(loop),
        "tokens": loop.progress.usage.tokens,
        "padding_share": 1 - loop.progress.usage.tokens / max(loop.progress.usage.padded, 1),
        **_machine(loop),
        "parameters": sum(parameter.numel() for parameter in loop.model.parameters()),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
    }


def _int8(params: Params, loop: Loop) -> tuple[dict[str, Any], list[str]]:
    """What run.json says of prediction in int8, if it is to be measured, and a warning if it cannot be."""
    if not params.train.int8:
        return {}, []
    try:
        return {"int8": int8_scores(loop.model, loop.feed.data)}, []
    except TrainingError as error:
        return {}, [f"train.int8: not measured: {error}"]


def _course(loop: Loop) -> dict[str, Any]:
    """How training went."""
    now = loop.progress
    return {
        "budget": loop.steps,
        "steps": now.step,
        "best_step": now.best.step,
        "best_score": now.best.score,
        "stopped": now.stopped,
        "stopped_tasks": now.tasks.stopped,
        "skipped": now.skipped,
    }


def _cost(loop: Loop) -> dict[str, Any]:
    """Time and memory: another training of the same run takes others."""
    usage = loop.progress.usage
    return {
        "seconds": usage.seconds + usage.validating,
        SPEED: usage.tokens / usage.seconds if usage.seconds else 0.0,
        "throughput": [[record["step"], record[SPEED]] for record in loop.progress.history if SPEED in record],
        "peak_memory_bytes": peak_memory(loop.precision.device),
        "balance_cost": balance_cost(loop.gradients.balancer, usage.costs),
        "spent": {kind: asdict(cost) for kind, cost in sorted(usage.costs.items())},
    }


def _machine(loop: Loop) -> dict[str, Any]:
    """What it was computed on."""
    device = loop.precision.device
    return {
        "precision": loop.precision.name,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "processes": loop.processes.number,
    }


def _labelled_rows(params: Params, run: Run, loop: Loop) -> dict[str, int]:
    """Original rows of each dataset that have a label of a task of the run."""
    groups, order = loop.feed.data.groups[loop.feed.data.labelled], list(params.datasets)
    return {name: int((groups == order.index(name)).sum()) for name in _learnt(params, run)}


def _learnt(params: Params, run: Run) -> list[str]:
    """The datasets whose labels the run learns, in the order of the settings."""
    return [name for name in params.datasets if any(name in params.datasets_of(task) for task in run.tasks)]


def _sampled(params: Params, run: Run, splits: Splits, loop: Loop) -> dict[str, dict[str, dict[str, float]]]:
    """How often the rows of each dataset and task were trained on, as original rows or as variants.

    Returns:
        Under ``datasets`` and ``tasks``, by name: ``rows`` (with repeats), ``passes`` (mean over the rows) and ``coverage`` (share of the
        rows that were trained on at all).
    """
    now, data, order = loop.progress, loop.feed.data, list(params.datasets)
    # A task that stopped early learned from no row after that step.
    last = {task: now.tasks.stopped.get(task, now.step) for task in run.tasks}
    assigned = {step: loop.feed.plan.times_assigned(step) for step in set(last.values())}
    labelled = {task: splits.train.labelled([task]) for task in run.tasks}
    by_task = {task: assigned[last[task]] * labelled[task] for task in run.tasks}
    times = np.max(list(by_task.values()), axis=0)
    return {
        "datasets": {name: _counts(times, data.labelled & (data.groups == order.index(name))) for name in _learnt(params, run)},
        "tasks": {task: _counts(by_task[task], labelled[task]) for task in run.tasks},
    }


def _unlabelled(loop: Loop) -> dict[str, Any]:
    """What each task with consistency learned from rows without its label: how many have a variant to compare, how often they were compared
    (``passes``, ``coverage``), and the share of the compared rows or tokens that were ``followed``; nothing where no task has it."""
    data, plan, now = loop.feed.data, loop.feed.unlabelled, loop.progress
    if data.unlabelled is None or plan is None:
        return {}
    facts, paired = {}, np.diff(data.unlabelled.variants.offsets) > 0
    for task, compared in data.unlabelled.rows.items():
        rows = compared[: len(paired)] & paired
        _, _, items, followed = now.usage.unlabelled.get(task, [0.0] * 4)
        counts = _counts(plan.times_assigned(now.tasks.stopped.get(task, now.step)), rows)
        facts[task] = counts | {"rows": int(rows.sum()), "followed": followed / items if items else 0.0}
    return {"unlabelled": facts}


def _counts(times: npt.NDArray[np.integer], rows: Mask) -> dict[str, float]:
    """What ``times`` comes to on some of the rows."""
    return {"rows": int(times[rows].sum()), "passes": _mean(times[rows]), "coverage": _mean(times[rows] > 0)}


def _mean(values: npt.NDArray[np.integer] | Mask) -> float:
    return float(np.mean(values)) if values.size else 0.0
