"""Several processes that train one model together, each on its share of every step's rows.

They are started by ``torchrun``, ``accelerate launch`` or anything that sets the same environment (``RANK``, ``WORLD_SIZE``,
``LOCAL_RANK``, ``MASTER_ADDR``, ``MASTER_PORT``). All of them have the same plan and the same weights. Gradients are summed once a step,
before they are balanced and clipped, so each process makes the update that a single process would make of the whole step. Only the
first process validates, shows progress and writes files.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mtl.errors import TrainingError
from mtl.model.micro_batches import Rows

Value = TypeVar("Value")

BUCKET = 1 << 24
"""Numbers sent at a time: 64 MiB of float32, so the copy in flight stays small beside the model."""


class Processes:
    """The processes of a run, as seen by one of them. For a single process every method returns its argument.

    Except for ``share``, a method called in one process must be called in all.
    """

    def __init__(self, rank: int = 0, number: int = 1, local_rank: int = 0) -> None:
        self.rank = rank
        self.number = number
        self.local_rank = local_rank

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, shows progress and writes files."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The name of this process's device: ``auto`` means a GPU for each process of a machine that has GPUs.

        Raises:
            TrainingError: the machine has fewer GPUs than processes.
        """
        if self.number == 1 or name != "auto" or not torch.cuda.is_available():
            return name
        if self.local_rank >= torch.cuda.device_count():
            raise TrainingError(f"process {self.local_rank + 1} of this machine has no GPU; it has {torch.cuda.device_count()}")
        return f"cuda:{self.local_rank}"

    def share(self, rows: Rows, lengths: Rows) -> Rows:
        """This process's part of a step's rows: assigned in the order of their lengths, so that all have about the same work."""
        return rows if self.number == 1 else rows[lengths.argsort(kind="stable")[self.rank :: self.number]]

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sums over all processes; not finite where a number of any process is not."""
        if self.number == 1:
            return list(numbers)
        totals = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(totals)
        result: list[float] = totals.tolist()
        return result

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.number == 1 else bool(self.total([flag])[0])

    def from_first(self, produce: Callable[[], Value]) -> Value:
        """What ``produce`` returns in the first process; the others wait for it."""
        if self.number == 1:
            return produce()
        sent: list[Any] = [produce() if self.first else None]
        dist.broadcast_object_list(sent, device=torch.device("cpu"))
        result: Value = sent[0]
        return result

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace the tensors, of equal shapes in all processes, by their sums over the processes."""
        if self.number == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def add_up_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their sums. A gradient that some process lacks counts as 0 there. One that all lack stays ``None``, which
        the optimiser does not treat as 0.
        """
        if self.number == 1:
            return
        every = list(parameters)
        held = self.total([parameter.grad is not None for parameter in every])
        reached = [parameter for parameter, times in zip(every, held, strict=True) if times]
        for parameter in reached:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.add_up(parameter.grad for parameter in reached if parameter.grad is not None)

    def add_up_separate(self, separate: dict[str, list[Tensor]], like: Mapping[str, Sequence[Tensor]]) -> dict[str, list[Tensor]]:
        """The sums of gradients that are kept apart by task.

        Args:
            separate: the tasks that this process has rows of.
            like: by task, in the same order everywhere, tensors of the shapes of its gradients.
        """
        if self.number == 1:
            return separate
        sums = {task: separate.get(task) or [torch.zeros_like(tensor) for tensor in tensors] for task, tensors in like.items()}
        self.add_up(tensor for gradients in sums.values() for tensor in gradients)
        return sums

    def check_equal(self, identity: str, model: nn.Module) -> None:
        """Check that all processes have the same settings and data, and copy the weights of the first to all.

        Raises:
            TrainingError: they differ.
        """
        if self.any(self.from_first(lambda: identity) != identity):
            raise TrainingError("the processes of this run differ in settings, data or packages; train from one shared folder")
        for tensor in (*model.parameters(), *model.buffers()):
            if self.number > 1:
                dist.broadcast(tensor.detach(), 0)


SINGLE_PROCESS = Processes()


@contextmanager
def join() -> Iterator[Processes]:
    """Connect the processes that the environment names: by gloo on CPUs, by NCCL on GPUs.

    Raises:
        TrainingError: the others cannot be reached.
    """
    number = int(os.environ.get("WORLD_SIZE", 1))
    if number == 1:
        yield SINGLE_PROCESS
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend)
    except (ValueError, RuntimeError) as error:
        raise TrainingError(f"the {number} processes of this run cannot be connected: {error}") from None
    try:
        yield Processes(dist.get_rank(), number, int(os.environ.get("LOCAL_RANK", 0)))
    finally:
        dist.destroy_process_group()


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in order, as many at a time as make up ``BUCKET`` numbers, and at least one."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(held.numel() for held in bucket) + tensor.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
