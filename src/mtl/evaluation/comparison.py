"""Runs compared: paired differences with corrected intervals and a verdict in words, and Δm over all tasks.

Every array of resampled scores is ``[seeds, resamples]``; column r of all of them was computed on the same resample r of the
test rows, so that a difference of two arrays is paired by row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtl.config import Size
from mtl.evaluation.bootstrap import Array
from mtl.evaluation.intervals import over_seeds


class Key(NamedTuple):
    """A setting: its runs differ only by their seed."""

    task: str
    model: str
    """``joint``, ``single``, a group or phases (see ``mtl.names``)."""
    data: str
    """``augmented`` or ``plain``."""
    size: Size = "all"
    """Labelled train rows of each dataset."""


class Scores(NamedTuple):
    """The main metric of one task in the runs that differ only by their seed."""

    seeds: tuple[int, ...]
    values: Array
    """``[seeds]`` on the whole test split."""
    draws: Array
    """``[seeds, resamples]``."""
    sign: int = 1
    """1 if higher is better, else -1."""


class Pair(NamedTuple):
    """A question: is the first better than the second?"""

    kind: str
    """``joint`` (joint against single-task, on the data in ``within``), ``augmentation`` (augmented against plain, for the model in
    ``within``) or ``group`` (the model in ``within`` against single-task)."""
    within: str
    first: Key
    second: Key


def pairs(scores: Mapping[Key, Scores]) -> list[Pair]:
    """All comparisons that the runs allow, sorted by kind, then in the order of ``scores``."""
    result = []
    for key in scores:
        single, plain = key._replace(model="single"), key._replace(data="plain")
        if key.model == "joint" and single in scores:
            result.append(Pair("joint", key.data, key, single))
        if key.data == "augmented" and plain in scores:
            result.append(Pair("augmentation", key.model, key, plain))
    return sorted(result, key=lambda pair: pair.kind != "joint")


def compare(scores: Mapping[Key, Scores], confidence: float, target: str | None = None) -> list[dict[str, Any]]:
    """Every paired difference, with its plain interval, its Bonferroni-corrected interval and the verdict of the corrected one.

    The comparisons of the task ``target``, which was named before any score was seen, are a family of their own.

    Bonferroni's correction keeps the chance of any false verdict among all comparisons below ``1 - confidence``, whatever their
    dependence (Dunn 1961). Holm's correction would reject more, but a verdict could then contradict its interval, and the sign (gained,
    lost) would not be covered.

    Returns:
        For each comparison: ``kind`` (``joint`` or ``augmentation``), ``within`` (see ``Pair``), ``size`` (see ``Key``),
        ``task``, ``first`` and ``second`` (mean scores of the sides), ``difference`` (first - second), ``sd`` (of the difference over
        seeds; None for a single one), ``seeds`` (of both sides), ``low`` and ``high`` (interval at ``confidence``),
        ``corrected_low`` and ``corrected_high`` (interval at ``corrected_confidence``), and ``verdict`` (see ``verdict``).
    """
    return compared(pairs(scores), scores, confidence, target)


def compared(asked: Sequence[Pair], scores: Mapping[Key, Scores], confidence: float, target: str | None = None) -> list[dict[str, Any]]:
    """Comparisons that are corrected together, those of the task ``target`` apart from the others and before them; see ``compare``."""
    families = [pair for pair in asked if pair.first.task == target], [pair for pair in asked if pair.first.task != target]
    return [
        _compared(pair, scores[pair.first], scores[pair.second], confidence, corrected_confidence(confidence, len(family)))
        for family in families
        for pair in family
    ]


def largest_family(comparisons: Sequence[Mapping[str, Any]], target: str | None) -> int:
    """How many of these comparisons are corrected together, at most."""
    of_target = len([item for item in comparisons if item["task"] == target])
    return max(of_target, len(comparisons) - of_target)


def corrected_confidence(confidence: float, comparisons: int) -> float:
    """The confidence of each interval so that all hold together with ``confidence``."""
    return 1 - (1 - confidence) / max(1, comparisons)


def _compared(pair: Pair, first: Scores, second: Scores, confidence: float, corrected: float) -> dict[str, Any]:
    first, second = shared(first, second)
    values, draws = first.values - second.values, first.draws - second.draws
    low, high = over_seeds(values, draws, confidence)
    corrected_low, corrected_high = over_seeds(values, draws, corrected)
    return {
        "kind": pair.kind,
        "within": pair.within,
        "size": pair.first.size,
        "task": pair.first.task,
        "first": float(first.values.mean()),
        "second": float(second.values.mean()),
        "difference": float(values.mean()),
        "sd": spread(values),
        "seeds": list(first.seeds),
        "low": low,
        "high": high,
        "corrected_low": corrected_low,
        "corrected_high": corrected_high,
        "corrected_confidence": corrected,
        "verdict": verdict(corrected_low, corrected_high, seeds=len(values), sign=first.sign),
    }


def shared(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """Both sides with only the seeds that both have, paired by seed."""
    seeds = common_seeds([first, second])
    return of_seeds(first, seeds), of_seeds(second, seeds)


def common_seeds(scores: Iterable[Scores]) -> tuple[int, ...]:
    """The seeds that all have, in the order of the first."""
    every = [side.seeds for side in scores]
    return tuple(seed for seed in every[0] if all(seed in seeds for seeds in every))


def of_seeds(scores: Scores, seeds: Sequence[int]) -> Scores:
    """Only the runs with these seeds."""
    index = [scores.seeds.index(seed) for seed in seeds]
    return Scores(tuple(seeds), scores.values[index], scores.draws[index], scores.sign)


def spread(values: Array) -> float | None:
    """Standard deviation over seeds; ``None`` for a single seed."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def verdict(low: float, high: float, seeds: int, sign: int = 1) -> str:
    """In words: whether the interval of a difference excludes zero; with sign -1, lower is better.

    ``gained`` and ``lost`` are about the way of training, so they need several seeds. The interval of one seed holds only for its two
    models: one of them is ``ahead`` or ``behind``.
    """
    better, worse = ("gained", "lost") if seeds > 1 else ("ahead", "behind")
    if low <= 0 <= high:
        return "no difference shown"
    return better if sign * low > 0 else worse


def overall(scores: Mapping[Key, Scores], tasks: Sequence[str], confidence: float) -> list[dict[str, Any]]:
    """Δm for each kind and size of data that has joint and single-task runs: the mean over tasks of the relative gain in percent.

    Maninis, Radosavovic & Kokkinos 2019 (CVPR, "Attentive single-tasking of multiple tasks"), as in the survey of Vandenhende et al.
    2021; a fall counts as a gain where lower is better. It has no value where a single-task score is not above zero. Its interval is at
    the plain confidence: it is a single figure, not one of the comparisons.
    """
    result = []
    for data, size in dict.fromkeys((key.data, key.size) for key in scores):
        sides = [(Key(task, "joint", data, size), Key(task, "single", data, size)) for task in tasks]
        if len(tasks) > 1 and all(key in scores for side in sides for key in side):
            seeds = common_seeds(scores[key] for side in sides for key in side)
            paired = {joint.task: (of_seeds(scores[joint], seeds), of_seeds(scores[single], seeds)) for joint, single in sides}
            result.append({"data": data, "size": size, "seeds": list(seeds), **delta_m(paired, confidence)})
    return result


def delta_m(sides: Mapping[str, tuple[Scores, Scores]], confidence: float) -> dict[str, Any]:
    """Δm of the models that serve the tasks, by task with the single-task models: see ``overall``."""
    undefined = [task for task, (_, single) in sides.items() if single.values.mean() <= 0]
    if undefined:
        reason = f"{' and '.join(undefined)} {'scores' if len(undefined) == 1 else 'score'} at most 0 as a single task"
        return {"delta_m": None, "low": None, "high": None, "tasks": {}, "undefined": reason}
    gains = {task: float(100 * joint.sign * (joint.values.mean() / single.values.mean() - 1)) for task, (joint, single) in sides.items()}
    low, high = over_seeds(*relative_gain(sides), confidence)
    return {"delta_m": float(np.mean(list(gains.values()))), "low": low, "high": high, "tasks": gains, "undefined": None}


def relative_gain(sides: Mapping[str, tuple[Scores, Scores]]) -> tuple[Array, Array]:
    """The mean over tasks of the relative gain in percent, by seed and by resample (see ``_linear_gain``)."""
    parts = [_linear_gain(joint, single) for joint, single in sides.values()]
    values, draws = (np.mean([part[i] for part in parts], axis=0) for i in (0, 1))
    return values, draws


def _linear_gain(joint: Scores, single: Scores) -> tuple[Array, Array]:
    """The relative gain in percent of each seed, ``[seeds]``, and of its resamples, to first order in the scores (the delta method).

    So a seed with a single-task score near zero does not dominate the mean, which is the gain of the mean scores.
    """
    base, unit = single.values.mean(), 100 * joint.sign
    ratio = joint.values.mean() / base
    gain = unit * (ratio - 1)
    return gain + unit * (joint.values - ratio * single.values) / base, gain + unit * (joint.draws - ratio * single.draws) / base
