"""Where a run stands: all that a checkpoint holds beside weights, optimiser, loss scaler and balancer."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mtl.training.costs import Cost


@dataclass(slots=True)
class Best:
    """The validation whose weights the run keeps."""

    step: int = 0
    score: float = -math.inf
    waited: int = 0
    """Validations since then."""
    warnings: list[str] = field(default_factory=list)
    """What looked wrong in it."""


@dataclass(slots=True)
class TaskProgress:
    """What decides when each task stops, under ``stop: each``; all by task."""

    best: dict[str, float] = field(default_factory=dict)
    """The best main metric, negated where lower is better."""
    waited: dict[str, int] = field(default_factory=dict)
    """Validations since the best one."""
    stopped: dict[str, int] = field(default_factory=dict)
    """The step after which the task was left out."""


@dataclass(slots=True)
class Usage:
    """What the run has read and computed, and the time it took."""

    tokens: int = 0
    """Subwords, padding left out."""
    padded: int = 0
    """Subwords, padding included where it is computed."""
    rows: int = 0
    seconds: float = 0.0
    """Time spent in steps; validation is kept apart, so that tokens per second mean training."""
    validating: float = 0.0
    """Time spent on validation, and on plain passes that are timed for comparison."""
    costs: dict[str, Cost] = field(default_factory=dict)
    """By kind of step, ``separate`` or ``plain`` (see ``costs.py``)."""
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Losses since the last record, by task."""
    recorded: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Tokens and seconds at the last record."""
    unlabelled: dict[str, list[float]] = field(default_factory=dict)
    """By task with consistency: steps, the sum of its terms in the loss, the items compared and those followed."""
    unlabelled_recorded: dict[str, list[float]] = field(default_factory=dict)
    """The same at the last record."""

    def add(self, losses: Mapping[str, float], tokens: int, padded: int, rows: int) -> None:
        """Count a step."""
        self.tokens += tokens
        self.padded += padded
        self.rows += rows
        for task, loss in losses.items():
            self.losses.setdefault(task, []).append(loss)

    def compare(self, terms: Mapping[str, tuple[float, float, float]]) -> None:
        """Count what a step compared: by task its term in the loss, the items compared and those followed."""
        for task, numbers in terms.items():
            before = self.unlabelled.get(task, [0.0] * 4)
            self.unlabelled[task] = [old + new for old, new in zip(before, (1.0, *numbers), strict=True)]

    def unlabelled_since_record(self) -> dict[str, tuple[float, float]]:
        """By task its mean term and the share of items followed since the last record; the next one starts here."""
        found = {}
        for task, now in sorted(self.unlabelled.items()):
            before = self.unlabelled_recorded.get(task, [0.0] * 4)
            steps, total, compared, followed = (new - old for new, old in zip(now, before, strict=True))
            if steps:
                found[task] = (total / steps, followed / compared)
        self.unlabelled_recorded = {task: list(numbers) for task, numbers in self.unlabelled.items()}
        return found

    def since_record(self) -> tuple[dict[str, float], float]:
        """Mean losses by task and tokens per second since the last record; the next one starts here."""
        tokens, seconds = self.tokens - self.recorded[0], self.seconds - self.recorded[1]
        losses = {task: sum(values) / len(values) for task, values in sorted(self.losses.items())}
        self.losses, self.recorded = {}, [float(self.tokens), self.seconds]
        return losses, tokens / seconds if seconds > 0 else 0.0


@dataclass(slots=True)
class Progress:
    """Where a run stands."""

    step: int = 0
    """Steps of the plan done, whether or not they ended in an update."""
    updates: int = 0
    """Updates made: the learning rate follows these."""
    skipped: int = 0
    """Steps without an update because the gradient was not finite."""
    lost: dict[str, int] = field(default_factory=dict)
    """Steps that a task was left out of because its loss was not finite."""
    stopped: str = ""
    """``early`` or ``end`` once training is over."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Records of kind ``train`` and ``validation``, in the order of their steps."""
    best: Best = field(default_factory=Best)
    tasks: TaskProgress = field(default_factory=TaskProgress)
    usage: Usage = field(default_factory=Usage)

    def validations(self) -> list[dict[str, Any]]:
        """The records of all validations."""
        return [record for record in self.history if record["kind"] == "validation"]

    def to_json(self) -> str:
        """All of it, for a checkpoint."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Progress":
        """The way back."""
        values: dict[str, Any] = json.loads(text)
        usage: dict[str, Any] = values.pop("usage")
        costs = {kind: Cost(**cost) for kind, cost in usage.pop("costs").items()}
        best, tasks = Best(**values.pop("best")), TaskProgress(**values.pop("tasks"))
        return cls(**values, best=best, tasks=tasks, usage=Usage(**usage, costs=costs))
