"""What to do when the device's memory runs out: try smaller micro-batches, or name the settings that help."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from mtl.config import Train
from mtl.errors import UnfitError
from mtl.model.batch import Batch
from mtl.training.feed import Feed, StepBatches
from mtl.training.gradients import Gradients, StepResult

LOG = logging.getLogger(__name__)


class MemoryRetry:
    """Computes gradients; where memory runs out, again with smaller micro-batches, and so in all later steps."""

    def __init__(self, gradients: Gradients, feed: Feed, settings: Train) -> None:
        self.gradients = gradients
        self.feed = feed
        self.settings = settings
        self.limit = 0
        """Size that micro-batches were cut down to, in subwords; 0 if memory never ran out."""

    def set_limit(self, limit: int) -> None:
        """Cut micro-batches to a size that fits."""
        self.limit = self.feed.limit = limit

    def compute(self, step: int, batches: StepBatches, tasks: set[str], recut: Callable[[], StepBatches]) -> tuple[StepBatches, StepResult]:
        """The gradients of a step (see ``Gradients.compute``), and the micro-batches that did fit.

        Args:
            recut: makes the micro-batches of the step anew, under the present limit.

        Raises:
            UnfitError: a single row does not fit.
        """
        retried = False
        while True:
            try:
                result = self.gradients.compute(step, batches, tasks)
            except torch.OutOfMemoryError as error:
                reason = _first_line(error)
                if self.gradients.processes.number > 1:  # the others wait for sums that will not come: they end with this one
                    lower = f"lower train.micro_batch_tokens (now {self.feed.limit})"
                    raise UnfitError(f"the memory of {self._device} ran out ({reason}): {lower}") from None
            else:
                if retried:
                    LOG.warning("%s", self.warning())
                return batches, result
            # Not in the handler above: its traceback holds on to all that was computed so far.
            self.gradients.model.zero_grad(set_to_none=True)
            self.set_limit(self._smaller(step, batches.parts, reason))
            retried = True
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            batches = recut()

    def _smaller(self, step: int, batches: Sequence[Batch], reason: str) -> int:
        """Half of the largest micro-batch that can still be cut."""
        sizes = [self.feed.model.computed(batch) for batch in batches if len(batch.mask) > 1]
        if sizes:
            return max(sizes) // 2
        longest = max(batch.mask.shape[1] for batch in batches)
        raise UnfitError(
            f"step {step + 1} of {self.feed.plan.steps}: the memory of {self._device} does not suffice even for one row at a time "
            f"(the longest has {longest} subwords): lower encoder.max_length ({self.feed.model.max_length}), raise train.freeze_layers "
            f"({self.settings.freeze_layers}), set train.precision to bf16 or fp16 (now {self.gradients.precision.name}), "
            f"or choose a smaller encoder ({reason})"
        )

    @property
    def _device(self) -> torch.device:
        return self.gradients.precision.device

    def warning(self) -> str:
        """What to set so that the next run does not run out of memory first."""
        return (
            f"the memory of {self._device} ran out, so micro-batches were cut to {self.limit} subwords, which changes only dropout masks; "
            f"set train.micro_batch_tokens: {self.limit} to avoid the failed attempt"
        )


@contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Name what to do where memory runs out outside of a step's gradients, which ``MemoryRetry`` takes care of."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UnfitError(
            f"the memory of {device} does not suffice for model, gradients and optimiser, or for a validation: {_first_line(error)}; "
            "choose a smaller encoder, raise train.freeze_layers, set train.optimizer: sgd, or end other programs on the device"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
