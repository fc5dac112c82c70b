"""What one model for several tasks costs, beside separate models: on disk, in memory, in CPU time and in training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import pandas as pd

from mtl.config import Params
from mtl.names import RunName, phases_of
from mtl.report.blocks import Table
from mtl.report.findings import model_name
from mtl.report.inputs import Json
from mtl.report.text import counted, duration, listed, percent, size


class Measure(NamedTuple):
    """A cost of a set of models."""

    path: tuple[str, ...]
    """Where a run has it."""
    text: Callable[[float], str]
    total: Callable[[Iterable[float]], float] = sum
    words: str = ""
    """What follows the amount in a sentence; empty for one that is shown in the table only."""
    training: bool = False
    """Whether a model that another one started from has a share in it."""


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms"


MEASURES = {
    "on disk": Measure(("serving", "disk_bytes"), size, words="on disk"),
    "weights in memory": Measure(("serving", "weight_bytes"), size),
    "CPU time per text": Measure(("serving", "cpu_ms_per_text"), _milliseconds, words="of CPU time per text"),
    "training time": Measure(("seconds",), duration, words="of training", training=True),
    "training memory": Measure(("peak_memory_bytes",), size, max, training=True),  # one run after the other
}
Costs = Mapping[str, float]


def costs(runs: Mapping[str, Json], params: Params, models: Sequence[str]) -> Costs:
    """The cost of serving all tasks with these models, a mean over the seeds that all have, by the names of ``MEASURES``.

    Args:
        runs: ``run.json`` and ``cost.json`` by run.
        params: the settings.
        models: as in ``RunName``.
    """
    known, starts = {}, [phases[0] for model in models if (phases := phases_of(model))]
    for name, measure in MEASURES.items():
        trained = [*dict.fromkeys([*models, *starts])] if measure.training else models
        by_seed = [[_recorded(runs, params, model, seed, measure) for model in trained] for seed in params.experiment.seeds]
        values = [[value for value in of_models if value is not None] for of_models in by_seed]
        whole = [kept for kept in values if len(kept) == len(trained) > 0]
        if whole:
            known[name] = fmean(measure.total(kept) for kept in whole)
    return known


def _recorded(runs: Mapping[str, Json], params: Params, model: str, seed: int, measure: Measure) -> float | None:
    data = params.compared_data
    if model == "joint" and data not in params.experiment.joint:
        data = params.experiment.joint[0]
    value: object = runs.get(str(RunName(model, data, seed)), {})
    for key in measure.path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def saving(runs: Mapping[str, Json], params: Params) -> str:
    """In a sentence, the joint model beside single-task models; empty where there are none."""
    joint, separate = costs(runs, params, ["joint"]), costs(runs, params, _separate(params))
    both = [
        (measure, joint[name], separate[name]) for name, measure in MEASURES.items() if measure.words and {name} <= joint.keys() & separate
    ]
    if not both:
        return ""
    amounts = [f"{measure.text(one)} instead of {measure.text(several)} {measure.words}" for measure, one, several in both]
    return f"One joint model in place of {counted(len(params.tasks), 'single-task model')}: {listed(amounts)}."


def _separate(params: Params) -> list[str]:
    return list(params.tasks) if len(params.tasks) > 1 and params.experiment.single_task else []


def table(runs: Mapping[str, Json], params: Params, groupings: Sequence[Sequence[str]] = ()) -> Table | None:
    """The costs of the joint model, of single-task models, and of other sets of models; None where there is nothing to compare.

    Args:
        runs: see ``costs``.
        params: the settings.
        groupings: further sets of models, as in ``RunName``.
    """
    separate = _separate(params)
    others = [tuple(models) for models in groupings if tuple(models) not in (("joint",), tuple(separate))]
    sets = {"1 joint model": ("joint",), **{_title(models): models for models in others}}
    if separate:
        sets[counted(len(separate), "single-task model")] = tuple(separate)
    found = {title: costs(runs, params, models) for title, models in sets.items()}
    whole = costs(runs, params, separate)
    if not whole or not any(found.values()):
        return None
    rows = [{"models": title, **{name: _cell(name, cost, whole) for name in MEASURES}} for title, cost in found.items()]
    note = "All tasks served; in brackets the share of the single-task models. Training memory: the peak of the largest run."
    if params.experiment.phases:
        note += " Training of a second phase includes the first."
    return Table("What one model saves", note, pd.DataFrame(rows), dict.fromkeys(MEASURES, str))


def _title(models: Sequence[str]) -> str:
    return f"{counted(len(models), 'model')}: {'; '.join(map(model_name, models))}"


def _cell(name: str, cost: Costs, whole: Costs) -> str:
    if name not in cost:
        return "–"
    share = f" ({percent(round(cost[name] / whole[name], 2))})" if whole.get(name) else ""
    return f"{MEASURES[name].text(cost[name])}{share}"
