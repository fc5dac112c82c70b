"""The best way to serve all tasks with a given number of models, out of those that were trained.

Each task is served by the best of the chosen models that has it; a model may be chosen for the sake of some of its tasks only (Standley et
al. 2020, "Which tasks should be learned together in multi-task learning?"; Fifty et al. 2021). This is an integer program, which branch and
bound solves exactly.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

Gains = Mapping[str, Mapping[str, float]]
LEAST = 1e-6
"""What another model must add to the gains: among equally good choices the one with the fewest models is taken."""
SCALE = 1000.0
"""The solver takes objectives for equal that differ by 1e-6."""


def best_models(gains: Gains, tasks: Sequence[str], budget: int) -> tuple[str, ...]:
    """The names of at most ``budget`` models that together serve all tasks with the largest sum of gains; empty if none can.

    Args:
        gains: by model, and by task that it has.
        tasks: all that must be served.
        budget: number of models, at least 1.
    """
    names = list(gains)
    pairs = [(model, task) for model, name in enumerate(names) for task, of in enumerate(tasks) if of in gains[name]]
    # The variables: whether a model is chosen, then whether a model serves a task.
    value = [-LEAST] * len(names) + [gains[names[model]][tasks[task]] for model, task in pairs]
    chosen, serves = np.arange(len(names)), len(names) + np.arange(len(pairs))
    of_model, of_task = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    rows, ones = np.arange(len(pairs)), np.ones(len(pairs))

    def matrix(values: object, places: object, columns: object, count: int) -> coo_array:
        return coo_array((values, (places, columns)), shape=(count, len(value)))

    once = matrix(ones, of_task, serves, len(tasks))
    by_chosen = matrix(ones, rows, serves, len(pairs)) - matrix(ones, rows, of_model, len(pairs))
    few = matrix(np.ones(len(names)), np.zeros(len(names), dtype=np.int64), chosen, 1)
    solved = milp(
        -SCALE * np.array(value),
        integrality=np.arange(len(value)) < len(names),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(once, 1, 1), LinearConstraint(by_chosen, -np.inf, 0), LinearConstraint(few, 0, budget)],
        options={"mip_rel_gap": 0},
    )
    return () if solved.x is None else tuple(name for name, part in zip(names, solved.x, strict=False) if part > 0.5)


def serving(gains: Gains, models: Sequence[str], tasks: Sequence[str]) -> dict[str, str]:
    """By task the model that serves it: of those that have it the one with the largest gain."""
    return {task: max((name for name in models if task in gains[name]), key=lambda name: gains[name][task]) for task in tasks}
