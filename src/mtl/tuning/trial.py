"""One trial: train the joint run of the experiment with other values at the searched paths, and record its validation scores.

A trial that was killed continues from its last checkpoint; one that has ended never runs again.
"""

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from filelock import FileLock
from optuna.trial import FrozenTrial, Trial, TrialState

from mtl.config import Params, space
from mtl.errors import EncoderError, MtlError, ParamsError, UnfitError
from mtl.evaluation.results import joint_run
from mtl.files import existing, write_json
from mtl.pipeline.search import Search
from mtl.pipeline.stages import ENCODER, START
from mtl.pipeline.state import SUBWORDS
from mtl.report import text
from mtl.training.run import train
from mtl.tuning.inputs import Inputs
from mtl.tuning.objective import Scores, relative, scores, validations
from mtl.tuning.study import REPORTS, Study

OVER = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
"""How a trial ended."""


class Pruned(MtlError):  # noqa: N818 - a decision, not an error
    """The trial does too badly to be continued."""


def run_trial(params: Params, number: int, search: Search) -> bool:
    """Run a trial, or continue it; returns whether there was anything left to do.

    Args:
        params: the settings, with a section ``tune``.
        number: of the trial; 0 has the present settings, which the others are compared with.
        search: the paths of study and trials.

    Raises:
        TrainingError: training cannot go on for a reason that lies outside the tried values, or trial 0 could not be trained.
        Preempted: the process was asked to stop; the same call goes on from there.
    """
    study = Study(params, search.study, number)
    study.enqueue()
    search.work.mkdir(parents=True, exist_ok=True)
    with FileLock(search.work / f"{number}.lock"):  # wait for a job that outlived its workflow
        fresh = study.trials()[number].state not in OVER
        if fresh:
            _make(number, search, study)
        write_json(search.trial(number), summary_of(study.trials()[number]))
        shutil.rmtree(search.work / "trials" / str(number), ignore_errors=True)
    return fresh


def summary_of(trial: FrozenTrial) -> dict[str, Any]:
    """A trial that has ended, as JSON."""
    attributes = trial.user_attrs
    return {
        "number": trial.number,
        "state": attributes["state"],
        "score": attributes.get("score"),
        "tasks": attributes.get("tasks", {}),
        "params": attributes["values"],
        "validations": attributes.get("validations", []),
        "reason": attributes.get("reason"),
        "seconds": attributes.get("seconds"),
    }


def finished(study: Study) -> list[dict[str, Any]]:
    """All trials that have ended, by number."""
    return [summary_of(trial) for trial in study.trials() if trial.state in OVER]


def told(study: Study, number: int, workers: int) -> str:
    """One line on a trial that has ended: its result, the best so far, and the time left with so many workers."""
    ended = finished(study)
    this = next(trial for trial in ended if trial["number"] == number)
    complete = [trial for trial in ended if trial["state"] == "complete"]
    best = max(complete, key=lambda trial: float(trial["score"]))
    total = space.count(study.params)
    seconds = sum(trial["seconds"] for trial in ended) / len(ended) * math.ceil((total - len(ended)) / max(1, workers))
    left = f"; about {text.duration(seconds)} left" if len(ended) < total else ""
    return f"trial {number} {_ended(this)}; {len(ended)} of {total} done, best {best['score']:.4f} (trial {best['number']}){left}"


def _ended(trial: Mapping[str, Any]) -> str:
    tasks = ", ".join(f"{task} {score:.4f}" for task, score in trial["tasks"].items())
    if trial["state"] == "complete":
        return f"scores {trial['score']:.4f} ({tasks})"
    return f"{trial['state']}: {trial['reason']}"


def _make(number: int, search: Search, study: Study) -> None:
    """Train and record. An exception from here leaves the trial unfinished; a later call continues it."""
    trial, values = study.begin(number)
    trial.set_user_attr("values", values)
    began = time.monotonic()
    recorder = _Recorder(trial, study)
    try:
        state, value = TrialState.COMPLETE, recorder.finish(_train(study.params, values, number, search, recorder))
    except Pruned as reason:
        state, value = TrialState.PRUNED, None  # Optuna uses the last one reported
        trial.set_user_attr("reason", str(reason))
    except (UnfitError, EncoderError, ParamsError, torch.OutOfMemoryError) as error:
        if number == 0:
            raise
        state, value = TrialState.FAIL, None
        trial.set_user_attr("reason", " ".join(str(error).split()))
    trial.set_user_attr("state", OVER[state])
    trial.set_user_attr("seconds", round(time.monotonic() - began, 1))
    # Optuna learns from values inside the space. The present settings may lie outside of it, and teach it nothing then.
    outside = state == TrialState.COMPLETE and not trial.params
    study.optuna.tell(trial, None if outside else value, state=TrialState.FAIL if outside else state)


def _train(params: Params, values: space.Values, number: int, search: Search, recorder: "_Recorder") -> Path:
    """Train the run, unless it is trained already; returns its folder."""
    folder = search.work / "trials" / str(number)
    out, raw = folder / "model", folder / "raw"
    out.mkdir(parents=True, exist_ok=True)
    if (out / "run.json").exists():  # written last
        return out
    tried, inputs = space.candidate(params, values), Inputs(params, search.data, search.work)
    inputs.models(tried, raw)
    run = joint_run(tried)
    shards = inputs.shards(tried, raw) if run.data == "augmented" else out
    subwords = search.work / SUBWORDS.name
    source, start = existing(raw / ENCODER), existing(raw / START)
    train(tried, run, inputs.examples(), shards, source, out, progress=True, subwords=subwords, start=start, watch=recorder.watch)
    return out


class _Recorder:
    """Reports the scores of a trial to the study."""

    def __init__(self, trial: Trial, study: Study) -> None:
        self._params = study.params
        self._trial = trial
        self._reference: Scores | None = study.trials()[0].user_attrs["tasks"] if trial.number else None
        self._reported = set(study.trials()[trial.number].intermediate_values)

    def watch(self, history: Sequence[Mapping[str, Any]], done: float) -> None:
        """Report the score of a validation at the share of the run that is done.

        Raises:
            Pruned: other trials did better at that point.
        """
        if self._reference is None or not (records := validations(history)):
            return  # trial 0 is its own reference, once it has ended
        score = self._score(records)
        self._report(score, done)
        if self._trial.should_prune():
            raise Pruned(f"{score:.4f} after {done:.0%} of the run is worse than other trials at that point")

    def finish(self, out: Path) -> float:
        """Record the validations of a trained run; returns the score by which it kept its weights.

        Raises:
            UnfitError: the score is not finite.
        """
        facts = json.loads((out / "run.json").read_text(encoding="utf-8"))
        records = validations([json.loads(line) for line in (out / "history.jsonl").read_text(encoding="utf-8").splitlines()])
        means = self._means([record for record in records if record["step"] <= facts["best_step"]])
        self._reference = self._reference or means
        by_step = {record["step"]: self._score(records[:i]) for i, record in enumerate(records, 1)}
        for step, score in by_step.items():
            self._report(score, step / facts["budget"])
        if not math.isfinite(score := by_step[facts["best_step"]]):
            raise UnfitError(f"the validation score is not finite: {means}")
        self._trial.set_user_attr("tasks", means)
        self._trial.set_user_attr("score", score)
        self._trial.set_user_attr("validations", [list(item) for item in by_step.items()])
        return score

    def _means(self, records: Sequence[Mapping[str, Any]]) -> Scores:
        """Mean scores of the last of these validations: as many as a run judges together when it selects its weights."""
        window = [scores(self._params, record["metrics"]) for record in records[-self._params.train.score_window :]]
        return {task: fmean(values[task] for values in window) for task in window[-1]}

    def _score(self, records: Sequence[Mapping[str, Any]]) -> float:
        assert self._reference is not None
        metrics = {task: spec.main_metric for task, spec in self._params.tasks.items()}
        return relative(self._means(records), self._reference, metrics)

    def _report(self, score: float, done: float) -> None:
        part = math.floor(done * REPORTS + 0.05)  # rounded so that the end of a run is its last part
        if part not in self._reported:
            self._reported.add(part)
            self._trial.report(score, part)
