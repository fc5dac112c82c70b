"""The training loop. It opens no files: data comes in, and results and checkpoints go out through its arguments.

The way of one step:

    plan ─► rows ─► micro-batches ─► logits ─► one loss a task ─► gradients ─► balance ─► clip ─► update
    └─────────── feed.py ──────────┘ └────────────── gradients.py ────────────────────┘ └── here ──────┘

Read ``Loop.run`` first; the methods stand in the order in which they are used.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from mtl.config import Train
from mtl.errors import UnfitError
from mtl.model.device import Precision
from mtl.model.model import Model
from mtl.seeds import seed_of
from mtl.training import costs, optimizers
from mtl.training.calibration import fit_temperatures
from mtl.training.cautions import still_rising
from mtl.training.distributed import SINGLE_PROCESS, Processes
from mtl.training.feed import Data, Feed, StepBatches, plan_run, plan_unlabelled
from mtl.training.gradients import Gradients, StepResult
from mtl.training.memory import MemoryRetry
from mtl.training.progress import Progress
from mtl.training.schedule import rate_factor
from mtl.training.signals import Preempted
from mtl.training.stopping import Stopping
from mtl.training.validation import Metrics, validate
from mtl.words import plural

RECORDS = 200
"""Training records in the history of a run, about."""
MAX_LOST = 0.05
"""Share of a run's steps that may be lost to losses or gradients that are not finite."""

Save = Callable[[int, dict[str, Any]], None]
"""Takes the step and the state for a checkpoint."""
Show = Callable[[int, str], None]
"""Takes the number of steps done and one line on the losses."""


class Loop:
    """One training run of one model."""

    def __init__(
        self,
        model: Model,
        data: Data,
        settings: Train,
        weights: Mapping[str, float],
        seed: int,
        precision: Precision,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        self.model = model
        self.settings = settings
        self.precision = precision
        self.processes = processes
        self.progress = Progress()
        plan, unlabelled = plan_run(data, settings, seed), plan_unlabelled(data, settings, seed)
        self.feed = Feed(model, data, plan, settings.micro_batch_tokens, processes, unlabelled)
        optimizers.freeze(model.encoder, settings.freeze_layers)
        self.optimizer = optimizers.build(model, settings, precision.device)
        consistency = data.unlabelled.settings if data.unlabelled else {}
        self.gradients = Gradients(model, settings.balancing, weights, data.sources(model.tasks), seed, precision, processes, consistency)
        self.memory = MemoryRetry(self.gradients, self.feed, settings)
        self.stopping = Stopping(model, settings)

    @property
    def steps(self) -> int:
        """Steps of the whole run, should it not stop early."""
        return self.feed.plan.steps

    # --- the run ----------------------------------------------------------------------------------------------------

    def run(
        self, save: Callable[[int, dict[str, Any]], None], stop_requested: Callable[[], bool], show: Callable[[int, str], None]
    ) -> None:
        """Train to the end, and leave the best weights in the model.

        Args:
            save: called after each validation, and before stopping on request.
            stop_requested: whether the process was asked to end; read between steps, when all state is whole.
            show: called after each record.

        Raises:
            UnfitError: too many steps had no finite loss or gradient, or a single row does not fit into memory.
            Preempted: the process was asked to end; the state is saved.
        """
        now, saved = self.progress, -1
        self.model.train()
        while not now.stopped:
            self._timed_step()
            if now.step % max(1, self.steps // RECORDS) == 0 or now.step == self.steps:
                show(now.step, self._record())
            if now.step % self.settings.eval_every == 0 or now.step == self.steps:
                self._validate()
                # A finished run needs no checkpoint: only the model is left to write.
                if not now.stopped:
                    save(now.step, self.state_dict())
                    saved = now.step
            # All processes must agree to stop, or the others would wait for this one for ever.
            if self.processes.any(stop_requested()) and not now.stopped:
                if saved != now.step:
                    save(now.step, self.state_dict())
                raise Preempted(f"stopped after step {now.step} of {self.steps}; the same command goes on from here")
        if self.stopping.best is not None:
            self.model.load_state_dict(self.stopping.best)
            if any(task.calibrates for task in self.model.tasks.values()):
                self._metrics()  # the last validation calibrated them for other weights
        fit_temperatures(self.model, self.feed.data, self.precision, self.feed.limit)

    # --- one step ---------------------------------------------------------------------------------------------------

    def _timed_step(self) -> None:
        """Make the next step, and charge its time to its kind; a trial also tells what it would have taken as a plain one."""
        now, trial = self.progress, self._time_plain_pass()
        began = time.perf_counter()
        result = self._step()
        seconds = time.perf_counter() - began
        now.step += 1
        now.usage.seconds += seconds
        # The first step is left out: memory and kernels are made ready in it.
        if result is None or now.step == 1:
            return
        costs.charge(now.usage.costs, result.kind, result.tokens, seconds)
        if trial:
            costs.charge(now.usage.costs, "plain", result.tokens, seconds - result.seconds + trial)

    def _time_plain_pass(self) -> float:
        """The seconds of a plain backward pass over the next step's rows, for a few steps of some balancers; otherwise 0."""
        if not costs.needs_trial(self.gradients.balancer, self.progress.step):
            return 0.0
        began = time.perf_counter()
        seconds = self.gradients.time_plain(self._batches(apart=False))
        self.progress.usage.validating += time.perf_counter() - began
        return seconds

    def _step(self) -> StepResult | None:
        """One update; none, and no result, where no task of the step has a finite loss."""
        self._reseed()
        batches, result = self._batches(), None
        tasks = batches.tasks
        while tasks:
            batches, result = self.memory.compute(self.progress.step, batches, tasks, self._recut)
            if not result.broken:
                self.progress.usage.add(result.losses, result.tokens, result.padded, result.rows)
                self.progress.usage.compare(result.unlabelled)
                self._update(result)
                break
            # A loss that is not finite spoils all gradients it is added to, and 0 × inf hides which one it was. So the step is done
            # again without that task; this costs nothing where all losses are finite.
            for task in sorted(result.broken):
                self._count_lost(task)
            tasks -= result.broken
        self.optimizer.zero_grad(set_to_none=True)
        return result if tasks else None

    def _reseed(self) -> None:
        """Draw dropout masks, and all other random numbers of a step, from a seed of its own.

        So no random state has to be carried from step to step: a resumed run draws what the undisturbed one draws.
        """
        torch.manual_seed(seed_of("step", self.feed.plan.seed, self.progress.step) + self.processes.rank)

    def _batches(self, *, apart: bool | None = None) -> StepBatches:
        """The next step's micro-batches, cut apart by dataset if its gradients are measured, unless ``apart`` says otherwise."""
        rows = self.feed.rows(self.progress.step)
        if apart is None:
            apart = self.gradients.measures(self.progress.step, self.feed.tasks_in(rows))
        return self.feed.batches(rows, apart=apart)

    def _recut(self) -> StepBatches:
        """The same step from its start, with smaller micro-batches. A run that knows the limit beforehand draws the same masks."""
        self._reseed()
        return self._batches()

    # --- update -----------------------------------------------------------------------------------------------------

    def _update(self, result: StepResult) -> None:
        """Clip and step; the schedule goes on only if the optimiser did."""
        # The order is fixed: all backward passes, then unscale once, then clip (a norm of scaled gradients means nothing), then step.
        scaler = self.gradients.scaler
        scaler.unscale_(self.optimizer)
        norm = optimizers.clip(self.optimizer, self.settings.clip_norm, result.loss_factors, scaled=scaler.is_enabled())
        factor = rate_factor(self.settings.schedule, self.progress.updates, self.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        finite = math.isfinite(float(norm))  # the host waits for the device
        if finite or scaler.is_enabled():
            # With loss scaling the scaler checks for itself, skips the step where it must, and lowers its scale.
            scaler.step(self.optimizer)
            scaler.update()
        if finite:
            self.progress.updates += 1
        else:
            self.progress.skipped += 1
            self._check_lost("the gradient", self.progress.skipped)

    def _count_lost(self, task: str) -> None:
        """Count a step that a task had to be left out of."""
        self.progress.lost[task] = self.progress.lost.get(task, 0) + 1
        self._check_lost(task, self.progress.lost[task])

    def _check_lost(self, what: str, lost: int) -> None:
        """Stop where too many steps were lost.

        Raises:
            UnfitError: there were too many.
        """
        # The first few steps of fp16 are spent on finding a scale; in short runs a share would allow none.
        allowed = max(2 if not self.gradients.scaler.is_enabled() else 20, math.floor(MAX_LOST * self.steps))
        if lost > allowed or lost == self.steps:
            instead = "" if self.precision.dtype is None else f" or use precision fp32 (now {self.precision.name})"
            raise UnfitError(
                f"step {self.progress.step + 1} of {self.steps}: {what} was not finite {plural(lost, 'time')} (at most {allowed} allowed); "
                f"lower train.learning_rate ({self.settings.learning_rate:g}){instead}"
            )

    # --- records and validation -------------------------------------------------------------------------------------

    def _record(self) -> str:
        """Add the mean losses since the last record to the history; returns them as one line."""
        now, balancer, scaler = self.progress, self.gradients.balancer, self.gradients.scaler
        unlabelled = now.usage.unlabelled_since_record()
        losses, speed = now.usage.since_record()
        record = {
            "step": now.step,
            "kind": "train",
            "tokens": now.usage.tokens,
            "loss": losses,
            "weight": balancer.factors(),
            "gradient_norm": balancer.norms(),
            "cosine": balancer.cosines(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "tokens_per_second": speed,
        }
        if unlabelled:
            record |= {"consistency": {task: term for task, (term, _) in unlabelled.items()}}
            record |= {"followed": {task: share for task, (_, share) in unlabelled.items()}}
        if scaler.is_enabled():
            record |= {"loss_scale": scaler.get_scale(), "skipped": now.skipped}
        now.history.append(record)
        return " ".join(f"{task} {loss:.3f}" for task, loss in losses.items()) + f" | {speed:.0f} tokens/s"

    def _validate(self) -> None:
        """Score the model on the validation rows, and decide whether to go on."""
        now, began = self.progress, time.perf_counter()
        # One process predicts; all of them judge, so that all stop at the same step.
        metrics, warnings = self.processes.from_first(self._metrics)
        self.stopping.judge(now, metrics, warnings)
        self.feed.leave_out(now.tasks.stopped)
        if now.step == self.steps:
            now.stopped = "end"
        now.usage.validating += time.perf_counter() - began

    def _metrics(self) -> tuple[Metrics, list[str]]:
        return validate(self.model, self.feed.data, self.precision, self.feed.limit)

    def warnings(self) -> list[str]:
        """What went wrong in the run so far, and what looked wrong in the best validation."""
        now = self.progress
        lost = [f"{task} was not finite in {plural(count, 'step')} and was left out there" for task, count in sorted(now.lost.items())]
        skipped = [f"the gradient was not finite in {plural(now.skipped, 'step')}, which made no update"] if now.skipped else []
        ended = now.stopped == "end"
        rising = still_rising([record["score"] for record in now.validations()], self.settings.score_window) if ended else []
        return [*now.best.warnings, *rising, *lost, *skipped, *([self.memory.warning()] if self.memory.limit else [])]

    # --- checkpoint -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the run goes on. Of the data the step is enough: the plan is a function of the seed."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.gradients.scaler.state_dict(),
            "balancer": self.gradients.balancer.state_dict(),
            "alignment": self.gradients.alignment.state_dict(),
            # Right after the best validation the best weights are the present ones: no need to write them twice.
            "best": None if self.progress.best.step == self.progress.step else self.stopping.best,
            "progress": self.progress.to_json(),
            "memory_limit": self.memory.limit,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.gradients.scaler.load_state_dict(state["scaler"])
        self.gradients.balancer.load_state_dict(state["balancer"])
        self.gradients.alignment.load_state_dict(state["alignment"])
        self.progress = Progress.from_json(state["progress"])
        if state["memory_limit"]:
            self.memory.set_limit(state["memory_limit"])
        self.feed.leave_out(self.progress.tasks.stopped)
        if state["best"] is not None:
            self.stopping.best = state["best"]
        elif self.progress.best.step:
            self.stopping.best = {name: tensor.clone() for name, tensor in state["model"].items()}
