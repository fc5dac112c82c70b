"""One step: gradients are what the formulas say, however the step is cut, and a loss that is not finite does no harm."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl.errors import TrainingError
from mtl.params import Params
from mtl.training import run as runs
from mtl.training.device import Precision
from mtl.training.loop import Loop

Gradients = dict[str, Tensor]


@pytest.fixture
def make_loop(project: Path, make_settings: Callable[..., Params]) -> Callable[..., Loop]:
    """Makes the loop of a plain joint run of the small project, without dropout."""

    def make(precision: str = "fp32", **options: Any) -> Loop:
        params = make_settings(encoder__dropout=0.0, **options)
        run = params.runs()["joint-plain-1"]
        rows = runs._read(params, run, project / "examples", project / "shards")
        return runs._prepare(params, run, rows, None, Precision(precision, torch.device("cpu")))[0]

    return make


def gradients(loop: Loop, limit: int = 10_000) -> Gradients:
    """The gradients of the step that comes next, clipping apart."""
    loop.micro_limit = limit
    batches = loop._batches()
    assert loop._gradients(batches, set(loop.model.tasks)) == set()
    return {name: p.grad.clone() for name, p in loop.model.named_parameters() if p.grad is not None}


def of_task(loop: Loop, task: str) -> Gradients:
    """The plain gradients of one task's loss, from one batch of the whole step."""
    loop.micro_limit, loop.micro_overhead = 10_000, 10_000
    (batch,) = loop._batches()
    loop.optimizer.zero_grad()
    loop.model.tasks[task].loss(loop.model(batch, [task])[task], batch.targets[task]).backward()
    found = {name: p.grad.clone() for name, p in loop.model.named_parameters() if p.grad is not None}
    loop.optimizer.zero_grad()
    return found


def encoder_norm(found: Gradients) -> float:
    return math.sqrt(sum(float(grad.square().sum()) for name, grad in found.items() if name.startswith("encoder")))


@pytest.mark.parametrize("measured", [True, False])
def test_the_encoder_gets_balanced_and_heads_get_plain_gradients(make_loop: Callable[..., Loop], measured: bool) -> None:
    loop = make_loop()
    tasks = list(loop.model.tasks)
    alone = {task: of_task(loop, task) for task in tasks}
    norms = {task: encoder_norm(alone[task]) for task in tasks}
    mean = sum(norms.values()) / 3
    if not measured:
        loop.balancer.observe(norms)
        loop.balancer.measures = lambda step, tasks: False  # type: ignore[method-assign]
    found = gradients(loop, limit=60)
    for name, grad in found.items():
        if name.startswith("encoder"):
            expected = sum(alone[task][name] * mean / norms[task] for task in tasks if name in alone[task])
        else:
            expected = alone[name.split(".")[1]][name]
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)
    assert loop.balancer.norms() == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize("balancing", ["static", "gradient_norm"])
@pytest.mark.parametrize("limit", [1, 30, 100])
def test_the_cut_into_micro_batches_does_not_matter(make_loop: Callable[..., Loop], balancing: str, limit: int) -> None:
    whole, cut = (gradients(make_loop(balancing=balancing), size) for size in (10_000, limit))
    assert whole.keys() == cut.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(cut[name], grad, rtol=1e-3, atol=1e-6)


def test_static_is_the_weighted_sum(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(balancing="static")
    alone = {task: of_task(loop, task) for task in loop.model.tasks}
    loop.balancer.weights = {"names": 5.0, "mood": 1.0, "rating": 0.5}
    for name, grad in gradients(loop).items():
        if name.startswith("encoder"):
            expected = sum(weight * alone[task][name] for task, weight in loop.balancer.weights.items() if name in alone[task])
            torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)


def test_rows_without_a_label_of_a_task_give_it_no_loss(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    labels: Any = loop.data.train.labels
    labels["names"] = [None] * len(labels["names"])
    batches = loop._batches()
    assert {task for batch in batches for task in batch.targets} == {"mood", "rating"}
    loop._step()
    assert loop.balancer.norms().keys() == {"mood", "rating"}
    assert loop.progress.losses.keys() == {"mood", "rating"}
    assert loop.progress.updates == 1


def poison(loop: Loop, task: str, steps: set[int], value: float = math.nan) -> None:
    """Make the loss of a task not finite in these steps."""
    kind, plain = loop.model.tasks[task], loop.model.tasks[task].loss

    def loss(*arguments: Any) -> Tensor:
        return plain(*arguments) * (value if loop.progress.step in steps else 1.0)

    kind.loss = loss  # type: ignore[method-assign]


def quiet(loop: Loop) -> None:
    loop.run(lambda step, state: None, lambda: False, lambda step, line: None)


def test_a_task_whose_loss_is_not_finite_is_left_out_of_the_step(make_loop: Callable[..., Loop]) -> None:
    loop, clean = make_loop(), make_loop()
    poison(loop, "rating", {0})
    labels: Any = clean.data.train.labels
    labels["rating"] = [None] * len(labels["rating"])
    loop._step()
    clean._step()
    assert loop.progress.lost == {"rating": 1}
    for (name, weight), other in zip(loop.model.named_parameters(), clean.model.parameters(), strict=True):
        assert torch.equal(weight, other), name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_too_many_lost_steps_end_the_run_and_name_the_task(make_loop: Callable[..., Loop], value: float) -> None:
    loop = make_loop()
    poison(loop, "rating", set(range(3, 100)), value)
    with pytest.raises(TrainingError, match=r"step 6 of \d+: rating was not finite, for the 3\. time"):
        quiet(loop)
    assert all(torch.isfinite(p).all() for p in loop.model.parameters())


def test_all_tasks_lost_is_no_update(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    for task in loop.model.tasks:
        poison(loop, task, {0})
    before = [p.clone() for p in loop.model.parameters()]
    loop._step()
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))
    assert loop.progress.updates == 0


def plant(loop: Loop, steps: set[int]) -> None:
    """Make a gradient infinite in these steps, though the losses are finite."""
    gradients_of = loop._gradients

    def planted(*arguments: Any) -> set[str]:
        broken = gradients_of(*arguments)
        if loop.progress.step in steps:
            gradient = next(iter(loop.model.heads["mood"].parameters())).grad
            assert gradient is not None
            gradient.fill_(math.inf)
        return broken

    loop._gradients = planted  # type: ignore[method-assign]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_infinite_gradient_skips_the_step_and_the_schedule_waits(make_loop: Callable[..., Loop], precision: str) -> None:
    loop = make_loop(precision)
    plant(loop, {0})
    scale, before = loop.scaler.get_scale(), [p.clone() for p in loop.model.parameters()]
    loop._step()
    loop.progress.step += 1
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))
    assert loop.progress.updates == 0
    assert loop.scaler.get_scale() == (scale / 2 if precision == "fp16" else 1.0)
    while not loop.progress.updates:  # fp16 may need a few more steps to find its scale; too many would raise
        loop._step()
        loop.progress.step += 1
    assert loop.progress.lost["the gradient of mood, names, rating"] == loop.progress.step - 1
    assert precision == "fp16" or loop.progress.step == 2
    assert any(not torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))


def test_infinite_gradients_without_end_stop_the_run(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    plant(loop, set(range(100)))
    with pytest.raises(TrainingError, match="the gradient of mood, names, rating was not finite"):
        quiet(loop)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_learn_as_well(make_loop: Callable[..., Loop], precision: str) -> None:
    loop, full = make_loop(precision, epochs=3), make_loop(epochs=3)
    quiet(loop)
    quiet(full)
    assert loop.progress.best_score == pytest.approx(full.progress.best_score, abs=0.15)
    # Under loss scaling too the norms that balance goes by are those of the true gradients.
    assert loop.balancer.norms() == pytest.approx(full.balancer.norms(), rel=0.3)


def test_groups_of_the_optimizer(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(weight_decay=0.1)
    names = {id(p): name for name, p in loop.model.named_parameters()}
    for group in loop.optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
            assert group["initial_lr"] == (1e-2 if names.pop(id(parameter)).startswith("heads") else 5e-3)
    assert not names
