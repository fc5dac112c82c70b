"""The best models for all tasks, against brute force."""

from collections.abc import Mapping, Sequence
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.evaluation.grouping import best_models, serving

Gains = Mapping[str, Mapping[str, float]]


def value(gains: Gains, models: Sequence[str], tasks: Sequence[str]) -> float | None:
    """The sum of what each task gains in the best of the models; None if one has none."""
    best = [max((gains[model][task] for model in models if task in gains[model]), default=None) for task in tasks]
    return None if None in best else sum(found for found in best if found is not None)


def brute_force(gains: Gains, tasks: Sequence[str], budget: int) -> tuple[float, int] | None:
    """The largest sum, and how few models it takes."""
    sets = chain.from_iterable(combinations(gains, size) for size in range(1, budget + 1))
    return max(((found, -len(models)) for models in sets if (found := value(gains, models, tasks)) is not None), default=None)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Gains, list[str], int]:
    tasks = list("abcde")[: draw(st.integers(1, 5))]
    sets = draw(st.lists(st.sets(st.sampled_from(tasks), min_size=1).map(sorted), min_size=1, max_size=9, unique_by=tuple))
    gain = st.integers(-20, 20).map(lambda percent: percent / 100)
    return {"+".join(names): {task: draw(gain) for task in names} for names in sets}, tasks, draw(st.integers(1, 4))


@settings(max_examples=60)
@given(problems())
def test_no_set_of_models_is_better_and_none_as_good_is_smaller(problem: tuple[Gains, list[str], int]) -> None:
    gains, tasks, budget = problem
    models = best_models(gains, tasks, budget)
    expected = brute_force(gains, tasks, budget)
    assert bool(models) == (expected is not None)
    if expected:
        assert (value(gains, models, tasks), -len(models)) == (pytest.approx(expected[0]), expected[1])


def test_a_model_is_chosen_for_one_of_its_tasks_alone() -> None:
    gains = {"a": {"a": 0.0}, "b": {"b": 0.0}, "c": {"c": 0.0}, "a+b": {"a": 0.5, "b": -0.4}, "joint": {"a": 0.1, "b": 0.05, "c": -0.02}}
    assert best_models(gains, "abc", 1) == ("joint",)
    assert best_models(gains, "abc", 2) == ("a+b", "joint")
    assert best_models(gains, "abc", 3) == ("c", "a+b", "joint")
    assert serving(gains, ("a+b", "joint"), "abc") == {"a": "a+b", "b": "joint", "c": "joint"}
    assert best_models({"a": {"a": 0.0}}, "ab", 2) == ()


def test_ten_tasks_and_all_sets_of_up_to_three_take_no_exhaustive_search() -> None:
    draw, tasks = np.random.default_rng(0), list("abcdefghij")
    sets = [("joint", tasks), *(("+".join(names), names) for size in (1, 2, 3) for names in combinations(tasks, size))]
    gains = {name: {task: float(draw.normal(0, 0.02)) for task in names} for name, names in sets}
    found = [value(gains, best_models(gains, tasks, budget), tasks) for budget in (1, 2, 4, 6)]
    assert None not in found
    assert found == sorted(found)  # type: ignore[type-var]
