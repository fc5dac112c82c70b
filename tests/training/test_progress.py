"""Progress survives a checkpoint, and each record covers the steps since the one before."""

import math

import pytest

from mtl.training.costs import Cost
from mtl.training.progress import Best, Progress, TaskProgress, Usage


def test_a_record_covers_the_steps_since_the_last_one() -> None:
    usage = Usage()
    usage.add({"mood": 1.0}, 10, 12, 2)
    usage.add({"mood": 2.0, "names": 4.0}, 30, 32, 3)
    usage.seconds = 2.0
    assert usage.since_record() == ({"mood": 1.5, "names": 4.0}, pytest.approx(20.0))
    usage.add({"mood": 8.0}, 10, 10, 1)
    usage.seconds = 2.5
    assert usage.since_record() == ({"mood": 8.0}, pytest.approx(20.0))
    assert (usage.tokens, usage.padded, usage.rows) == (50, 54, 6)


def test_json_and_back_is_the_same() -> None:
    progress = Progress(
        step=3,
        lost={"mood": 1},
        history=[{"step": 2, "kind": "train"}, {"step": 3, "kind": "validation", "score": 0.1 + 0.2}],
        best=Best(step=2, score=0.1 + 0.2, waited=1, warnings=["odd"]),
        tasks=TaskProgress(best={"mood": 1 / 3}, waited={"mood": 2}, stopped={"mood": 3}),
        usage=Usage(tokens=5, costs={"plain": Cost(1, 5, 0.1)}, losses={"mood": [1 / 3]}, recorded=[5.0, 0.1]),
    )
    assert Progress.from_json(progress.to_json()) == progress
    assert progress.validations() == progress.history[1:]
    assert Progress.from_json(Progress().to_json()).best.score == -math.inf
