"""The gradients of one step: forward and backward passes, measured and balanced.

A step has one backward pass for all tasks, or one for each task where the balancer measures their gradients on the shared encoder.
"""

import math
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtl.config import Balancing, Consistency
from mtl.model.batch import Batch
from mtl.model.device import Precision
from mtl.model.model import Model
from mtl.seeds import seed_of
from mtl.training import balancing
from mtl.training.consistency import SIGNALS, Alignment, PairBatch, term
from mtl.training.distributed import Processes
from mtl.training.feed import StepBatches

Separate = dict[str, list[Tensor]]
"""By task, its gradients on the shared parameters, then on its own ones."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What computing the gradients of a step came to, in all processes together."""

    losses: dict[str, float]
    tokens: int
    padded: int
    rows: int
    kind: str
    """``separate`` or ``plain``: whether each task had a backward pass of its own."""
    loss_factors: Mapping[str, float]
    """By task, the factor in the gradients of its own part. Divide by this to recover the unweighted gradient."""
    seconds: float
    unlabelled: Mapping[str, tuple[float, float, float]]
    """By task with consistency, its term in the loss, the items compared and those of them that were followed."""

    @property
    def broken(self) -> set[str]:
        """Tasks whose loss is not finite; if there are any, the gradients are void."""
        return {task for task, loss in self.losses.items() if not math.isfinite(loss)}


class Gradients:
    """Computes the gradients of one step after another, and leaves them in the model's parameters."""

    def __init__(
        self,
        model: Model,
        settings: Balancing,
        weights: Mapping[str, float],
        sources: Mapping[str, Hashable],
        seed: int,
        precision: Precision,
        processes: Processes,
        consistency: Mapping[str, Consistency] | None = None,
    ) -> None:
        """Balance the tasks with these weights; ``sources`` is equal for tasks that learn from the same datasets; ``consistency`` has the
        settings of the tasks that learn from rows without labels."""
        self.model = model
        self.seed = seed
        self.precision = precision
        self.processes = processes
        self.consistency = consistency or {}
        self.alignment = Alignment(model.tasks, self.consistency)
        self._terms: dict[str, Tensor] = {}
        """By task with consistency, its term in the step so far, the number of items followed, and what alignment learns from; on the
        device."""
        self.scaler = precision.scaler()
        # The first use gives the scaler its scale. It must have one also in a process without a row in the first step.
        self.scaler.scale(torch.zeros((), device=precision.device))
        self.shared = model.shared()
        # A frozen encoder has nothing to balance, and static balancing leaves heads their unweighted gradient.
        self.balancer = balancing.build(settings, weights, sources) if self.shared else balancing.Static(settings, weights, {})

    def measures(self, step: int, tasks: Iterable[str]) -> bool:
        """Whether a step with these tasks has a backward pass for each of them; in a frozen encoder there is nothing to measure."""
        return bool(self.shared) and self.balancer.measures(step, tasks)

    def compute(self, step: int, batches: StepBatches, tasks: set[str]) -> StepResult:
        """Leave a step's balanced gradients in the parameters, unless a loss is not finite (see ``StepResult.broken``).

        Args:
            step: number of the step.
            batches: its rows.
            tasks: those to learn from, each with a label in the step.
        """
        began = time.perf_counter()
        self.model.zero_grad(set_to_none=True)
        separate: Separate = {}
        measured = self.measures(step, tasks)
        factors = self.balancer.factors(tasks)
        sizes = {task: 2 + self.alignment.outputs(task) for task in sorted(batches.compared)}
        self._terms = {task: torch.zeros(size, dtype=torch.float64, device=self.precision.device) for task, size in sizes.items()}
        losses = self._backward_apart(batches, tasks, separate) if measured else self._backward(batches, tasks, factors)
        # From here on numbers are those of all processes, so that all of them agree on what is finite.
        own = [number for term in self._terms.values() for number in term.tolist()]
        totals = iter(self.processes.total([*own, *losses.values(), *self._sizes(batches, tasks)]))
        terms = {task: [next(totals) for _ in range(size)] for task, size in sizes.items()}
        losses = {task: next(totals) for task in losses}
        tokens, padded, rows = totals
        if all(map(math.isfinite, losses.values())):
            if measured:
                reached = {task: [*self.shared, *self.model.own(task)] for task in losses}
                self._combine(step, self.processes.add_up_separate(separate, reached))
            else:
                self.processes.add_up_gradients(self.model.parameters())
            self.balancer.learn(losses)
            for task, (_, _, *predicted) in terms.items():
                if task in tasks:
                    self.alignment.learn(task, predicted)
        kind, factors = ("separate", {}) if measured else ("plain", factors)
        unlabelled = {
            task: (term, float(batches.compared[task]), followed)
            for task, (term, followed, *_) in terms.items()
            if task in tasks and batches.compared[task]
        }
        return StepResult(losses, int(tokens), int(padded), int(rows), kind, factors, time.perf_counter() - began, unlabelled)

    def time_plain(self, batches: StepBatches) -> float:
        """The seconds of a backward pass for all tasks together, of which nothing is kept; 0 if memory does not suffice."""
        tasks = batches.tasks
        began = time.perf_counter()
        try:
            self._backward(batches, tasks, self.balancer.weights)
            if self.precision.device.type == "cuda":
                torch.cuda.synchronize(self.precision.device)
            seconds = time.perf_counter() - began
        except torch.OutOfMemoryError:  # these batches are larger than those of the step itself
            seconds = 0.0
        self.model.zero_grad(set_to_none=True)
        return seconds

    # --- passes -----------------------------------------------------------------------------------------------------

    def _backward(self, batches: StepBatches, tasks: set[str], factors: Mapping[str, float]) -> dict[str, float]:
        """One backward pass a micro-batch for all tasks. Returns this process's part of each task's loss over the step."""
        totals = self._zeros(tasks)
        for losses in self._losses(batches, tasks):
            _add(totals, losses)
            # The tasks' own parts thereby get their gradient times the factor, which the update divides by.
            self.scaler.scale(torch.stack([factors[task] * loss for task, loss in losses.items()]).sum()).backward()  # type: ignore[no-untyped-call]
        return _to_host(totals)

    def _backward_apart(self, batches: StepBatches, tasks: set[str], separate: Separate) -> dict[str, float]:
        """One backward pass a micro-batch for each task: its gradients, summed over the micro-batches, go to ``separate``.

        Returns:
            This process's part of each task's loss over the step.
        """
        totals = self._zeros(tasks)
        for losses in self._losses(batches, tasks):
            _add(totals, losses)
            for i, (task, loss) in enumerate(losses.items()):
                gradients = self._gradients_of(task, loss, retain_graph=i + 1 < len(losses))
                if task in separate:
                    torch._foreach_add_(separate[task], gradients)
                else:
                    separate[task] = gradients
        return _to_host(totals)

    def _gradients_of(self, task: str, loss: Tensor, *, retain_graph: bool) -> list[Tensor]:
        """One task's gradients; 0 for a parameter that it does not reach, such as the embedding of a subword in other tasks' rows."""
        parameters = [*self.shared, *self.model.own(task)]
        scaled = self.scaler.scale(loss)
        return list(torch.autograd.grad(scaled, parameters, retain_graph=retain_graph, allow_unused=True, materialize_grads=True))

    def _losses(self, step: StepBatches, tasks: set[str]) -> Iterator[dict[str, Tensor]]:
        """Each micro-batch's part of the tasks' losses over the step. Losses are in float32, whatever the logits are in."""
        for batch in step.batches:
            present = [task for task in sorted(tasks) if task in batch.targets]
            if present:
                yield self.losses(batch.to(self.precision.device), present, step.labelled, step.done)
        # Those with labels come first: their dropout masks are the same with and without the others.
        for pairs in step.pairs:
            present = [task for task in sorted(tasks) if task in pairs.items]
            if present:
                yield self._consistency(pairs.to(self.precision.device), present, step.compared)

    def losses(self, batch: Batch, tasks: Sequence[str], labelled: Mapping[str, int], done: float = 1.0) -> dict[str, Tensor]:
        """The part of one micro-batch, on the device already, in the tasks' losses over a step with so many labelled items.

        Args:
            done: the share of the run's steps before this one.
        """
        with self.precision.autocast():
            logits = self.model(batch, tasks)
        losses = {}
        for task in tasks:
            own, targets = logits[task].float(), batch.targets[task]
            if task in self.consistency and (signal := self.consistency[task].anneal):
                targets = self.model.tasks[task].annealed(own, targets, SIGNALS[signal](done))
            losses[task] = self.model.tasks[task].loss(own, targets, labelled[task])
        return losses

    def _consistency(self, pairs: PairBatch, tasks: Sequence[str], compared: Mapping[str, int]) -> dict[str, Tensor]:
        """The part of one micro-batch in the consistency terms of the tasks' losses over a step with so many compared items."""
        own = term(self.model, self.precision, pairs, tasks, compared, self.consistency, self.alignment)
        for task, loss in own.losses.items():
            if task in self._terms:
                numbers = torch.stack([loss.detach().double(), own.followed[task].double()])
                self._terms[task] += torch.cat([numbers, own.predicted[task].double()])
        return own.losses

    def _zeros(self, tasks: set[str]) -> dict[str, Tensor]:
        """A sum for each task, on the device: reading a loss would make the host wait for it."""
        return dict(zip(sorted(tasks), torch.zeros(len(tasks), dtype=torch.float64, device=self.precision.device), strict=True))

    def _sizes(self, step: StepBatches, tasks: set[str]) -> list[int]:
        """Subwords without and with padding in the batches that these tasks learn from, and the rows of all batches."""
        used = [batch for batch in step.batches if not tasks.isdisjoint(batch.targets)]
        used += [part for pairs in step.pairs if not tasks.isdisjoint(pairs.items) for part in (pairs.originals, pairs.variants)]
        return [
            sum(batch.real for batch in used),
            sum(self.model.computed(batch) for batch in used),
            sum(len(batch.mask) for batch in step.parts),
        ]

    # --- balance ----------------------------------------------------------------------------------------------------

    def _combine(self, step: int, separate: Separate) -> None:
        """Measure the tasks' gradients on the encoder, then add them up at the factors that follow from the measurement."""
        shared = len(self.shared)
        # Sorted, whatever order the batches had them in: some balancers go through the tasks one by one.
        separate = {task: separate[task] for task in sorted(separate)}
        products = balancing.gramian([gradients[:shared] for gradients in separate.values()], self.scaler.get_scale())
        with torch.random.fork_rng(devices=[]):
            # What a balancer draws must be the same in all processes, unlike dropout masks.
            torch.default_generator.manual_seed(seed_of("balance", self.seed, step))
            self.balancer.observe(list(separate), products)
        factors = self.balancer.factors(separate)
        for task, gradients in separate.items():
            torch._foreach_mul_(gradients[:shared], factors[task])
            for parameter, gradient in zip([*self.shared, *self.model.own(task)], gradients, strict=True):
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def _add(totals: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> None:
    """Add to the sums in place."""
    for task, loss in losses.items():
        totals[task].add_(loss.detach())


def _to_host(totals: Mapping[str, Tensor]) -> dict[str, float]:
    """The sums as numbers.

    Here the host waits for the device, as it does once more for the norm at the update, and where gradients are measured; nowhere else
    in a step.
    """
    return dict(zip(totals, torch.stack([*totals.values()]).tolist() if totals else [], strict=True))
