"""Whether a newly trained model replaces the promoted one, and which versions there were.

Both models predict the same test rows, the frozen and the recent ones (see ``Dataset.incoming``). The difference of the main metric has a
paired bootstrap interval for each task and split, corrected for their number (Bonferroni). A task *falls* unless the interval lies above
minus its margin (a test of non-inferiority), and *gains* if it lies above 0.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any, NamedTuple

from mtl.config import Params, Promote
from mtl.errors import ModelError, PipelineError
from mtl.evaluation.bootstrap import draws, interval_about, resample
from mtl.evaluation.comparison import corrected_confidence
from mtl.evaluation.predictions import predict
from mtl.evaluation.results import joint_run
from mtl.files import checksum, write_text
from mtl.model.folder import WEIGHTS, read_config

LEAST_ROWS = 30
"""Labelled test rows that a comparison needs; with fewer, one row more or less decides."""
NAME = "joint"
"""The artifact in ``dvc.yaml`` whose versions these are."""
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
Rows = Sequence[Mapping[str, Any]]
"""Rows of a predictions file."""


class Compared(NamedTuple):
    """A task on one test split."""

    task: str
    split: str
    """``frozen`` or ``recent``."""
    metric: str
    rows: int
    promoted: float
    candidate: float
    gain: float
    """How much better the candidate is, whether higher or lower is better."""
    low: float
    high: float
    """Corrected interval of the gain."""
    margin: float

    @property
    def falls(self) -> bool:
        """Whether it is not shown that the task loses less than the margin."""
        return self.low <= -self.margin and self.low < 0

    @property
    def gains(self) -> bool:
        """Whether the candidate is shown to be better."""
        return self.low > 0


class Decision(NamedTuple):
    """What is on record."""

    promote: bool
    reason: str
    compared: list[Compared]


# --- decision ---------------------------------------------------------------------------------------------------------


def decide(params: Params, promoted: Rows, candidate: Rows, *, drift: bool = False) -> Decision:
    """Whether the candidate replaces the promoted model.

    Args:
        params: all settings.
        promoted: predictions of the promoted model on the test rows of all datasets.
        candidate: those of the new model on the same rows, of the same tasks and more.
        drift: whether new texts differ from the old ones; then no task needs to gain.
    """
    compared = compare(params, promoted, candidate)
    falling = [f"{one.task} ({one.split})" for one in compared if one.falls]
    gaining = [f"{one.task} ({one.split})" for one in compared if one.gains]
    if not compared:
        return Decision(False, f"no task has {LEAST_ROWS} test rows to compare the models on", compared)
    if falling:
        return Decision(False, f"not shown to be within the margin: {', '.join(falling)}", compared)
    if gaining:
        return Decision(True, f"gain: {', '.join(gaining)}", compared)
    return Decision(drift, "drift was found, and no task falls" if drift else "no task falls, but none gains", compared)


def compare(params: Params, promoted: Rows, candidate: Rows) -> list[Compared]:
    """All tasks of the promoted model on both test splits, as far as they have ``LEAST_ROWS`` rows.

    Raises:
        PipelineError: the models did not predict the same rows.
    """
    groups = {key: rows for key, rows in _groups(params, promoted).items() if len(rows) >= LEAST_ROWS}
    others = _groups(params, candidate)
    confidence = corrected_confidence(params.evaluate.confidence, len(groups))
    return [_compared(params, key, rows, others.get(key, []), confidence) for key, rows in groups.items()]


def _groups(params: Params, rows: Rows) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The rows by task and test split."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        split = "recent" if params.datasets[row["dataset"]].incoming else "frozen"
        groups.setdefault((row["task"], split), []).append(row)
    return groups


def _compared(params: Params, key: tuple[str, str], promoted: Rows, candidate: Rows, confidence: float) -> Compared:
    task, split = key
    if [_identity(row) for row in promoted] != [_identity(row) for row in candidate]:
        raise PipelineError(f"task {task}: the models predicted different {split} test rows")
    spec, promote = params.tasks[task], params.promote or Promote()
    metric = spec.main_metric
    keys, gold = [f"{row['dataset']}\x1e{row['id']}" for row in promoted], [row["gold"] for row in promoted]
    (old, old_draws), (new, new_draws) = (
        draws(spec.type, gold, [row["prediction"] for row in rows], resample(keys, params.evaluate.resamples), spec.metric)
        for rows in (promoted, candidate)
    )
    scores = old[metric.name], new[metric.name]
    gain, gains = (metric.sign * (second - first) for first, second in (scores, (old_draws[metric.name], new_draws[metric.name])))
    low, high = interval_about(gain, gains, confidence)
    return Compared(task, split, metric.name, len(keys), *scores, gain, low, high, promote.of(task))


def _identity(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["dataset"], row["id"], row["gold"]


# --- versions ---------------------------------------------------------------------------------------------------------


class Versions:
    """Promoted models in a folder: one folder per version, the link ``current``, and ``decisions.jsonl``, the record of all decisions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = folder / "current"
        self.record = folder / "decisions.jsonl"

    @property
    def current(self) -> str | None:
        """The promoted version, such as ``v1.2.0``; None before the first."""
        return self.link.readlink().name if self.link.is_symlink() else None

    def decisions(self) -> Iterator[dict[str, Any]]:
        """Everything that was decided, in order.

        Raises:
            PipelineError: the record is damaged.
        """
        lines = self.record.read_text(encoding="utf-8").splitlines() if self.record.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                yield json.loads(line)
            except ValueError:
                raise PipelineError(f"{self.record}:{number}: is damaged") from None

    def add(self, model: Path, decision: Mapping[str, Any]) -> str:
        """Copy a model folder as the next version and promote it; returns its name. First comes v1.0.0, then v1.1.0 and so on."""
        versions = sorted(tuple(map(int, found.groups())) for path in self.folder.glob("v*") if (found := _VERSION.fullmatch(path.name)))
        name = f"v{versions[-1][0]}.{versions[-1][1] + 1}.0" if versions else "v1.0.0"
        temporary = self.folder / f".{name}.{os.getpid()}"
        rmtree(temporary, ignore_errors=True)
        copytree(model, temporary)
        temporary.rename(self.folder / name)
        self.switch(name, {**decision, "action": "promote"})
        return name

    def switch(self, version: str, decision: Mapping[str, Any]) -> None:
        """Point ``current`` to a version, at once, and write the decision down."""
        previous, temporary = self.current, self.folder / f".current.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(version)
        temporary.replace(self.link)
        self.write({**decision, "version": version, "previous": previous})

    def write(self, decision: Mapping[str, Any]) -> None:
        """Append to the record."""
        old = self.record.read_text(encoding="utf-8") if self.record.exists() else ""
        write_text(self.record, old + json.dumps(decision, ensure_ascii=False) + "\n")

    def rolled_back(self, weights: str) -> str | None:
        """The version with weights of this checksum that was rolled back, if there is one."""
        decisions = list(self.decisions())
        back = {one["previous"] for one in decisions if one["action"] == "rollback"}
        promoted = [one for one in decisions if one["action"] == "promote" and one["version"] in back]
        return next((one["version"] for one in promoted if one["checksum"] == weights), None)

    def rollback(self) -> str:
        """Point ``current`` back to the version before; returns its name.

        Raises:
            PipelineError: there is none, or its folder is gone.
        """
        since = [one for one in self.decisions() if one["action"] == "promote" and one["version"] == self.current]
        previous = since[-1]["previous"] if since else None
        if previous is None:
            raise PipelineError(f"{self.folder}: no version was promoted before {self.current or 'any other'}")
        if not (self.folder / previous).is_dir():
            raise PipelineError(f"{self.folder / previous}: the folder of the version before is gone")
        self.switch(previous, {"action": "rollback"})
        return str(previous)


def promote(params: Params, model: Path, examples: Path, folder: Path, *, drift: bool = False) -> dict[str, Any]:
    """Compare a model with the promoted one on the test rows, promote it if it may replace that, and write the decision down.

    Args:
        params: all settings.
        model: folder of the new model.
        examples: folder of the canonical tables.
        folder: of the versions.
        drift: see ``decide``.

    Returns:
        The decision as it is on record: ``action`` (``promote``, ``refuse`` or ``keep`` where the model is the promoted one), ``reason``,
        ``model`` and ``checksum`` of the new one, ``version`` (the promoted one afterwards), ``previous`` (the one before), ``drift``, and
        ``compared``, a list of ``Compared`` as dicts.

    Raises:
        ModelError: a model folder is not complete, or the new model lacks a task of the promoted one.
        DataError: a task has no test row.
    """
    versions = Versions(folder)
    config, current = read_config(model), versions.current
    about: dict[str, Any] = {"model": str(model), "checksum": checksum(model / WEIGHTS), "drift": drift}
    if current is None:
        versions.add(model, about | {"reason": "the first version", "compared": []})
    elif checksum(folder / current / WEIGHTS) == about["checksum"]:
        return about | {"action": "keep", "reason": "it is the promoted model", "version": current, "previous": current, "compared": []}
    elif version := versions.rolled_back(about["checksum"]):
        reason = f"it was {version}, which was rolled back"
        versions.write(about | {"action": "refuse", "reason": reason, "version": current, "previous": current, "compared": []})
    else:
        tasks = list(read_config(folder / current)["tasks"])
        if lacking := [task for task in tasks if task not in config["tasks"] or task not in params.tasks]:
            raise ModelError(f"{model}: lacks the tasks of {current}: {', '.join(lacking)}")
        run = joint_run(params).model_copy(update={"tasks": tuple(tasks)})
        promoted, candidate = (predict(params, run, own, examples).to_pylist() for own in (folder / current, model))
        decision = decide(params, promoted, candidate, drift=drift)
        about |= {"reason": decision.reason, "compared": [one._asdict() for one in decision.compared]}
        if decision.promote:
            versions.add(model, about)
        else:
            versions.write(about | {"action": "refuse", "version": current, "previous": current})
    return list(versions.decisions())[-1]
