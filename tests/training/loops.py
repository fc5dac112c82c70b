"""What the tests of the loop and its parts share: runs without a display, and things that go wrong on purpose."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from mtl.config import Params, Run
from mtl.data import schema
from mtl.training.gradients import StepResult
from mtl.training.loop import Loop
from mtl.training.run import train

Gradients = dict[str, Tensor]
"""By the name of the parameter."""
MakeLoop = Callable[..., Loop]


def quiet(loop: Loop) -> None:
    """Train to the end."""
    loop.run(lambda step, state: None, lambda: False, lambda step, line: None)


def gradients(loop: Loop, limit: int = 10_000) -> Gradients:
    """The gradients of the step that comes next, clipping apart."""
    loop.feed.limit = limit
    torch.manual_seed(3)
    result = loop.gradients.compute(loop.progress.step, loop._batches(), set(loop.model.tasks))
    assert not result.broken
    factors = {id(p): result.loss_factors.get(task, 1.0) for task in loop.model.tasks for p in loop.model.own(task)}
    return {name: p.grad / factors.get(id(p), 1.0) for name, p in loop.model.named_parameters() if p.grad is not None}


def of_task(loop: Loop, task: str) -> Gradients:
    """The unweighted gradients of one task's loss, from one batch of the whole step."""
    loop.feed.limit, loop.feed.overhead = 10_000, 10_000
    (batch,) = loop._batches(apart=False).batches
    loop.optimizer.zero_grad()
    loop.model.tasks[task].loss(loop.model(batch, [task])[task], batch.targets[task]).backward()
    result = {name: p.grad.clone() for name, p in loop.model.named_parameters() if p.grad is not None}
    loop.optimizer.zero_grad()
    return result


def encoder_norm(gradients: Gradients) -> float:
    return math.sqrt(sum(float(grad.square().sum()) for name, grad in gradients.items() if name.startswith("encoder")))


def balanced(loop: Loop, norms: dict[str, float], measured: bool) -> Gradients:
    """The gradients of a step in which the tasks' norms are measured, or have been."""
    if not measured:
        loop.gradients.balancer.observe(list(norms), np.diag([norm**2 for norm in norms.values()]))
        loop.gradients.balancer.measures = lambda step, tasks: False  # type: ignore[method-assign]
    return gradients(loop, limit=60)


def break_loss(loop: Loop, task: str, steps: set[int], value: float = math.nan) -> None:
    """Make the loss of a task not finite in these steps."""
    task_type, plain = loop.model.tasks[task], loop.model.tasks[task].loss

    def loss(*arguments: Any) -> Tensor:
        return plain(*arguments) * (value if loop.progress.step in steps else 1.0)

    task_type.loss = loss  # type: ignore[method-assign]


def break_gradient(loop: Loop, steps: set[int]) -> None:
    """Make a gradient infinite in these steps, though the losses are finite."""
    compute = loop.gradients.compute

    def broken(*arguments: Any) -> StepResult:
        result = compute(*arguments)
        if loop.progress.step in steps:
            gradient = next(iter(loop.model.heads["mood"].parameters())).grad
            assert gradient is not None
            gradient.fill_(math.inf)
        return result

    loop.gradients.compute = broken  # type: ignore[method-assign]


def shrink_memory(loop: Loop, size: int) -> list[int]:
    """Let the encoder run out of memory above a size while it trains; returns the sizes that it is called with."""
    encoder, sizes = loop.model.encoder, []
    forward = encoder.forward

    def limited(subwords: Tensor, *rest: Tensor) -> Tensor:
        hidden: Tensor = forward(subwords, *rest)  # dropout has been drawn by the time that memory runs out
        if encoder.training:
            sizes.append(subwords.numel())
            if subwords.numel() > size:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines.")
        return hidden

    encoder.forward = limited  # type: ignore[method-assign]
    return sizes


def canonical(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> pa.Table:
    """A canonical table of rows of one text field, with a space after every token but the last.

    Args:
        rows: ``id``, ``split``, ``tokens`` and labels; a label that is not there is null.
        labels: their types by name.
    """
    blank = {"parent_id": None, "augmenter": None, **dict.fromkeys(labels)}
    full = [{**blank, "space_after": [True] * (len(row["tokens"]) - 1) + [False], **row} for row in rows]
    return pa.Table.from_pylist(full, schema=schema.schema(labels))


class EndedError(Exception):
    """Ends a run."""


def whole_and_resumed(params: Params, run: Run, examples: Path, shards: Path, encoder: Path | None, out: Path) -> tuple[Path, Path]:
    """The folders of a run, and of the same run stopped by an exception after its first checkpoint and called again."""

    def end(history: Any, done: float) -> None:
        raise EndedError

    whole, resumed = out / "whole", out / "resumed"
    for folder in (whole, resumed):
        folder.mkdir()
    train(params, run, examples, shards, encoder, whole)
    with pytest.raises(EndedError):
        train(params, run, examples, shards, encoder, resumed, watch=end)
    train(params, run, examples, shards, encoder, resumed)
    return whole, resumed
