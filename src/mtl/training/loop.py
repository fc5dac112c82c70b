"""The training loop. It opens no files: data comes in, and results and checkpoints go out through its arguments.

The way of one step:

    plan ─► rows ─► micro-batches ─► logits ─► one loss a task ─► gradients ─► balance ─► clip ─► update

Read ``Loop.run`` first; the methods stand in the order in which they are used.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mtl.errors import MtlError, TrainingError
from mtl.params import Train
from mtl.tasks import Answer, to_text
from mtl.training.balancing import BALANCERS
from mtl.training.batching import Rows, plan, seed_of, steps_per_epoch, total_steps, variant
from mtl.training.columns import Groups, Strings
from mtl.training.corpus import Batch, Corpus, labelled_batch
from mtl.training.device import Precision
from mtl.training.model import Model
from mtl.training.predictor import answers
from mtl.training.schedule import warmup_linear

RECORDS = 200
"""Training records in the history of a run, about."""
MAX_LOST = 0.05
"""Share of a run's steps that may be lost to losses or gradients that are not finite."""

Weights = dict[str, Tensor]


class Preempted(MtlError):  # noqa: N818 - a request met, not an error
    """Training was asked to stop: its state is saved, and the same call goes on from there."""

    exit_status = 143


@dataclass(frozen=True, slots=True)
class Data:
    """What a run learns from. Rows ``0 … n-1`` of ``train`` are as they were written; behind them stand their augmented variants."""

    train: Corpus
    ids: Strings
    """Of the n written rows, unique over all data sets."""
    groups: Rows
    """The data set of each written row, ``[n]``."""
    planned: Rows
    """The written rows that some task of the settings has a label for: the plan deals out these, whatever the tasks of the run."""
    wanted: npt.NDArray[np.bool_]
    """Whether a written row has a label of a task of this run, ``[n]``."""
    variants: Groups
    """For each written row the places of its variants in ``train``."""
    share: float
    """Chance that a row that has variants is shown as one of them."""
    validation: Corpus
    validation_tokens: Sequence[int]
    """Tokens of each validation row."""


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
    tokens: int = 0
    padded: int = 0
    rows: int = 0
    seconds: float = 0.0
    """Time spent in steps; that of validation is kept apart, so that tokens per second mean training."""
    validating: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    """Losses since the last record, by task."""
    recorded: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Tokens and seconds at the last record."""


class Loop:
    """One training run of one model."""

    def __init__(self, model: Model, data: Data, settings: Train, weights: Mapping[str, float], seed: int, precision: Precision) -> None:
        self.model = model
        self.data = data
        self.settings = settings
        self.seed = seed
        self.precision = precision
        self.device = precision.device
        self.progress = Progress()
        self.best: Weights | None = None
        self.scaler = precision.scaler()
        self.balancer = BALANCERS[settings.balancing](weights)
        self.optimizer = _optimizer(model, settings, self.device)
        self.shared = [p for p in model.encoder.parameters() if p.requires_grad]
        # The plan is laid over the rows as written, of all data sets: augmented or not, alone or joint, every run of these settings
        # has the same number of steps. Only so does a comparison of two runs compare what it says it compares.
        self.lengths = data.train.lengths
        planned = self.lengths[data.planned]
        self.epoch_steps = steps_per_epoch(planned, settings.batch_tokens)
        self.steps = total_steps(planned, settings.batch_tokens, settings.epochs)
        self.micro_limit: int | None = None
        self.micro_overhead: int | None = None
        self._epoch: tuple[int, list[Rows]] = (-1, [])

    # --- the run ----------------------------------------------------------------------------------------------------

    def run(self, save: Callable[[int, dict[str, Any]], None], asked_to_stop: Callable[[], bool], show: Callable[[int, str], None]) -> None:
        """Train to the end, and leave the best weights in the model.

        Args:
            save: takes the step and the state for a checkpoint; called after each validation, and before stopping on request.
            asked_to_stop: whether the process was asked to end; looked at between steps, when all state is whole.
            show: takes the number of steps done and one line on how things are.

        Raises:
            TrainingError: too many steps had no finite loss or gradient.
            Preempted: the process was asked to end; the state is saved.
        """
        now, saved = self.progress, -1
        self.model.train()
        while not now.stopped:
            began = time.perf_counter()
            self._step()
            now.step += 1
            now.seconds += time.perf_counter() - began
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
            if asked_to_stop() and not now.stopped:
                if saved != now.step:
                    save(now.step, self.state_dict())
                raise Preempted(f"stopped after step {now.step} of {self.steps}; the same command goes on from here")
        if self.best is not None:
            self.model.load_state_dict(self.best)

    # --- one step ---------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        """One update, or none where nothing in the step has a finite loss."""
        # Dropout masks and all else that is drawn in a step come from a seed of the step's own. There is then no random state to
        # carry from step to step: a resumed run draws what it would have drawn.
        torch.manual_seed(seed_of("step", self.seed, self.progress.step))
        batches = self._batches()
        tasks = {task for batch in batches for task in batch.targets}
        while tasks and (broken := self._gradients(batches, tasks)):
            # A loss that is not finite poisons every gradient it meets, and 0 × inf hides which one it was. So the step is
            # done again without that task; this costs nothing where all is well.
            for task in sorted(broken):
                self._lose(task)
            tasks -= broken
        if tasks:
            self._update(tasks)
        self.optimizer.zero_grad(set_to_none=True)

    def _batches(self) -> list[Batch]:
        """The step's micro-batches: rows sorted by length and cut so that hardly any padding is computed."""
        epoch, index = divmod(self.progress.step, self.epoch_steps)
        if self._epoch[0] != epoch:
            planned = self.data.planned
            deal = plan(self.seed, epoch, self.lengths[planned], self.data.groups[planned], self.epoch_steps)
            self._epoch = (epoch, [planned[rows] for rows in deal])
        rows = self._epoch[1][index]
        # Rows that no task of this run has a label for would be computed for nothing.
        rows = np.array([self._shown(epoch, row) for row in rows[self.data.wanted[rows]]], dtype=np.int64)
        cuts = self.model.micro_batches(self.lengths[rows], self.micro_limit, self.micro_overhead)
        return [labelled_batch(self.data.train, rows[cut], self.model.tasks) for cut in cuts]

    def _shown(self, epoch: int, row: int) -> int:
        """The row itself, or the variant that is shown in its place in this epoch."""
        variants = self.data.variants[row]
        chosen = variant(self.seed, epoch, self.data.ids[row], len(variants), self.data.share)
        return int(row if chosen is None else variants[chosen])

    # --- gradients --------------------------------------------------------------------------------------------------

    def _gradients(self, batches: Sequence[Batch], tasks: set[str]) -> set[str]:
        """Leave the step's balanced gradients in the parameters; or return the tasks whose loss is not finite."""
        self.optimizer.zero_grad(set_to_none=True)
        # A loss is a mean over the labelled items of the whole step, however the step is cut: hence the counts of all batches.
        counts = {task: sum(batch.counts.get(task, 0) for batch in batches) for task in tasks}
        apart = self.balancer.measures(self.progress.step, tasks)
        factors = self.balancer.factors()
        separate: dict[str, list[Tensor]] = {}
        values = dict.fromkeys(sorted(tasks), 0.0)
        size = [0, 0]
        for batch in batches:
            present = [task for task in values if task in batch.targets]
            if not present:
                continue
            size = [size[0] + batch.real, size[1] + self.model.computed(batch)]
            losses = self._losses(batch.to(self.device), present, counts)
            # Here the host waits for the device, as it does once more for the norm at the update: it must know that all is finite
            # before it goes on. Nowhere else in a step.
            numbers = torch.stack([losses[task].detach() for task in present]).tolist()
            if broken := {task for task, number in zip(present, numbers, strict=True) if not math.isfinite(number)}:
                return broken
            for task, number in zip(present, numbers, strict=True):
                values[task] += number
            if apart:
                self._backward_apart(losses, separate)
            else:
                # Tasks share one backward pass. Heads thereby see their loss times the factor, which is undone below.
                self.scaler.scale(torch.stack([factors[task] * losses[task] for task in present]).sum()).backward()  # type: ignore[no-untyped-call]
        if apart:
            factors = self._combine(separate)
        else:
            self._undo(factors, tasks)
        self._count(batches, values, size)
        return set()

    def _losses(self, batch: Batch, tasks: Sequence[str], counts: Mapping[str, int]) -> dict[str, Tensor]:
        """This batch's part of each task's loss over the step. Losses are computed in float32 whatever the logits are in."""
        with self.precision.autocast():
            logits = self.model(batch, tasks)
        return {task: self.model.tasks[task].loss(logits[task].float(), batch.targets[task], counts[task]) for task in tasks}

    def _backward_apart(self, losses: Mapping[str, Tensor], separate: dict[str, list[Tensor]]) -> None:
        """A backward pass for each task, so that its gradient on the encoder can be measured; added up over the micro-batches."""
        for i, (task, loss) in enumerate(losses.items()):
            heads = list(self.model.heads[task].parameters())
            more = i + 1 < len(losses)
            # A parameter that a task does not reach (the pieces of the other tasks' rows, say) has a gradient of 0 from it.
            found = torch.autograd.grad(
                self.scaler.scale(loss), [*self.shared, *heads], retain_graph=more, allow_unused=True, materialize_grads=True
            )
            if task in separate:
                torch._foreach_add_(separate[task], list(found))
            else:
                separate[task] = list(found)

    def _combine(self, separate: Mapping[str, list[Tensor]]) -> dict[str, float]:
        """Measure each task's gradient on the encoder, then add them up at the factors that follow from the measurement."""
        n = len(self.shared)
        norms = torch.stack([torch.stack(torch._foreach_norm(grads[:n])).norm() for grads in separate.values()])
        measured = dict(zip(separate, (norms / self.scaler.get_scale()).tolist(), strict=True))
        # Under loss scaling an overflow is the scaler's to mend; it must not enter the running norms.
        self.balancer.observe({task: norm for task, norm in measured.items() if math.isfinite(norm)})
        factors = self.balancer.factors()
        for task, grads in separate.items():
            torch._foreach_mul_(grads[:n], factors[task])
            for parameter, grad in zip([*self.shared, *self.model.heads[task].parameters()], grads, strict=True):
                parameter.grad = grad if parameter.grad is None else parameter.grad.add_(grad)
        return factors

    def _undo(self, factors: Mapping[str, float], tasks: set[str]) -> None:
        """Give the heads the plain gradient of their own loss back."""
        for task in tasks:
            for parameter in self.model.heads[task].parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(factors[task])

    # --- update -----------------------------------------------------------------------------------------------------

    def _update(self, tasks: set[str]) -> None:
        """Clip and step; the schedule goes on only if the optimiser did."""
        # The order is fixed: all backward passes, then unscale once, then clip (a norm of scaled gradients means nothing), then step.
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        factor = warmup_linear(self.progress.updates, self.steps, self.settings.warmup)
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
            self._lose("the gradient of " + ", ".join(sorted(tasks)))

    def _lose(self, what: str) -> None:
        """Count a step that a task, or all of them, had to be left out of.

        Raises:
            TrainingError: there were too many.
        """
        lost = self.progress.lost[what] = self.progress.lost.get(what, 0) + 1
        # The first few steps of fp16 are spent on finding a scale; in short runs a share would allow none.
        allowed = max(2 if not self.scaler.is_enabled() else 20, math.floor(MAX_LOST * self.steps))
        if lost > allowed or lost == self.steps:
            raise TrainingError(
                f"step {self.progress.step + 1} of {self.steps}: {what} was not finite, for the {lost}. time (at most {allowed} allowed); "
                f"lower train.learning_rate ({self.settings.learning_rate:g}) or use precision fp32 (now {self.precision.name})"
            )

    # --- records ----------------------------------------------------------------------------------------------------

    def _count(self, batches: Sequence[Batch], losses: Mapping[str, float], size: Sequence[int]) -> None:
        now = self.progress
        now.tokens += size[0]
        now.padded += size[1]
        now.rows += sum(len(batch.mask) for batch in batches)
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
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "tokens_per_second": tokens / seconds if seconds > 0 else 0.0,
        }
        if self.scaler.is_enabled():
            record["loss_scale"] = self.scaler.get_scale()
        now.history.append(record)
        now.losses, now.recorded = {}, [float(now.tokens), now.seconds]
        return " ".join(f"{task} {loss:.3f}" for task, loss in losses.items()) + f" | {record['tokens_per_second']:.0f} tokens/s"

    # --- validation -------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Score the model on the validation rows, keep its weights if they are the best, and decide whether to go on."""
        now = self.progress
        metrics, warnings = self._metrics()
        watched = [metrics[task][self.model.tasks[task].main_metric] for task in metrics if self.settings.score in (task, "mean")]
        # A run of one task alone is judged by that task, whatever the joint run is judged by.
        score = _mean(watched or [metrics[task][self.model.tasks[task].main_metric] for task in metrics])
        now.history.append({"step": now.step, "kind": "validation", "score": score, "metrics": metrics})
        if score > now.best_score or not metrics:
            now.best_step, now.best_score, now.waited, now.warnings = now.step, score, 0, warnings
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        else:
            now.waited += 1
        if now.waited >= self.settings.patience:
            now.stopped = "early"
        if now.step == self.steps:
            now.stopped = "end"

    def _metrics(self) -> tuple[dict[str, dict[str, float]], list[str]]:
        """Metrics by task on the rows that have its label; a task without such rows is left out. And what looks wrong."""
        corpus, metrics, warnings = self.data.validation, {}, []
        found = answers(self.model, corpus.encoded, self.data.validation_tokens, self.model.tasks, precision=self.precision)
        for name, task in self.model.tasks.items():
            pairs = [(to_text(label), answer) for label, answer in zip(corpus.labels[name], found[name], strict=True) if label is not None]
            if not pairs:
                continue
            gold, given = [label for label, _ in pairs], [answer for _, answer in pairs]
            metrics[name] = task.metrics(gold, [answer.text for answer in given])
            if warning := _one_answer(name, given, gold):
                warnings.append(warning)
        return metrics, warnings

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
        if state["best"] is not None:
            self.best = state["best"]
        elif self.progress.best_step:
            self.best = {name: tensor.clone() for name, tensor in state["model"].items()}


def _optimizer(model: Model, settings: Train, device: torch.device) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019): heads learn at their own rate; biases, norms and other vectors do not decay."""
    groups = []
    for parameters, rate in ((model.encoder.parameters(), settings.learning_rate), (model.heads.parameters(), settings.head_learning_rate)):
        learnt = [p for p in parameters if p.requires_grad]
        for decays in (True, False):
            chosen = [p for p in learnt if (p.ndim > 1) == decays]
            decay = settings.weight_decay if decays else 0.0
            groups.append({"params": chosen, "lr": rate, "initial_lr": rate, "weight_decay": decay})
    # One kernel over all parameters instead of several passes over the memory of each: a third of the step's cost on a CPU.
    return torch.optim.AdamW([group for group in groups if group["params"]], fused=device.type in ("cpu", "cuda"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _one_answer(task: str, found: Sequence[Answer], gold: Sequence[str]) -> str | None:
    """A warning if a head gives every row (or token) the same answer although the labels differ."""
    given = {item for answer in found for item in (answer.value if isinstance(answer.value, tuple) else (answer.value,))}
    if len(given) > 1 or len(set(gold)) < 2:
        return None
    return f"{task}: the head answers {next(iter(given), None)!r} to every validation row: it has learnt nothing of use"
