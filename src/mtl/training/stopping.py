"""Which weights a run keeps, and when the run or one of its tasks stops: by the scores of its validations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mtl.config import Train
from mtl.model.model import Model
from mtl.tasks.base import Metric
from mtl.training.progress import Progress

Weights = dict[str, Tensor]


class Stopping:
    """Judges a run after each validation."""

    def __init__(self, model: Model, settings: Train) -> None:
        self.model = model
        self.settings = settings
        self.best: Weights | None = None
        """The weights of the best validation, on the CPU."""

    def judge(self, progress: Progress, metrics: Mapping[str, Mapping[str, float]], warnings: Sequence[str]) -> None:
        """Record a validation, keep the weights if it is the best one, and decide whether to go on.

        Several validations in a row are judged together, by the mean of their scores (``train.score_window``): the best of many single
        ones owes much to chance.
        """
        scores = {task: (self.model.tasks[task].main_metric, self._score(task, values)) for task, values in metrics.items()}
        watched = [score for task, score in scores.items() if self.settings.score in (task, "mean")]
        # A single-task run is judged by its own task, whatever the joint run is judged by.
        score = overall_score(watched or list(scores.values()))
        progress.history.append({"step": progress.step, "kind": "validation", "score": score, "metrics": metrics})
        window, full = self._window(progress)
        judged = _mean([record["score"] for record in window])
        if judged > progress.best.score or not metrics or not full:
            self._keep(progress, judged, warnings)
        else:
            progress.best.waited += 1
        if self._each_stopped(progress, metrics) if self.settings.stop == "each" else progress.best.waited >= self.settings.patience:
            progress.stopped = "early"

    def _score(self, task: str, values: Mapping[str, float]) -> float:
        return values[self.model.tasks[task].main_metric.name]

    def _keep(self, progress: Progress, score: float, warnings: Sequence[str]) -> None:
        """Remember these weights as the best ones."""
        best = progress.best
        best.step, best.score, best.waited, best.warnings = progress.step, score, 0, list(warnings)
        self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}

    def _window(self, progress: Progress) -> tuple[list[dict[str, Any]], bool]:
        """The validations that are judged together, and whether there was a whole window before them to compare with."""
        records, size = progress.validations(), self.settings.score_window
        return records[-size:], len(records) > size

    def _each_stopped(self, progress: Progress, metrics: Mapping[str, Mapping[str, float]]) -> bool:
        """Stop the tasks that no longer improve; whether all that can be scored have stopped by now."""
        tasks, (window, full) = progress.tasks, self._window(progress)
        for name in [name for name in metrics if name not in tasks.stopped]:
            sign = self.model.tasks[name].main_metric.sign
            score = sign * _mean([self._score(name, record["metrics"][name]) for record in window])
            improved = not full or score > tasks.best[name]
            tasks.waited[name], tasks.best[name] = (0, score) if improved else (tasks.waited[name] + 1, tasks.best[name])
            if tasks.waited[name] >= self.settings.patience:
                tasks.stopped[name] = progress.step
        return bool(metrics) and metrics.keys() <= tasks.stopped.keys()


def overall_score(scores: Sequence[tuple[Metric, float]]) -> float:
    """One score, better when higher: of a single task its own, negated where lower is better; of several their geometric mean.

    A score of which lower is better counts in the mean by its reciprocal. So the mean rises by the same amount whichever task gets 1 %
    better (see ``Metric.strength``).
    """
    if len(scores) < 2:
        return _mean([metric.sign * score for metric, score in scores])
    return math.exp(_mean([metric.strength(score) for metric, score in scores]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
