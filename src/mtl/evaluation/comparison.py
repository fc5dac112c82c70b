"""Runs compared: paired differences with corrected intervals and a verdict in words, and Δm over all tasks.

Every array of resampled scores is ``[seeds, resamples]``; column r of all of them was computed on the same resample r of the
test rows, so that a difference of two arrays is paired by row.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtl.config import Size
from mtl.evaluation.bootstrap import Array
from mtl.evaluation.intervals import over_seeds


class Key(NamedTuple):
    """A setting: all of its runs differ by their seed only."""

    task: str
    model: str
    """``joint`` or ``single``."""
    data: str
    """``augmented`` or ``plain``."""
    size: Size = "all"
    """Labelled train rows of each dataset."""


class Scores(NamedTuple):
    """The main metric of one task in the runs that differ by their seed only."""

    seeds: tuple[int, ...]
    values: Array
    """``[seeds]`` on the whole test split."""
    draws: Array
    """``[seeds, resamples]``."""


class Pair(NamedTuple):
    """A question: is the first better than the second?"""

    kind: str
    """``joint`` (joint against alone, on the data named) or ``augmentation`` (augmented against plain, of the model named)."""
    within: str
    first: Key
    second: Key


def pairs(scores: Mapping[Key, Scores]) -> list[Pair]:
    """All comparisons that the runs allow, sorted by kind, then in the order of ``scores``."""
    found = []
    for key in scores:
        alone, plain = key._replace(model="single"), key._replace(data="plain")
        if key.model == "joint" and alone in scores:
            found.append(Pair("joint", key.data, key, alone))
        if key.data == "augmented" and plain in scores:
            found.append(Pair("augmentation", key.model, key, plain))
    return sorted(found, key=lambda pair: pair.kind != "joint")


def compare(scores: Mapping[Key, Scores], confidence: float) -> list[dict[str, Any]]:
    """Every paired difference, with its plain interval, its Bonferroni-corrected one and the verdict that this one gives.

    Bonferroni's correction keeps the chance of any false verdict among all comparisons below ``1 - confidence``, whatever their
    dependence (Dunn 1961). Holm's would reject more, but a verdict would then no longer be what its interval shows, and a sign
    (gained, lost) would not be covered.

    Returns:
        A flat list, of each comparison: ``kind`` (``joint`` or ``augmentation``), ``within`` (see ``Pair``), ``size`` (see ``Key``),
        ``task``, ``first`` and ``second`` (mean scores of the sides), ``difference`` (first - second), ``sd`` (of the difference over
        seeds; None for a single one), ``seeds`` (that both sides have), ``low`` and ``high`` (interval at ``confidence``),
        ``corrected_low`` and ``corrected_high``, and ``verdict`` (see ``verdict``).
    """
    asked = pairs(scores)
    corrected = corrected_confidence(confidence, len(asked))
    return [_compared(pair, scores[pair.first], scores[pair.second], confidence, corrected) for pair in asked]


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
        "verdict": verdict(corrected_low, corrected_high, seeds=len(values)),
    }


def shared(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """Both sides with the seeds only that both have, paired by seed."""
    seeds = tuple(seed for seed in first.seeds if seed in second.seeds)

    def keep(side: Scores) -> Scores:
        index = [side.seeds.index(seed) for seed in seeds]
        return Scores(seeds, side.values[index], side.draws[index])

    return keep(first), keep(second)


def spread(values: Array) -> float | None:
    """Standard deviation over seeds; none for a single seed."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def verdict(low: float, high: float, seeds: int) -> str:
    """In words: whether the interval of a difference excludes zero.

    ``gained`` and ``lost`` speak of the way of training, so they need several seeds; the interval of one seed holds for its two models
    only, of which one is ``ahead`` or ``behind``.
    """
    better, worse = ("gained", "lost") if seeds > 1 else ("ahead", "behind")
    if low > 0:
        return better
    return worse if high < 0 else "no difference shown"


def overall(scores: Mapping[Key, Scores], tasks: Sequence[str], confidence: float) -> list[dict[str, Any]]:
    """Δm for each kind and size of data that has joint and single-task runs: the mean over tasks of the relative gain in percent.

    Maninis, Radosavovic & Kokkinos 2019 (CVPR, "Attentive single-tasking of multiple tasks"), as in the survey of Vandenhende et al.
    2021; all main metrics here are better when higher. It has no value where a single-task score is not above zero. Its interval is at
    the plain confidence: it is one figure, not one of the comparisons.
    """
    found = []
    for data, size in dict.fromkeys((key.data, key.size) for key in scores):
        sides = [(Key(task, "joint", data, size), Key(task, "single", data, size)) for task in tasks]
        if len(tasks) > 1 and all(key in scores for side in sides for key in side):
            paired = {joint.task: shared(scores[joint], scores[alone]) for joint, alone in sides}
            found.append({"data": data, "size": size, **_delta_m(paired, confidence)})
    return found


def _delta_m(sides: Mapping[str, tuple[Scores, Scores]], confidence: float) -> dict[str, Any]:
    undefined = [task for task, (_, alone) in sides.items() if alone.values.mean() <= 0]
    if undefined:
        reason = f"{', '.join(undefined)} alone scores no more than 0"
        return {"delta_m": None, "low": None, "high": None, "tasks": {}, "undefined": reason}
    gains = {task: float(100 * (joint.values.mean() / alone.values.mean() - 1)) for task, (joint, alone) in sides.items()}
    parts = [_linear_gain(joint, alone) for joint, alone in sides.values()]
    values, draws = (np.mean([part[i] for part in parts], axis=0) for i in (0, 1))
    low, high = over_seeds(values, draws, confidence)
    return {"delta_m": float(np.mean(list(gains.values()))), "low": low, "high": high, "tasks": gains, "undefined": None}


def _linear_gain(joint: Scores, alone: Scores) -> tuple[Array, Array]:
    """The relative gain in percent of each seed, ``[seeds]``, and of its resamples, to first order in the scores (the delta method).

    So a seed whose single-task score is near zero does not blow up the mean, which is the gain of the mean scores.
    """
    base = alone.values.mean()
    ratio = joint.values.mean() / base
    gain = 100 * (ratio - 1)
    return gain + 100 * (joint.values - ratio * alone.values) / base, gain + 100 * (joint.draws - ratio * alone.draws) / base
