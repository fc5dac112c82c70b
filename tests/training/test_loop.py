"""Updates, losses and gradients that are not finite, and runs that go on from a checkpoint."""

import io
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config import BALANCING_TYPES
from mtl.errors import TrainingError
from mtl.training.gradients import StepResult
from mtl.training.loop import Loop
from mtl.training.signals import Preempted

from .loops import MakeLoop, break_gradient, break_loss, of_task, quiet, shrink_memory


@pytest.mark.parametrize("measured", [True, False])
def test_an_update_moves_heads_by_their_unweighted_gradient(make_loop: MakeLoop, measured: bool) -> None:
    options: dict[str, Any] = {"optimizer": "sgd", "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "clip_norm": 1e6}
    loop = make_loop(balancing="static", head_learning_rate=0.1, **options)
    loop.progress.step = 0 if measured else 1
    loop.gradients.balancer.weights = {"names": 5.0, "mood": 2.0, "rating": 0.5}
    single = {task: of_task(loop, task) for task in loop.model.tasks}
    before = {name: p.detach().clone() for name, p in loop.model.named_parameters()}
    loop._step()
    for name, p in loop.model.heads.named_parameters(prefix="heads"):
        torch.testing.assert_close(p.detach(), before[name] - 0.1 * single[name.split(".")[1]][name], rtol=1e-4, atol=1e-6)
    for name, p in loop.model.encoder.named_parameters(prefix="encoder"):
        combined = sum(weight * single[task][name] for task, weight in loop.gradients.balancer.weights.items() if name in single[task])
        torch.testing.assert_close(p.detach(), before[name] - loop.settings.learning_rate * combined, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("balancing", BALANCING_TYPES)
def test_an_overflow_under_a_loss_scale_skips_the_step(make_loop: MakeLoop, balancing: str) -> None:
    loop = make_loop(balancing=balancing)
    loop.gradients.scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    before = [p.clone() for p in loop.model.parameters()]
    loop._step()
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))
    assert (loop.progress.updates, loop.gradients.scaler.get_scale()) == (0, pytest.approx(5e37))
    assert all(math.isfinite(factor) for factor in loop.gradients.balancer.factors().values())


@pytest.mark.parametrize(
    "options",
    [
        *({"balancing": kind} for kind in BALANCING_TYPES),
        {"balancing": {"type": "gradient_norm", "by": "dataset", "rate": 1.0}},
        {"sampling": "annealed", "balancing": {"type": "dwa", "interval": 2}},
    ],
    ids=str,
)
def test_a_resumed_run_ends_as_an_undisturbed_one(make_loop: MakeLoop, options: dict[str, Any]) -> None:
    whole, first, second = (make_loop(**options) for _ in range(3))
    file = io.BytesIO()
    quiet(whole)
    with pytest.raises(Preempted):
        first.run(lambda step, state: (file.seek(0), torch.save(state, file)), lambda: first.progress.step == 5, lambda step, line: None)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.progress.step == 5
    quiet(second)
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    times = {"tokens_per_second"}
    assert [{k: v for k, v in record.items() if k not in times} for record in second.progress.history] == [
        {k: v for k, v in record.items() if k not in times} for record in whole.progress.history
    ]


@pytest.mark.parametrize("balancing", BALANCING_TYPES)
def test_a_task_whose_loss_is_not_finite_is_left_out_of_the_step(make_loop: MakeLoop, balancing: str) -> None:
    loop, clean = make_loop(balancing=balancing), make_loop(balancing=balancing)
    break_loss(loop, "rating", {0})
    labels: Any = clean.feed.data.train.labels
    labels["rating"] = labels["rating"].masked(np.zeros(len(labels["rating"]), dtype=np.bool_))
    loop._step()
    clean._step()
    assert loop.progress.lost == {"rating": 1}
    assert loop.gradients.balancer.norms() == clean.gradients.balancer.norms()
    assert loop.gradients.balancer.norms().keys() == {"mood", "names"}
    for (name, weight), other in zip(loop.model.named_parameters(), clean.model.parameters(), strict=True):
        assert torch.equal(weight, other), name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_too_many_lost_steps_end_the_run_and_name_the_task(make_loop: MakeLoop, value: float) -> None:
    loop = make_loop()
    break_loss(loop, "rating", set(range(3, 100)), value)
    with pytest.raises(TrainingError, match=r"step 6 of \d+: rating was not finite 3 times \(at most 2 allowed\)"):
        quiet(loop)
    assert all(torch.isfinite(p).all() for p in loop.model.parameters())


def test_all_tasks_lost_is_no_update(make_loop: MakeLoop) -> None:
    loop = make_loop()
    for task in loop.model.tasks:
        break_loss(loop, task, {0})
    before = [p.clone() for p in loop.model.parameters()]
    loop._step()
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))
    assert loop.progress.updates == 0


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_infinite_gradient_skips_the_step_and_the_schedule_waits(make_loop: MakeLoop, precision: str) -> None:
    loop = make_loop(precision)
    break_gradient(loop, {0})
    scale, before = loop.gradients.scaler.get_scale(), [p.clone() for p in loop.model.parameters()]
    loop._step()
    loop.progress.step += 1
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))
    assert loop.progress.updates == 0
    assert loop.gradients.scaler.get_scale() == (scale / 2 if precision == "fp16" else 1.0)
    while not loop.progress.updates:  # fp16 may need a few more steps to find its scale; too many would raise
        loop._step()
        loop.progress.step += 1
    assert loop.progress.skipped == loop.progress.step - 1
    assert precision == "fp16" or loop.progress.step == 2
    assert any(not torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))


@pytest.mark.parametrize(("precision", "epochs", "allowed"), [("fp32", 2, 2), ("fp32", 12, 4), ("fp16", 12, 20), ("fp16", 60, 24)])
def test_more_skipped_steps_than_a_share_stop_the_run(make_loop: MakeLoop, precision: str, epochs: int, allowed: int) -> None:
    loop = make_loop(precision, epochs=epochs, eval_every=10_000)
    break_gradient(loop, set(range(1, 10_000)))
    with pytest.raises(TrainingError, match=rf"the gradient was not finite {allowed + 1} times \(at most {allowed} allowed\); lower train"):
        quiet(loop)
    assert allowed in (2, 20, math.floor(0.05 * loop.steps))


def test_loss_scaling_is_on_record(make_loop: MakeLoop) -> None:
    """What it takes to draw it: the scale, halved by each overflow, and the updates skipped so far."""
    loop = make_loop("fp16", epochs=3)
    break_gradient(loop, {2, 3, 7})
    before: list[tuple[int, float]] = []
    update = loop._update

    def watched(result: StepResult) -> None:
        update(result)
        before.append((loop.progress.skipped, loop.gradients.scaler.get_scale()))

    loop._update = watched  # type: ignore[method-assign]
    quiet(loop)
    records = [record for record in loop.progress.history if record["kind"] == "train"]
    assert [(record["skipped"], record["loss_scale"]) for record in records] == before
    assert all(scale == 2.0**16 / 2**skipped for skipped, scale in before)
    assert loop.progress.skipped >= 3
    assert loop.progress.updates == loop.steps - loop.progress.skipped
    assert f"the gradient was not finite in {loop.progress.skipped} steps, which made no update" in loop.warnings()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_learn_as_well(make_loop: MakeLoop, precision: str) -> None:
    loop, full = make_loop(precision, epochs=3), make_loop(epochs=3)
    quiet(loop)
    quiet(full)
    assert loop.progress.best.score == pytest.approx(full.progress.best.score, abs=0.15)
    # Under loss scaling too the norms that balance goes by are those of the true gradients.
    assert loop.gradients.balancer.norms() == pytest.approx(full.gradients.balancer.norms(), rel=0.3)


def disturb_nothing(loop: Loop) -> None:
    """As it is."""


def disturb_overflows(loop: Loop) -> None:
    break_gradient(loop, {1, 5, 9})


def disturb_memory(loop: Loop) -> None:
    shrink_memory(loop, 60)


def disturb_scores(loop: Loop) -> None:
    """Scores by the step, not by the turn: a resumed run validates anew."""
    names = {name: task.main_metric.name for name, task in loop.model.tasks.items()}
    loop._metrics = lambda: (  # type: ignore[method-assign]
        {task: {name: 1 / (1 + abs(loop.progress.step - best))} for (task, name), best in zip(names.items(), (12, 2, 6), strict=True)},
        [],
    )


@pytest.mark.parametrize(
    ("options", "disturb"),
    [
        ({"optimizer": "adam", "schedule": "cosine", "layer_decay": 0.5, "freeze_layers": 1}, disturb_nothing),
        ({"optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant"}, disturb_nothing),
        ({"optimizer": {"type": "sgdw", "momentum": 0.5}, "learning_rate": 0.1}, disturb_nothing),
        ({"freeze_layers": 2}, disturb_nothing),
        ({"precision": "fp16", "schedule": "cosine"}, disturb_overflows),
        ({"precision": "bf16"}, disturb_nothing),
        ({"micro_batch_tokens": 200}, disturb_memory),
        ({"stop": "each", "patience": 2, "epochs": 4}, disturb_scores),
    ],
    ids=["adam", "sgd", "sgdw", "frozen", "fp16", "bf16", "memory", "each"],
)
def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(
    make_loop: MakeLoop, options: dict[str, Any], disturb: Callable[[Loop], None]
) -> None:
    """From an early, a middle and a late step on, by a checkpoint that went through bytes."""

    def made() -> Loop:
        loop = make_loop(**{"encoder__dropout": 0.3, "eval_every": 2, "epochs": 1.5, **options})
        disturb(loop)
        return loop

    def run(loop: Loop, saved: dict[int, bytes]) -> Loop:
        def save(step: int, state: dict[str, Any]) -> None:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            saved[step] = buffer.getvalue()

        loop.run(save, lambda: False, lambda step, line: None)
        return loop

    saved: dict[int, bytes] = {}
    whole = run(made(), saved)
    assert len(saved) >= 3
    checkpoints = [*saved.values()]
    for content in (checkpoints[0], checkpoints[len(checkpoints) // 2], checkpoints[-1]):
        resumed = made()
        resumed.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
        run(resumed, {})
        for (name, weight), other in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
            assert torch.equal(weight, other), name
        assert timeless(resumed) == timeless(whole)


def timeless(loop: Loop) -> dict[str, Any]:
    """Progress without the times."""
    progress = asdict(loop.progress)
    for name in ("seconds", "validating", "recorded", "costs"):
        del progress["usage"][name]
    for record in progress["history"]:
        record.pop("tokens_per_second", None)
    return progress | {"memory_limit": loop.memory.limit}


def test_a_frozen_encoder_stays_as_it_was_and_heads_learn(make_loop: MakeLoop) -> None:
    loop = make_loop(freeze_layers=2)
    before = {name: tensor.clone() for name, tensor in loop.model.state_dict().items()}
    quiet(loop)
    assert all(torch.equal(tensor, before[name]) == name.startswith("encoder") for name, tensor in loop.model.state_dict().items())


@pytest.mark.parametrize("name", ["adam", "sgd", "sgdw"])
def test_every_optimizer_learns(make_loop: MakeLoop, name: str) -> None:
    loop = make_loop(
        epochs=12, optimizer=name, eval_every=1000, **({} if name == "adam" else {"learning_rate": 0.2, "head_learning_rate": 0.2})
    )
    quiet(loop)
    assert loop.progress.best.score > 0.8


def test_groups_of_the_optimizer(make_loop: MakeLoop) -> None:
    loop = make_loop(weight_decay=0.1)
    names = {id(p): name for name, p in loop.model.named_parameters()}
    for group in loop.optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
            assert group["initial_lr"] == (1e-2 if names.pop(id(parameter)).startswith("heads") else 5e-3)
    assert not names
