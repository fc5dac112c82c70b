"""The training loop. It opens no files: data comes in, and results and checkpoints go out through its arguments.

The way of one step:

    plan ─► rows ─► micro-batches ─► logits ─► one loss a task ─► gradients ─► balance ─► clip ─► update

Read ``Loop.run`` first; the methods stand in the order in which they are used.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl.config import Train
from mtl.encoders import Encoded
from mtl.encoders.store import Stored
from mtl.errors import MtlError, UnfitError
from mtl.model.batch import Batch
from mtl.model.device import Precision
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.model.prediction import BATCH_TOKENS, predictions
from mtl.seeds import seed_of
from mtl.tasks.base import Prediction, to_text
from mtl.training import balancing, optimizers
from mtl.training.columns import Groups, Mask, Strings
from mtl.training.corpus import Corpus, labelled_batch
from mtl.training.distributed import SINGLE_PROCESS, Processes
from mtl.training.plan import Shown, plan, steps_per_epoch, total_steps, variant
from mtl.training.sampling import passes
from mtl.training.schedule import rate_factor

RECORDS = 200
"""Training records in the history of a run, about."""
TRIALS = range(1, 4)
"""Steps in which a plain backward pass is timed as well, if the balancer wants a pass for each task in every step."""
MAX_LOST = 0.05
"""Share of a run's steps that may be lost to losses or gradients that are not finite."""

FLOOR = 0.1
"""Score of a task below which a gain counts by what it adds, not by what it multiplies."""

LOG = logging.getLogger(__name__)
Weights = dict[str, Tensor]


class Preempted(MtlError):  # noqa: N818 - a request met, not an error
    """Training was asked to stop: its state is saved, and the same call goes on from there."""

    exit_status = 143


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from. Rows ``0 … n-1`` of ``train`` are as they were written; behind them stand their augmented variants."""

    train: Corpus[Stored]
    ids: Strings
    """Of the n written rows, unique over all datasets."""
    groups: Rows
    """The dataset of each written row, ``[n]``, as its place in ``datasets``."""
    datasets: Sequence[str]
    planned: Mask
    """Whether some task of the settings has a label for a written row, ``[n]``: the plan assigns these, whatever the tasks of the run."""
    wanted: Mask
    """Whether a written row has a label of a task of this run, ``[n]``."""
    variants: Groups
    """For each written row the places of its variants in ``train``."""
    share: float
    """Chance that a row that has variants is shown as one of them."""
    validation: Corpus[Encoded]
    validation_tokens: Sequence[int]
    """Tokens of each validation row."""
    counted: Mask | None = None
    """The written rows by whose subwords the number of steps is reckoned, ``[n]``, where these are not ``planned``."""


@dataclass(slots=True)
class Progress:
    """Where a run stands: all of it is in the checkpoint, beside weights and optimiser."""

    step: int = 0
    """Steps of the plan done, whether or not they ended in an update."""
    updates: int = 0
    """Updates made: what the learning rate goes by."""
    best_step: int = 0
    best_score: float = -math.inf
    waited: int = 0
    """Validations since the best one."""
    warnings: list[str] = field(default_factory=list)
    """What the best validation showed to be wrong."""
    stopped: str = ""
    """``early`` or ``end`` once training is over."""
    lost: dict[str, int] = field(default_factory=dict)
    """Steps that a task was left out of because its loss was not finite."""
    skipped: int = 0
    """Steps without an update because the gradient was not finite."""
    micro_limit: int = 0
    """Padded size that micro-batches were cut down to where the device's memory ran out; 0 where it never did."""
    bests: dict[str, float] = field(default_factory=dict)
    """The best main metric of each task, under ``stop: each``."""
    waits: dict[str, int] = field(default_factory=dict)
    """Validations since each task's best one, under ``stop: each``."""
    stopped_tasks: dict[str, int] = field(default_factory=dict)
    """The step after which a task was left out because it had stopped improving."""
    tokens: int = 0
    padded: int = 0
    rows: int = 0
    seconds: float = 0.0
    """Time spent in steps; that of validation is kept apart, so that tokens per second mean training."""
    validating: float = 0.0
    """Time spent on validation and on trials of what balancing costs."""
    spent: dict[str, list[float]] = field(default_factory=dict)
    """Steps, tokens and seconds of the steps with a backward pass for each task, ``separate``, and with one for all, ``plain``."""
    history: list[dict[str, Any]] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Losses since the last record, by task."""
    recorded: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Tokens and seconds at the last record."""


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
        self.processes = processes
        self.data = data
        self.settings = settings
        self.seed = seed
        self.precision = precision
        self.device = precision.device
        self.progress = Progress()
        self.best: Weights | None = None
        self.scaler = precision.scaler()
        self.scaler.scale(torch.zeros((), device=self.device))  # gives it its scale, also in a process that the first step has no row for
        self.balancer = balancing.build(settings.balancing, weights, _sources(data, model.tasks))
        optimizers.freeze(model.encoder, settings.freeze_layers)
        self.optimizer = optimizers.build(model, settings, self.device)
        own = {id(p) for task in model.tasks for p in model.own(task)}
        self.shared = [p for p in model.encoder.parameters() if p.requires_grad and id(p) not in own]
        if not self.shared:
            # Of a frozen encoder there is nothing to balance, and static leaves heads their plain gradient.
            self.balancer = balancing.Static(settings.balancing, weights, {})
        # The plan is laid over the rows as written, of all datasets: augmented or not, alone or joint, every run of these settings
        # has the same number of steps. Only so does a comparison of two runs compare what it says it compares.
        self.lengths = data.train.lengths
        written = self.lengths[: len(data.groups)]
        self.groups = np.where(data.planned, data.groups, -1)
        """As ``data.groups``, but -1 for the rows that are not assigned."""
        self.epoch_steps = steps_per_epoch(written[data.planned], settings.batch_tokens)
        counted = data.planned if data.counted is None else data.counted
        self.steps = total_steps(written[counted], settings.batch_tokens, settings.epochs)
        sizes = {group: int(written[self.groups == group].sum()) for group in np.unique(data.groups[data.planned]).tolist()}
        named = passes(settings.sampling, {data.datasets[group]: size for group, size in sizes.items()}, self.epoch_steps, self.steps)
        self.passes = None if named is None else {group: named[data.datasets[group]] for group in sizes}
        self.micro_limit = settings.micro_batch_tokens
        self.micro_overhead: int | None = None
        self._epoch: tuple[int, Sequence[Shown]] = (-1, [])
        self._wanted = data.wanted
        self._last: tuple[str, float] = ("", 0.0)
        self.loss_factors: Mapping[str, float] = {}
        """By task, what the present gradients of its own part are multiplied by; its gradient is to be the plain one of its loss."""
        self.labelled: dict[str, int] = {}
        """Labelled items of the present step, by task; in all processes together."""

    # --- the run ----------------------------------------------------------------------------------------------------

    def run(self, save: Callable[[int, dict[str, Any]], None], asked_to_stop: Callable[[], bool], show: Callable[[int, str], None]) -> None:
        """Train to the end, and leave the best weights in the model.

        Args:
            save: takes the step and the state for a checkpoint; called after each validation, and before stopping on request.
            asked_to_stop: whether the process was asked to end; looked at between steps, when all state is whole.
            show: takes the number of steps done and one line on how things are.

        Raises:
            UnfitError: too many steps had no finite loss or gradient.
            Preempted: the process was asked to end; the state is saved.
        """
        now, saved = self.progress, -1
        self.model.train()
        while not now.stopped:
            trial = self._trial()
            began, tokens = time.perf_counter(), now.tokens
            self._step()
            now.step += 1
            seconds = time.perf_counter() - began
            now.seconds += seconds
            self._spend(now.tokens - tokens, seconds, trial)
            if now.step % max(1, self.steps // RECORDS) == 0 or now.step == self.steps:
                show(now.step, self._record())
            if now.step % self.settings.eval_every == 0 or now.step == self.steps:
                began = time.perf_counter()
                self._validate()
                now.validating += time.perf_counter() - began
                # A stopped run needs no checkpoint: all that is left to do is to write the model.
                if not now.stopped:
                    save(now.step, self.state_dict())
                    saved = now.step
            if self.processes.any(asked_to_stop()) and not now.stopped:
                if saved != now.step:
                    save(now.step, self.state_dict())
                raise Preempted(f"stopped after step {now.step} of {self.steps}; the same command goes on from here")
        if self.best is not None:
            self.model.load_state_dict(self.best)

    # --- one step ---------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """One update, or none where nothing in the step has a finite loss."""
        self._reseed()
        batches = self._batches()
        tasks = {task for task, count in self.labelled.items() if count}
        while tasks and (broken := self._fitting_gradients(batches, tasks)):
            # A loss that is not finite poisons every gradient it meets, and 0 × inf hides which one it was. So the step is
            # done again without that task; this costs nothing where all is well.
            for task in sorted(broken):
                self._lose(task)
            tasks -= broken
        if tasks:
            self._update()
        self.optimizer.zero_grad(set_to_none=True)

    def _reseed(self) -> None:
        """Let dropout masks, and all else that is drawn in a step, come from a seed of the step's own.

        There is then no random state to carry from step to step: a resumed run draws what it would have drawn.
        """
        torch.manual_seed(seed_of("step", self.seed, self.progress.step) + self.processes.rank)

    def _batches(self, apart: bool | None = None) -> list[Batch]:
        """The step's micro-batches: rows sorted by length and cut so that hardly any padding is computed.

        Args:
            apart: leave no batch with rows of two datasets; without it, where gradients are measured. A backward pass for each task
                then goes over rows of its own only.
        """
        epoch, index = divmod(self.progress.step, self.epoch_steps)
        written, numbers = self._assigned(epoch)[index]
        # Rows that no task of this run has a label for would be computed for nothing.
        wanted = self._wanted[written]
        written, numbers = written[wanted], numbers[wanted]
        rows = np.array([self._shown(*known) for known in zip(numbers.tolist(), written.tolist(), strict=True)], dtype=np.int64)
        tasks = {name: task for name, task in self.model.tasks.items() if name not in self.progress.stopped_tasks}
        shown, beside, written = self._with_untaught(rows, written, tasks)
        if apart is None:
            apart = self._measures([name for name in tasks if self.data.train.labels[name].known[shown].any()])
        own = self.processes.share(np.arange(len(shown)), self.lengths[shown])
        groups = self.data.groups[written[own]]
        parts = [own[groups == group] for group in np.unique(groups)] if apart else [own]
        batches = [
            labelled_batch(self.data.train, shown[part[cut]], tasks, beside[part[cut]])
            for part in parts
            for cut in self.model.micro_batches(self.lengths[shown[part]], self.micro_limit, self.micro_overhead)
        ]
        # A loss is a mean over the labelled items of the whole step, however the step is cut: hence the counts of all batches.
        counts = self.processes.total([sum(batch.counts.get(task, 0) for batch in batches) for task in self.model.tasks])
        self.labelled = {task: int(count) for task, count in zip(self.model.tasks, counts, strict=True)}
        return batches

    def _assigned(self, epoch: int) -> Sequence[Shown]:
        """The rows of each step of an epoch."""
        if self._epoch[0] != epoch:
            self._epoch = (-1, [])  # of many rows one is large enough
            self._epoch = (epoch, plan(self.seed, epoch, self.lengths, self.groups, self.epoch_steps, self.passes))
        return self._epoch[1]

    def _shown(self, number: int, row: int) -> int:
        """The row itself, or the variant that is shown in its place in this pass."""
        variants = self.data.variants[row]
        chosen = variant(self.seed, number, self.data.ids[row], len(variants), self.data.share)
        return int(row if chosen is None else variants[chosen])

    def _with_untaught(self, rows: Rows, written: Rows, tasks: Iterable[str]) -> tuple[Rows, Rows, Rows]:
        """The rows of a step, and with a variant that some task of its row does not learn from the written row too, for that task.

        Returns:
            The rows; for each the variant that it stands beside, -1 for most; and the written row of each. All ``[shown]``.
        """
        untaught = np.zeros(len(rows), dtype=np.bool_)
        for name in tasks:
            known = self.data.train.labels[name].known
            untaught |= known[written] & ~known[rows]
        more = written[untaught]
        beside = np.concatenate([np.full(len(rows), -1), rows[untaught]])
        return np.concatenate([rows, more]), beside, np.concatenate([written, more])

    def times_shown(self, steps: int) -> Rows:
        """How often each written row was assigned in the first ``steps`` steps, ``[n]``: their plan, gone through once more."""
        times = np.zeros(len(self.data.ids), dtype=np.int32)
        for step in range(steps):
            epoch, index = divmod(step, self.epoch_steps)
            np.add.at(times, self._assigned(epoch)[index].rows, 1)
        return times

    # --- memory -----------------------------------------------------------------------------------------------------

    def _fitting_gradients(self, batches: list[Batch], tasks: set[str]) -> set[str]:
        """As ``_gradients``; where the device's memory runs out, again with smaller micro-batches, which take the place of ``batches``.

        Raises:
            UnfitError: a single row does not fit.
        """
        cut = False
        while True:
            try:
                broken = self._gradients(batches, tasks)
            except torch.OutOfMemoryError as error:
                reason = str(error).partition("\n")[0]
                if self.processes.number > 1:  # the others wait for sums that will not come: they end with this one
                    raise UnfitError(
                        f"the memory of {self.device} ran out ({reason}): lower train.micro_batch_tokens (now {self.micro_limit})"
                    ) from None
            else:
                if cut:
                    LOG.warning("%s", self._memory_warning())
                return broken
            # Not in the handler above, whose traceback holds on to all that was computed so far.
            self.optimizer.zero_grad(set_to_none=True)
            self._halve(batches, reason)
            cut = True
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self._reseed()
            batches[:] = self._batches()

    def _halve(self, batches: Sequence[Batch], reason: str) -> None:
        """Lower the limit on micro-batches to half of the largest one that can still be cut."""
        sizes = [self.model.computed(batch) for batch in batches if len(batch.mask) > 1]
        if not sizes:
            longest = max(batch.mask.shape[1] for batch in batches)
            raise UnfitError(
                f"step {self.progress.step + 1} of {self.steps}: the memory of {self.device} does not even suffice for one row at a time "
                f"(the longest has {longest} subwords): lower encoder.max_length ({self.model.max_length}), raise train.freeze_layers "
                f"({self.settings.freeze_layers}), set train.precision to bf16 or fp16 (now {self.precision.name}), "
                f"or choose a smaller encoder ({reason})"
            )
        self.micro_limit = self.progress.micro_limit = max(sizes) // 2

    def _memory_warning(self) -> str:
        limit = self.progress.micro_limit
        return (
            f"the memory of {self.device} ran out, so micro-batches were cut to {limit} subwords, which changes nothing but dropout masks; "
            f"train.micro_batch_tokens: {limit} spares the attempt"
        )

    # --- gradients --------------------------------------------------------------------------------------------------

    def _gradients(self, batches: Sequence[Batch], tasks: set[str]) -> set[str]:
        """Leave the step's balanced gradients in the parameters, those of the tasks' own parts to be divided by ``loss_factors``; or
        return the
        tasks whose loss is not finite.
        """
        began = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        apart = self._measures(tasks)
        factors = self.balancer.factors(tasks)
        separate: dict[str, list[Tensor]] = {}
        losses = self._backward(batches, tasks, None if apart else factors, separate)
        used = [batch for batch in batches if not tasks.isdisjoint(batch.targets)]
        sizes = [
            sum(batch.real for batch in used),
            sum(self.model.computed(batch) for batch in used),
            sum(len(batch.mask) for batch in batches),
        ]
        *values, tokens, padded, rows = self.processes.total([*losses.values(), *sizes])
        losses = dict(zip(losses, values, strict=True))
        if broken := {task for task, value in losses.items() if not math.isfinite(value)}:
            return broken
        if apart:
            reached = {task: [*self.shared, *self.model.own(task)] for task in losses}
            self._combine(self.processes.add_up_separate(separate, reached))
        else:
            self.processes.add_up_gradients(self.model.parameters())
        self.loss_factors = {} if apart else factors
        self.balancer.learn(losses)
        self._count(losses, int(tokens), int(padded), int(rows))
        self._last = ("separate" if apart else "plain", time.perf_counter() - began)
        return set()

    def _backward(
        self, batches: Sequence[Batch], tasks: set[str], factors: Mapping[str, float] | None, separate: dict[str, list[Tensor]]
    ) -> dict[str, float]:
        """All forward and backward passes of a step over the rows of this process.

        Args:
            factors: on the tasks' losses; without them each task's gradient goes to ``separate``.

        Returns:
            These rows' part of the loss of each task over the step; where one is not finite, all else is void.
        """
        values = torch.zeros(len(tasks), dtype=torch.float64, device=self.device)
        places = {task: i for i, task in enumerate(sorted(tasks))}
        for batch in batches:
            present = [task for task in places if task in batch.targets]
            if not present:
                continue
            losses = self._losses(batch.to(self.device), present)
            for task in present:
                values[places[task]] += losses[task].detach()
            if factors is None:
                self._backward_apart(losses, separate)
            else:
                # Tasks share one backward pass. Their own parts thereby see their loss times the factor, which the update divides by.
                self.scaler.scale(torch.stack([factors[task] * losses[task] for task in present]).sum()).backward()  # type: ignore[no-untyped-call]
        # Here the host waits for the device, as it does once more for the norm at the update; nowhere else in a step, but where
        # gradients are measured.
        return dict(zip(places, values.tolist(), strict=True))

    def _losses(self, batch: Batch, tasks: Sequence[str]) -> dict[str, Tensor]:
        """This batch's part of each task's loss over the step. Losses are computed in float32 whatever the logits are in."""
        with self.precision.autocast():
            logits = self.model(batch, tasks)
        return {task: self.model.tasks[task].loss(logits[task].float(), batch.targets[task], self.labelled[task]) for task in tasks}

    def _backward_apart(self, losses: Mapping[str, Tensor], separate: dict[str, list[Tensor]]) -> None:
        """A backward pass for each task, so that its gradient on the encoder can be measured; added up over the micro-batches."""
        for i, (task, loss) in enumerate(losses.items()):
            heads = self.model.own(task)
            more = i + 1 < len(losses)
            # A parameter that a task does not reach (the subwords of the other tasks' rows, say) has a gradient of 0 from it.
            found = torch.autograd.grad(
                self.scaler.scale(loss), [*self.shared, *heads], retain_graph=more, allow_unused=True, materialize_grads=True
            )
            if task in separate:
                torch._foreach_add_(separate[task], list(found))
            else:
                separate[task] = list(found)

    def _combine(self, separate: Mapping[str, list[Tensor]]) -> None:
        """Measure the tasks' gradients on the encoder, then add them up at the factors that follow from the measurement."""
        n = len(self.shared)
        # An order of their own: some ways of balancing go through the tasks one by one.
        separate = {task: separate[task] for task in sorted(separate)}
        products = balancing.gramian([grads[:n] for grads in separate.values()], self.scaler.get_scale())
        with torch.random.fork_rng(devices=[]):
            # What a balancer draws must be the same in all processes, unlike dropout masks.
            torch.default_generator.manual_seed(seed_of("balance", self.seed, self.progress.step))
            self.balancer.observe(list(separate), products)
        factors = self.balancer.factors(separate)
        for task, grads in separate.items():
            torch._foreach_mul_(grads[:n], factors[task])
            for parameter, grad in zip([*self.shared, *self.model.own(task)], grads, strict=True):
                parameter.grad = grad if parameter.grad is None else parameter.grad.add_(grad)

    def _measures(self, tasks: Iterable[str]) -> bool:
        """Whether this step has a backward pass for each task; in a frozen encoder there is nothing to measure."""
        return bool(self.shared) and self.balancer.measures(self.progress.step, tasks)

    # --- what it costs ----------------------------------------------------------------------------------------------

    def _trial(self) -> float:
        """The seconds of a plain backward pass, tried before a step that will have one for each task; 0 where none is tried.

        Nothing of it is kept. A few tell what balancing costs; where not every step is of that kind, plain ones are at hand.
        """
        if self.balancer.interval > 1 or len(self.balancer.weights) == 1 or self.progress.step not in TRIALS:
            return 0.0
        start = time.perf_counter()
        batches = self._batches(apart=False)
        began = time.perf_counter()
        try:
            self._backward(batches, {task for batch in batches for task in batch.targets}, self.balancer.weights, {})
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            seconds = time.perf_counter() - began
        except torch.OutOfMemoryError:  # its batches are larger than those of the step itself
            seconds = 0.0
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.validating += time.perf_counter() - start
        return seconds

    def _spend(self, tokens: int, seconds: float, trial: float) -> None:
        """Note the time of a step by its kind; after a trial, also the time that it would have taken as a plain one.

        The first step is left out: memory and kernels are made ready in it.
        """
        kind, gradients = self._last
        if not tokens or self.progress.step == 1:
            return
        for name, value in ((kind, seconds), ("plain", seconds - gradients + trial))[: 2 if trial else 1]:
            before = self.progress.spent.get(name, [0, 0, 0.0])
            self.progress.spent[name] = [before[0] + 1, before[1] + tokens, before[2] + value]

    def balance_cost(self) -> float | None:
        """Time for each token in this run's steps over that of its plain ones; ``None`` for a lone task or where no step was plain."""
        spent = self.progress.spent
        if len(self.balancer.weights) == 1 or "plain" not in spent:
            return None
        # Trials stand beside steps that are counted as what they were.
        kinds = spent if self.balancer.interval > 1 else {"separate": spent["separate"]}
        plain = spent["plain"][2] / spent["plain"][1]
        return sum(kind[2] for kind in kinds.values()) / sum(kind[1] for kind in kinds.values()) / plain

    # --- update -----------------------------------------------------------------------------------------------------

    def _update(self) -> None:
        """Clip and step; the schedule goes on only if the optimiser did."""
        # The order is fixed: all backward passes, then unscale once, then clip (a norm of scaled gradients means nothing), then step.
        self.scaler.unscale_(self.optimizer)
        norm = optimizers.clip(self.optimizer, self.settings.clip_norm, self.loss_factors, scaled=self.scaler.is_enabled())
        factor = rate_factor(self.settings.schedule, self.progress.updates, self.steps, self.settings.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        finite = math.isfinite(float(norm))
        if finite or self.scaler.is_enabled():
            # With loss scaling the scaler looks for itself, leaves out the step where it must, and lowers its scale.
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if finite:
            self.progress.updates += 1
        else:
            self.progress.skipped += 1
            self._check_lost("the gradient", self.progress.skipped)

    def _lose(self, task: str) -> None:
        """Count a step that a task had to be left out of."""
        self.progress.lost[task] = self.progress.lost.get(task, 0) + 1
        self._check_lost(task, self.progress.lost[task])

    def _check_lost(self, what: str, lost: int) -> None:
        """Stop where too many steps were lost.

        Raises:
            UnfitError: there were too many.
        """
        # The first few steps of fp16 are spent on finding a scale; in short runs a share would allow none.
        allowed = max(2 if not self.scaler.is_enabled() else 20, math.floor(MAX_LOST * self.steps))
        if lost > allowed or lost == self.steps:
            instead = "" if self.precision.dtype is None else f" or use precision fp32 (now {self.precision.name})"
            raise UnfitError(
                f"step {self.progress.step + 1} of {self.steps}: {what} was not finite, for the {lost}. time (at most {allowed} allowed); "
                f"lower train.learning_rate ({self.settings.learning_rate:g}){instead}"
            )

    # --- records ----------------------------------------------------------------------------------------------------

    def _count(self, losses: Mapping[str, float], tokens: int, padded: int, rows: int) -> None:
        now = self.progress
        now.tokens += tokens
        now.padded += padded
        now.rows += rows
        for task, loss in losses.items():
            now.losses.setdefault(task, []).append(loss)

    def _record(self) -> str:
        """Add the mean losses since the last record to the history; returns them as one line."""
        now = self.progress
        tokens, seconds = now.tokens - now.recorded[0], now.seconds - now.recorded[1]
        losses = {task: sum(values) / len(values) for task, values in sorted(now.losses.items())}
        record = {
            "step": now.step,
            "kind": "train",
            "tokens": now.tokens,
            "loss": losses,
            "weight": self.balancer.factors(),
            "gradient_norm": self.balancer.norms(),
            "cosine": self.balancer.cosines(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "tokens_per_second": tokens / seconds if seconds > 0 else 0.0,
        }
        if self.scaler.is_enabled():
            record |= {"loss_scale": self.scaler.get_scale(), "skipped": now.skipped}
        now.history.append(record)
        now.losses, now.recorded = {}, [float(now.tokens), now.seconds]
        return " ".join(f"{task} {loss:.3f}" for task, loss in losses.items()) + f" | {record['tokens_per_second']:.0f} tokens/s"

    # --- validation -------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Score the model on the validation rows, keep its weights if they are the best, and decide whether to go on."""
        now = self.progress
        metrics, warnings = self.processes.from_first(self._metrics)
        watched = [metrics[task][self.model.tasks[task].main_metric] for task in metrics if self.settings.score in (task, "mean")]
        # A run of one task alone is judged by that task, whatever the joint run is judged by.
        score = _overall(watched or [metrics[task][self.model.tasks[task].main_metric] for task in metrics])
        now.history.append({"step": now.step, "kind": "validation", "score": score, "metrics": metrics})
        window, filled = self._window()
        judged = _mean([record["score"] for record in window])
        if judged > now.best_score or not metrics or not filled:
            now.best_step, now.best_score, now.waited, now.warnings = now.step, judged, 0, warnings
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        else:
            now.waited += 1
        if self._each_stopped(metrics) if self.settings.stop == "each" else now.waited >= self.settings.patience:
            now.stopped = "early"
        if now.step == self.steps:
            now.stopped = "end"

    def _window(self) -> tuple[list[dict[str, Any]], bool]:
        """The records of the validations that decide together, and whether they are to beat a whole window before them."""
        records, size = [record for record in self.progress.history if record["kind"] == "validation"], self.settings.score_window
        return records[-size:], len(records) > size

    def _each_stopped(self, metrics: Mapping[str, Mapping[str, float]]) -> bool:
        """Leave out the tasks that have stopped improving from here on; whether these are all that can be scored."""
        now, (window, filled) = self.progress, self._window()
        for name in [name for name in metrics if name not in now.stopped_tasks]:
            score = _mean([record["metrics"][name][self.model.tasks[name].main_metric] for record in window])
            rises = not filled or score > now.bests[name]
            now.waits[name], now.bests[name] = (0, score) if rises else (now.waits[name] + 1, now.bests[name])
            if now.waits[name] >= self.settings.patience:
                now.stopped_tasks[name] = now.step
        self._leave_out()
        return bool(metrics) and metrics.keys() <= now.stopped_tasks.keys()

    def _leave_out(self) -> None:
        """Rows that teach none but stopped tasks would be computed for nothing."""
        if self.progress.stopped_tasks:
            self._wanted = np.zeros(len(self.data.ids), dtype=np.bool_)
            for name in self.model.tasks.keys() - self.progress.stopped_tasks.keys():
                self._wanted |= _labelled(self.data, name)

    def _metrics(self) -> tuple[dict[str, dict[str, float]], list[str]]:
        """Metrics by task on the rows that have its label; a task without such rows is left out. And what looks wrong."""
        corpus, metrics, warnings = self.data.validation, {}, []
        # A limit is there because the device's memory is short.
        usual = BATCH_TOKENS[self.device.type]
        size = min(usual, self.micro_limit or usual)
        found = predictions(
            self.model, corpus.encoded, self.data.validation_tokens, self.model.tasks, batch_tokens=size, precision=self.precision
        )
        for name, task in self.model.tasks.items():
            pairs = [
                (to_text(label), prediction)
                for label, prediction in zip(corpus.labels[name], found[name], strict=True)
                if label is not None
            ]
            if not pairs:
                continue
            gold, given = [label for label, _ in pairs], [prediction for _, prediction in pairs]
            metrics[name] = task.metrics(gold, [prediction.text for prediction in given])
            if warning := _one_prediction(name, given, gold):
                warnings.append(warning)
        return metrics, warnings

    def warnings(self) -> list[str]:
        """What went wrong on the way, and what the best validation showed to be wrong."""
        now = self.progress
        found = [*now.warnings]
        found += [f"{what} was not finite in {count} step(s), which were made without it" for what, count in sorted(now.lost.items())]
        if now.skipped:
            found.append(f"the gradient was not finite in {now.skipped} step(s), which made no update")
        return [*found, self._memory_warning()] if now.micro_limit else found

    # --- checkpoint -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that decides how the run goes on. The data needs no more than the step: the plan is a function of the seed."""
        progress = asdict(self.progress)
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "balancer": self.balancer.state_dict(),
            # Right after the best validation the best weights are the present ones: no need to write them twice.
            "best": None if self.progress.best_step == self.progress.step else self.best,
            "progress": json.dumps(progress),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.balancer.load_state_dict(state["balancer"])
        self.progress = Progress(**json.loads(state["progress"]))
        self.micro_limit = self.progress.micro_limit or self.micro_limit
        self._leave_out()
        if state["best"] is not None:
            self.best = state["best"]
        elif self.progress.best_step:
            self.best = {name: tensor.clone() for name, tensor in state["model"].items()}


def _sources(data: Data, tasks: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The datasets whose written rows have a label of each task."""
    return {task: tuple(np.unique(data.groups[_labelled(data, task)]).tolist()) for task in tasks}


def _labelled(data: Data, task: str) -> Mask:
    """Whether each written row has a label of a task, ``[n]``."""
    return data.train.labels[task].known[: len(data.ids)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _overall(scores: Sequence[float]) -> float:
    """One score for several tasks: their geometric mean, which rises by as much whichever of them gets 1 % better.

    Below ``FLOOR`` the logarithm goes on as its tangent: of a score near 0 any gain is endless times what it was.
    """
    if len(scores) < 2:
        return _mean(scores)
    return math.exp(_mean([math.log(score) if score > FLOOR else math.log(FLOOR) + score / FLOOR - 1 for score in scores]))


def _one_prediction(task: str, found: Sequence[Prediction], gold: Sequence[str]) -> str | None:
    """A warning if a head gives every row (or token) the same prediction although the labels differ."""
    given = {item for prediction in found for item in (prediction.value if isinstance(prediction.value, tuple) else (prediction.value,))}
    if len(given) > 1 or len(set(gold)) < 2:
        return None
    return f"{task}: the head predictions {next(iter(given), None)!r} to every validation row: it has learnt nothing of use"
