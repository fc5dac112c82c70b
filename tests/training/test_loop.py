"""One step: gradients are what the formulas say, however the step is cut, and a loss that is not finite does no harm."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl.errors import TrainingError
from mtl.params import BALANCING_TYPES, Params
from mtl.training import loop as loops
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
    torch.manual_seed(3)
    batches = loop._batches()
    assert loop._gradients(batches, set(loop.model.tasks)) == set()
    return {name: p.grad.clone() for name, p in loop.model.named_parameters() if p.grad is not None}


def of_task(loop: Loop, task: str) -> Gradients:
    """The plain gradients of one task's loss, from one batch of the whole step."""
    loop.micro_limit, loop.micro_overhead = 10_000, 10_000
    (batch,) = loop._batches(apart=False)
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
        loop.balancer.observe(tasks, np.diag([norms[task] ** 2 for task in tasks]))
        loop.balancer.measures = lambda step, tasks: False  # type: ignore[method-assign]
    found = gradients(loop, limit=60)
    for name, grad in found.items():
        if name.startswith("encoder"):
            expected = sum(alone[task][name] * mean / norms[task] for task in tasks if name in alone[task])
        else:
            expected = alone[name.split(".")[1]][name]
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)
    assert loop.balancer.norms() == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize(
    ("balancing", "limit"), [*((kind, 30) for kind in BALANCING_TYPES), *(("gradient_norm", limit) for limit in (1, 100))]
)
def test_the_cut_into_micro_batches_does_not_matter(make_loop: Callable[..., Loop], balancing: str, limit: int) -> None:
    whole, cut = (gradients(make_loop(balancing=balancing), size) for size in (10_000, limit))
    assert whole.keys() == cut.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(cut[name], grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("measured", [True, False])
def test_static_is_the_weighted_sum(make_loop: Callable[..., Loop], measured: bool) -> None:
    loop = make_loop(balancing="static")
    loop.progress.step = 0 if measured else 1
    alone = {task: of_task(loop, task) for task in loop.model.tasks}
    loop.balancer.weights = {"names": 5.0, "mood": 1.0, "rating": 0.5}
    for name, grad in gradients(loop).items():
        if name.startswith("encoder"):
            expected = sum(weight * alone[task][name] for task, weight in loop.balancer.weights.items() if name in alone[task])
            torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["pcgrad", "mgda", "cagrad", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"])
def test_aggregated_gradients_are_combined_as_their_products_say(make_loop: Callable[..., Loop], kind: str) -> None:
    loop, oracle = make_loop(balancing=kind), make_loop(balancing=kind)
    alone = {task: of_task(loop, task) for task in loop.model.tasks}
    names = [name for name, _ in loop.model.encoder.named_parameters(prefix="encoder")]
    zero = {name: torch.zeros_like(p) for name, p in loop.model.named_parameters()}
    flat = torch.stack([torch.cat([(zero | alone[task])[name].flatten() for name in names]) for task in alone]).double()
    found = gradients(loop)
    torch.manual_seed(3)
    order = sorted(range(3), key=list(alone).__getitem__)
    flat = flat[order]
    oracle.balancer.observe(sorted(alone), (flat @ flat.T).numpy())
    factors = oracle.balancer.factors()
    assert loop.balancer.factors() == pytest.approx(factors, rel=1e-3)
    for name, grad in found.items():
        if name.startswith("encoder"):
            expected = sum(factors[task] * alone[task][name] for task in alone if name in alone[task])
        else:
            expected = alone[name.split(".")[1]][name]
        torch.testing.assert_close(grad, expected, rtol=2e-3, atol=1e-5)


def test_the_order_of_the_batches_does_not_matter(make_loop: Callable[..., Loop]) -> None:
    factors = []
    for turn in (1, -1):
        loop = make_loop(balancing="pcgrad")
        torch.manual_seed(3)
        loop._gradients(loop._batches()[::turn], set(loop.model.tasks))
        factors.append(loop.balancer.factors())
    assert factors[0] == pytest.approx(factors[1], rel=1e-5)
    assert factors[0] != pytest.approx(dict.fromkeys(loop.model.tasks, 1.0), rel=1e-3)  # there is something to order


@pytest.mark.parametrize("balancing", BALANCING_TYPES)
def test_a_loss_scale_changes_nothing(make_loop: Callable[..., Loop], balancing: str) -> None:
    plain, scaled = make_loop(balancing=balancing), make_loop(balancing=balancing)
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    expected = gradients(plain)
    for name, grad in gradients(scaled).items():
        torch.testing.assert_close(grad / 1024, expected[name], rtol=1e-3, atol=1e-6)
    assert scaled.balancer.norms() == pytest.approx(plain.balancer.norms(), rel=1e-5)
    assert scaled.balancer.cosines() == pytest.approx(plain.balancer.cosines(), abs=1e-5)


@pytest.mark.parametrize("balancing", BALANCING_TYPES)
def test_an_overflow_under_a_loss_scale_skips_the_step(make_loop: Callable[..., Loop], balancing: str) -> None:
    loop = make_loop(balancing=balancing)
    loop.scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    before = [p.clone() for p in loop.model.parameters()]
    loop._step()
    assert all(torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))
    assert (loop.progress.updates, loop.scaler.get_scale()) == (0, pytest.approx(5e37))
    assert all(math.isfinite(factor) for factor in loop.balancer.factors().values())


def test_where_gradients_are_measured_no_batch_has_rows_of_two_data_sets(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    mixed = [{"names", "mood"} <= batch.targets.keys() for batch in loop._batches(apart=False)]
    apart = [{"names", "mood"} <= batch.targets.keys() for batch in loop._batches()]
    assert any(mixed)
    assert not any(apart)
    loop.progress.step = 1
    assert len(loop._batches()) == len(mixed)


def test_tasks_of_one_data_set_are_told_to_the_balancer(make_loop: Callable[..., Loop]) -> None:
    loop, plain = make_loop(balancing={"type": "gradient_norm", "by": "dataset"}), make_loop()
    found, expected = gradients(loop), gradients(plain)
    name = next(name for name in found if name.startswith("encoder"))
    shares = {task: loop.balancer.factors()[task] / plain.balancer.factors()[task] for task in loop.model.tasks}
    assert shares["names"] == pytest.approx(1.0)
    assert shares["mood"] == pytest.approx(shares["rating"])
    assert 0.5 < shares["mood"] < 0.75
    assert not torch.allclose(found[name], expected[name])


@pytest.mark.parametrize("balancing", ["pcgrad", "gradnorm", "static"])
def test_what_balancing_costs_is_measured_and_leaves_no_trace(
    make_loop: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch, balancing: str
) -> None:
    loop = make_loop(balancing=balancing)
    quiet(loop)
    kinds = {"static": {"plain"}}.get(balancing, {"plain", "separate"})
    assert loop.progress.spent.keys() == kinds
    steps = {kind: spent[0] for kind, spent in loop.progress.spent.items()}
    assert steps["plain"] == (len(loops.TRIALS) if "separate" in kinds else loop.steps - 1)
    assert steps.get("separate", loop.steps - 1) == loop.steps - 1
    cost = loop.balance_cost()
    assert cost is not None
    assert 0.5 < cost < 10
    monkeypatch.setattr(loops, "TRIALS", ())
    untried = make_loop(balancing=balancing)
    quiet(untried)
    for a, b in zip(loop.model.parameters(), untried.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (loop.progress.tokens, loop.progress.rows) == (untried.progress.tokens, untried.progress.rows)
    assert untried.balance_cost() == (1.0 if balancing == "static" else None)


@pytest.mark.parametrize(
    "options",
    [
        *({"balancing": kind} for kind in BALANCING_TYPES),
        {"balancing": {"type": "gradient_norm", "by": "dataset", "rate": 1.0}},
        {"sampling": "annealed", "balancing": {"type": "dwa", "interval": 2}},
    ],
    ids=str,
)
def test_a_resumed_run_ends_as_an_undisturbed_one(make_loop: Callable[..., Loop], options: dict[str, Any]) -> None:
    whole, first, second = (make_loop(**options) for _ in range(3))
    file = io.BytesIO()
    quiet(whole)
    with pytest.raises(loops.Preempted):
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


def test_rows_without_a_label_of_a_task_give_it_no_loss(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    labels: Any = loop.data.train.labels
    labels["names"] = [None] * len(labels["names"])
    batches = loop._batches()
    assert {task for batch in batches for task in batch.targets} == {"mood", "rating"}
    learnt: list[Any] = []
    loop.balancer.learn = learnt.append  # type: ignore[method-assign]
    loop._step()
    assert [losses.keys() for losses in learnt] == [{"mood", "rating"}]
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


@pytest.mark.parametrize("balancing", BALANCING_TYPES)
def test_a_task_whose_loss_is_not_finite_is_left_out_of_the_step(make_loop: Callable[..., Loop], balancing: str) -> None:
    loop, clean = make_loop(balancing=balancing), make_loop(balancing=balancing)
    poison(loop, "rating", {0})
    labels: Any = clean.data.train.labels
    labels["rating"] = [None] * len(labels["rating"])
    loop._step()
    clean._step()
    assert loop.progress.lost == {"rating": 1}
    assert loop.balancer.norms() == clean.balancer.norms()
    assert loop.balancer.norms().keys() == {"mood", "names"}
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
