"""The weights of the best validations are kept, and training stops when scores no longer rise."""

import itertools
import math
from typing import Any

import pytest

from mtl.tasks.base import Metric
from mtl.training.cautions import still_rising
from mtl.training.loop import Loop
from mtl.training.stopping import overall_score

from .loops import MakeLoop, quiet


def script(loop: Loop, scores: dict[str, list[float]]) -> None:
    """Let the tasks have these scores, one a validation."""
    names = {name: task.main_metric.name for name, task in loop.model.tasks.items()}
    turns = iter(range(10_000))

    def metrics() -> tuple[dict[str, dict[str, float]], list[str]]:
        turn = next(turns)
        return {name: {names[name]: values[min(turn, len(values) - 1)]} for name, values in scores.items()}, []

    loop._metrics = metrics  # type: ignore[method-assign]


SCORES = {"names": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6], "mood": [0.5, 0.4, 0.5, 0.9], "rating": [0.3, 0.4, 0.35, 0.3, 0.9]}


def test_each_task_stops_by_itself_and_its_rows_are_spared(make_loop: MakeLoop) -> None:
    loop = make_loop(epochs=50, patience=2, stop="each", eval_every=2, micro_batch_tokens=16)
    script(loop, SCORES)
    rows, make_batches = {}, loop._batches

    def spy() -> Any:
        batches = make_batches()
        rows[loop.progress.step] = {task for batch in batches.batches for task in batch.targets}
        assert all(batch.targets for batch in batches.batches)
        return batches

    loop._batches = spy  # type: ignore[method-assign]
    quiet(loop)
    # mood: best at the first validation (step 2), rating at the second, names at the sixth.
    assert loop.progress.tasks.stopped == {"mood": 6, "rating": 8, "names": 16}
    assert (loop.progress.stopped, loop.progress.step) == ("early", 16)
    assert [rows[step] for step in (5, 6, 8, 15)] == [{"names", "mood", "rating"}, {"names", "rating"}, {"names"}, {"names"}]
    means = [math.prod(scores[min(turn, len(scores) - 1)] for scores in SCORES.values()) ** (1 / 3) for turn in range(8)]
    assert loop.progress.best.score == pytest.approx(max(means))


SHARE, ERROR = Metric("f1"), Metric("mse", high=math.inf, higher_is_better=False)


def shares(scores: list[float]) -> float:
    return overall_score([(SHARE, score) for score in scores])


def test_the_score_of_several_tasks_is_a_mean_of_relative_ones() -> None:
    assert shares([0.5, 0.9, 0.8]) == pytest.approx((0.5 * 0.9 * 0.8) ** (1 / 3))
    assert (
        shares([0.5 * 1.02, 0.9, 0.8])
        == pytest.approx(shares([0.5, 0.9, 0.8 * 1.02]))
        == pytest.approx(shares([0.5, 0.9, 0.8]) * 1.02 ** (1 / 3))
    )
    rising = [shares([score, 0.8]) for score in (-1.0, -0.1, 0.0, 0.05, 0.1 - 1e-6, 0.1, 0.1 + 1e-6, 0.2, 1.0)]
    assert all(lower < higher for lower, higher in itertools.pairwise(rising))
    assert shares([0.11, 0.6]) > shares([0.0, 0.8])  # a task that learns nothing is not made up for by another one
    assert [shares([score]) for score in (-0.2, 0.05, 0.7)] == [-0.2, 0.05, 0.7]  # that of one task is its own


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_a_lower_error_is_a_better_score_whatever_its_unit(unit: float) -> None:
    assert overall_score([(ERROR, 2 * unit)]) < overall_score([(ERROR, unit)])
    ratio = overall_score([(SHARE, 0.8), (ERROR, unit)]) / overall_score([(SHARE, 0.8), (ERROR, 1.02 * unit)])
    assert ratio == pytest.approx(1.02 ** (1 / 2))
    assert ratio == pytest.approx(overall_score([(SHARE, 0.8 * 1.02), (ERROR, unit)]) / overall_score([(SHARE, 0.8), (ERROR, unit)]))
    assert math.isfinite(overall_score([(SHARE, 0.8), (ERROR, 0.0)]))


def test_a_score_of_0_to_100_counts_like_a_share() -> None:
    bleu = Metric("bleu", high=100)
    assert overall_score([(bleu, 30.0), (SHARE, 0.5)]) == pytest.approx(shares([0.3, 0.5]))
    assert bleu.relative_gain(33.0, 30.0) == pytest.approx(SHARE.relative_gain(0.33, 0.3)) == pytest.approx(0.1)


@pytest.mark.parametrize("stop", ["together", "each"])
def test_the_lowest_error_is_the_best(make_loop: MakeLoop, stop: str) -> None:
    loop = make_loop(epochs=50, patience=2, eval_every=2, stop=stop)
    loop.model.tasks["rating"].main_metric = loop.model.tasks["rating"].metric("mse")
    script(loop, {"rating": [3.0, 2.0, 1.0, 1.5, 4.0]})
    quiet(loop)
    assert (loop.progress.best.step, loop.progress.step, loop.progress.best.score) == (6, 10, -1.0)


def test_together_no_task_is_left_out(make_loop: MakeLoop) -> None:
    loop = make_loop(epochs=50, patience=2, eval_every=2)
    script(loop, {name: [*scores[:3], 0.0] for name, scores in SCORES.items()})
    quiet(loop)
    assert (loop.progress.tasks.stopped, loop.progress.stopped, loop.progress.step) == ({}, "early", 10)


@pytest.mark.parametrize(("window", "best", "end"), [(1, 4, 10), (2, 10, 16), (3, 12, 18)])
def test_a_single_high_score_is_one_of_a_window(make_loop: MakeLoop, window: int, best: int, end: int) -> None:
    loop = make_loop(epochs=50, patience=3, eval_every=2, score_window=window)
    script(loop, {"mood": [0.1, 0.8, 0.3, 0.6, 0.7, 0.6, 0.4]})
    quiet(loop)
    assert (loop.progress.best.step, loop.progress.step) == (best, end)


def test_a_high_start_is_not_judged_by_itself(make_loop: MakeLoop) -> None:
    loop = make_loop(epochs=50, patience=3, eval_every=2, score_window=3)
    script(loop, {"mood": [0.8, 0.7, 0.75, 0.76, 0.77, 0.78, 0.5]})
    quiet(loop)
    assert (loop.progress.best.step, loop.progress.step) == (12, 18)
    assert loop.progress.best.score == pytest.approx((0.76 + 0.77 + 0.78) / 3)


@pytest.mark.parametrize("stop", ["together", "each"])
def test_a_run_shorter_than_its_window_keeps_its_last_weights(make_loop: MakeLoop, stop: str) -> None:
    loop = make_loop(epochs=50, patience=1, eval_every=100, score_window=9, stop=stop)
    script(loop, {"mood": [0.8, 0.7, 0.6]})
    quiet(loop)
    assert loop.progress.best.step == loop.progress.step == loop.steps


def test_each_task_stops_by_its_window(make_loop: MakeLoop) -> None:
    loop = make_loop(epochs=50, patience=2, eval_every=2, stop="each", score_window=2)
    script(loop, {"mood": [0.1, 0.8, 0.3, 0.6, 0.6, 0.6], "rating": [0.5, 0.6, 0.4]})
    quiet(loop)
    assert loop.progress.tasks.stopped == {"rating": 8, "mood": 14}


RISE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.62, 0.65]


@pytest.mark.parametrize(
    ("scores", "window", "warned"),
    [
        (RISE, 1, True),
        (RISE, 3, True),
        ([-10 * (1 - score) for score in RISE], 1, True),  # an error that falls
        (RISE[-4:], 1, False),
        ([*RISE[:-2], 0.6, 0.605], 1, False),
        ([*RISE, 0.64], 1, False),
    ],
)
def test_a_budget_that_is_too_small_is_said(scores: list[float], window: int, warned: bool) -> None:
    assert bool(still_rising(scores, window)) == warned


def test_a_task_without_a_score_does_not_keep_the_others_going(make_loop: MakeLoop) -> None:
    loop = make_loop(epochs=50, patience=1, eval_every=2, stop="each")
    script(loop, {"mood": [0.5], "rating": [0.5]})
    quiet(loop)
    assert (loop.progress.tasks.stopped, loop.progress.step) == ({"mood": 4, "rating": 4}, 4)
