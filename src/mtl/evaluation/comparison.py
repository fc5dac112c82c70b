"""Runs compared: paired differences with corrected intervals and a verdict in words, and Δm over all tasks.

Every array of resampled scores is ``[seeds, resamples]``; column r of all of them was computed on the same resample r of the
test rows, so that a difference of two arrays is paired by row.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtl.evaluation.bootstrap import Array, generator, interval

Key = tuple[str, str, str]
"""Task, model (``joint`` or ``alone``) and data (``augmented`` or ``plain``)."""


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
    for task, model, data in scores:
        alone, plain = (task, "alone", data), (task, model, "plain")
        if model == "joint" and alone in scores:
            found.append(Pair("joint", data, (task, model, data), alone))
        if data == "augmented" and plain in scores:
            found.append(Pair("augmentation", model, (task, model, data), plain))
    return sorted(found, key=lambda pair: pair.kind != "joint")


def compare(scores: Mapping[Key, Scores], confidence: float) -> list[dict[str, Any]]:
    """Every paired difference, with its plain interval, its Bonferroni-corrected one and the verdict that this one gives.

    Bonferroni's correction keeps the chance of any false verdict among all comparisons below ``1 - confidence``, whatever their
    dependence (Dunn 1961).
    """
    asked = pairs(scores)
    corrected = corrected_confidence(confidence, len(asked))
    return [_compared(pair, scores[pair.first], scores[pair.second], confidence, corrected) for pair in asked]


def corrected_confidence(confidence: float, comparisons: int) -> float:
    """The confidence of each interval so that all hold together with ``confidence``."""
    return 1 - (1 - confidence) / max(1, comparisons)


def _compared(pair: Pair, first: Scores, second: Scores, confidence: float, corrected: float) -> dict[str, Any]:
    first, second = shared(first, second)
    values = first.values - second.values
    draws = pooled(first.draws - second.draws)
    low, high = interval(draws, confidence)
    corrected_low, corrected_high = interval(draws, corrected)
    return {
        "kind": pair.kind,
        "within": pair.within,
        "task": pair.first[0],
        "first": float(first.values.mean()),
        "second": float(second.values.mean()),
        "difference": float(values.mean()),
        "sd": spread(values),
        "seeds": list(first.seeds),
        "low": low,
        "high": high,
        "corrected_low": corrected_low,
        "corrected_high": corrected_high,
        "verdict": verdict(corrected_low, corrected_high),
    }


def shared(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """Both sides with the seeds only that both have, paired by seed."""
    seeds = tuple(seed for seed in first.seeds if seed in second.seeds)

    def keep(side: Scores) -> Scores:
        index = [side.seeds.index(seed) for seed in seeds]
        return Scores(seeds, side.values[index], side.draws[index])

    return keep(first), keep(second)


def pooled(draws: Array) -> Array:
    """Resampled means ``[resamples]`` over seeds that are resampled too, so that the luck of training widens the interval."""
    seeds, resamples = draws.shape
    picked = generator("seeds", str(seeds)).integers(seeds, size=(seeds, resamples))
    mean: Array = np.take_along_axis(draws, picked, axis=0).mean(0)
    return mean


def spread(values: Array) -> float | None:
    """Standard deviation over seeds; none for a single seed."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def verdict(low: float, high: float) -> str:
    """In words: whether the interval of a difference excludes zero."""
    if low > 0:
        return "gained"
    return "lost" if high < 0 else "no difference shown"


def overall(scores: Mapping[Key, Scores], tasks: Sequence[str], confidence: float) -> list[dict[str, Any]]:
    """Δm for each kind of data that has joint and single-task runs: the mean over tasks of the relative gain in percent.

    Maninis, Radosavovic & Kokkinos 2019 (CVPR, "Attentive single-tasking of multiple tasks"), as in the survey of Vandenhende et al.
    2021; all main metrics here are better when higher. It has no value where a single-task score is not above zero.
    """
    found = []
    for data in dict.fromkeys(key[2] for key in scores):
        sides = [((task, "joint", data), (task, "alone", data)) for task in tasks]
        if len(tasks) > 1 and all(key in scores for side in sides for key in side):
            found.append(_delta_m(data, {side[0][0]: shared(scores[side[0]], scores[side[1]]) for side in sides}, confidence))
    return found


def _delta_m(data: str, sides: Mapping[str, tuple[Scores, Scores]], confidence: float) -> dict[str, Any]:
    undefined = [task for task, (_, alone) in sides.items() if alone.values.mean() <= 0]
    if undefined:
        reason = f"{', '.join(undefined)} alone scores no more than 0"
        return {"data": data, "delta_m": None, "low": None, "high": None, "tasks": {}, "undefined": reason}
    gains = {task: float(100 * (joint.values.mean() / alone.values.mean() - 1)) for task, (joint, alone) in sides.items()}
    drawn = [pooled(joint.draws) / np.maximum(pooled(alone.draws), 1e-6) for joint, alone in sides.values()]
    low, high = interval(100 * (np.mean(drawn, axis=0) - 1), confidence)
    return {"data": data, "delta_m": float(np.mean(list(gains.values()))), "low": low, "high": high, "tasks": gains, "undefined": None}
