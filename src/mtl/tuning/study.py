"""The study on disk: Optuna's journal, which many processes append to and which survives a kill at any moment.

Trials are enqueued in advance, so the number of a trial is known before it runs and does not depend on the order of jobs. Trials of a
grid or a random search have their values from the start. Trials of TPE get them when they begin, from the results known by then.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from mtl.config import Params, Range, space
from mtl.seeds import seed_of
from mtl.tuning.journal import mend

LOG = logging.getLogger(__name__)
NAME = "tune"
REPORTS = 10
"""Points of a run at which it may be pruned: trials with more and with fewer steps are compared at the same share of the run."""

PRUNERS: dict[str, BasePruner] = {
    "none": NopPruner(),
    "median": MedianPruner(n_warmup_steps=1),
    "hyperband": HyperbandPruner(min_resource=1, max_resource=REPORTS),
}
"""``tune.pruning`` to its pruner."""


class JournalLock:
    """A lock that the system releases when its process dies. Its holder first removes a line that a kill left half-written."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = FileLock(journal.with_name(f".{journal.name}.lock"))

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._lock.acquire()
        content = self._journal.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(self._journal, content.rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()


class Study:
    """The study of the settings, opened for one trial: draws depend on the seed, the number, and for TPE on earlier results.

    Args:
        params: the settings, with a section ``tune``.
        journal: its file, made if it is missing.
        number: of the trial.
    """

    def __init__(self, params: Params, journal: Path, number: int = 0) -> None:
        assert params.tune is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal.parent.mkdir(parents=True, exist_ok=True)
        self.params = params
        lock: Any = JournalLock(journal)  # the base class of such locks is not public
        self._lock = FileLock(journal.with_name(f".{journal.name}.setup.lock"))
        if journal.exists():
            _mend(params, journal)
        self._storage = JournalStorage(JournalFileBackend(str(journal), lock))
        self.pruning = params.tune.pruning or ("median" if params.tune.method == "tpe" else "none")
        with self._lock:
            self.optuna = optuna.create_study(
                storage=self._storage,
                study_name=NAME,
                direction="maximize",
                load_if_exists=True,
                sampler=TPESampler(seed=_seed(params, number)),
                pruner=PRUNERS[self.pruning],
            )

    def trials(self) -> list[FrozenTrial]:
        """The present state of all trials, by number."""
        return self.optuna.get_trials(deepcopy=False)

    def enqueue(self) -> None:
        """Add the trials that the study lacks; several processes may do so at once."""
        with self._lock:
            count = len(self.trials())
            if count < space.count(self.params):
                for values in _enqueued(self.params)[count:]:
                    self.optuna.enqueue_trial(values)

    def begin(self, number: int) -> tuple[Trial, space.Values]:
        """Begin a trial, or continue one that was killed; returns it with the values that it tries."""
        identity = self._storage.get_trial_id_from_study_id_trial_number(self._storage.get_study_id_from_name(NAME), number)
        self._storage.set_trial_state_values(identity, TrialState.RUNNING)
        trial = Trial(self.optuna, identity)
        if number == 0 and not _in_space(self.params, now := space.present(self.params)):
            return trial, now
        axes = distributions(self.params)
        return trial, {path: _from_optuna(self.params, path, _suggested(trial, path, axis)) for path, axis in axes.items()}


def distributions(params: Params) -> dict[str, BaseDistribution]:
    """The search space, for Optuna."""
    assert params.tune is not None
    return {path: _distribution(params, path, axis) for path, axis in params.tune.space.items()}


def _mend(params: Params, journal: Path) -> None:
    """Mend a damaged journal and say so."""
    lock = JournalLock(journal)
    lock.acquire()
    try:
        damaged = mend(journal, NAME, _enqueued(params), distributions(params))
    finally:
        lock.release()
    if damaged:
        lines = ", ".join(map(str, damaged))
        LOG.warning(
            "%s: line %s damaged; other trials are kept, and the file as it was is kept as %s.damaged", journal, lines, journal.name
        )


def _enqueued(params: Params) -> list[dict[str, Any]]:
    """The planned values in the form of the study."""
    return [{path: _to_optuna(params, path, value) for path, value in values.items()} for values in _planned(params)]


def _to_optuna(params: Params, path: str, value: Any) -> Any:
    """A value in the form of the study: a choice may be a mapping, which Optuna does not accept, so choices are JSON."""
    return value if isinstance(_axis(params, path), Range) else json.dumps(value)


def _from_optuna(params: Params, path: str, value: Any) -> Any:
    """The way back."""
    return value if isinstance(_axis(params, path), Range) else json.loads(value)


def _planned(params: Params) -> list[space.Values]:
    """The values of all trials, as far as they are known in advance; trial 0 has those of the present settings."""
    assert params.tune is not None
    now, count = space.present(params), space.count(params)
    first = now if _in_space(params, now) else {}
    if params.tune.method == "grid":
        return [first, *space.points(params)]
    if params.tune.method == "tpe":
        return [first, *({} for _ in range(1, count))]
    axes = distributions(params)
    return [first, *(_draw(params, number, axes) for number in range(1, count))]


def _draw(params: Params, number: int, axes: dict[str, BaseDistribution]) -> space.Values:
    """Random values; they depend only on the seed and the trial's number."""
    trial = optuna.create_study(sampler=RandomSampler(seed=_seed(params, number))).ask(axes)
    return {path: _from_optuna(params, path, value) for path, value in trial.params.items()}


def _in_space(params: Params, values: Mapping[str, Any]) -> bool:
    """Whether the search space contains these values: only then can the search learn from them."""
    return all(space.contains(params, path, value) for path, value in values.items())


def _distribution(params: Params, path: str, axis: Any) -> BaseDistribution:
    if not isinstance(axis, Range):
        return CategoricalDistribution([json.dumps(choice) for choice in axis])
    if space.whole(params, path):
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _axis(params: Params, path: str) -> Any:
    assert params.tune is not None
    return params.tune.space[path]


def _suggested(trial: Trial, path: str, axis: BaseDistribution) -> Any:
    """The value that was suggested before a kill, or planned; otherwise it is drawn now."""
    if isinstance(axis, FloatDistribution):
        return trial.suggest_float(path, axis.low, axis.high, step=axis.step, log=axis.log)
    if isinstance(axis, IntDistribution):
        return trial.suggest_int(path, axis.low, axis.high, step=axis.step, log=axis.log)
    assert isinstance(axis, CategoricalDistribution)
    return trial.suggest_categorical(path, axis.choices)


def _seed(params: Params, number: int) -> int:
    return seed_of("tune", params.seed, number) % 2**32
