"""One step: gradients are what the formulas say, however the step is cut, and a loss that is not finite does no harm."""

import io
import itertools
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mtl.config import BALANCING_TYPES, Params
from mtl.errors import TrainingError
from mtl.model.device import Precision
from mtl.training import loop as loops
from mtl.training import run as runs
from mtl.training.loop import Loop

Gradients = dict[str, Tensor]


@pytest.fixture
def make_loop(project: Path, make_settings: Callable[..., Params]) -> Callable[..., Loop]:
    """Makes the loop of a plain joint run of the small project, without dropout unless asked for."""

    def make(precision: str = "fp32", **options: Any) -> Loop:
        params = make_settings(**{"encoder__dropout": 0.0, **options})
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
    loss_factors = {id(p): loop.loss_factors.get(task, 1.0) for task in loop.model.tasks for p in loop.model.own(task)}
    return {name: p.grad / loss_factors.get(id(p), 1.0) for name, p in loop.model.named_parameters() if p.grad is not None}


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


def balanced(loop: Loop, norms: dict[str, float], measured: bool) -> Gradients:
    """The gradients of a step in which the tasks' norms are measured, or have been."""
    if not measured:
        loop.balancer.observe(list(norms), np.diag([norm**2 for norm in norms.values()]))
        loop.balancer.measures = lambda step, tasks: False  # type: ignore[method-assign]
    return gradients(loop, limit=60)


@pytest.mark.parametrize("measured", [True, False])
def test_the_encoder_gets_balanced_and_heads_get_plain_gradients(make_loop: Callable[..., Loop], measured: bool) -> None:
    loop = make_loop()
    tasks = list(loop.model.tasks)
    alone = {task: of_task(loop, task) for task in tasks}
    norms = {task: encoder_norm(alone[task]) for task in tasks}
    mean = sum(norms.values()) / 3
    for name, grad in balanced(loop, norms, measured).items():
        if name.startswith("encoder"):
            expected = sum(alone[task][name] * mean / norms[task] for task in tasks if name in alone[task])
        else:
            expected = alone[name.split(".")[1]][name]
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)
    assert loop.balancer.norms() == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize("measured", [True, False])
def test_layers_of_a_task_s_own_get_its_plain_gradient(
    project: Path, make_settings: Callable[..., Params], tiny_bert: Path, measured: bool
) -> None:
    encoder = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "dropout": 0.0, "task_layers": 1}
    params = Params.model_validate(make_settings().model_dump(exclude={"encoder"}) | {"encoder": encoder})
    run = params.runs()["joint-plain-1"]
    rows = runs._read(params, run, project / "examples", project / "shards")
    loop = runs._prepare(params, run, rows, tiny_bert, Precision("fp32", torch.device("cpu")))[0]
    tasks, names = list(loop.model.tasks), {id(parameter): name for name, parameter in loop.model.named_parameters()}
    own = {task: {names[id(parameter)] for parameter in loop.model.own(task)} for task in tasks}
    shared = {names[id(parameter)] for parameter in loop.shared}
    assert sorted([*shared, *(name for task in tasks for name in own[task])]) == sorted(names.values())
    alone = {task: of_task(loop, task) for task in tasks}
    assert all(alone[task].keys() <= shared | own[task] for task in tasks)
    norms = {task: math.sqrt(sum(float(grad.square().sum()) for name, grad in alone[task].items() if name in shared)) for task in tasks}
    mean = sum(norms.values()) / 3
    for name, grad in balanced(loop, norms, measured).items():
        expected = sum(alone[task][name] * (mean / norms[task] if name in shared else 1) for task in tasks if name in alone[task])
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-5)


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


@pytest.mark.parametrize("measured", [True, False])
def test_an_update_moves_heads_by_their_plain_gradient(make_loop: Callable[..., Loop], measured: bool) -> None:
    options: dict[str, Any] = {"optimizer": "sgd", "weight_decay": 0.0, "schedule": "constant", "warmup": 0.0, "clip_norm": 1e6}
    loop = make_loop(balancing="static", head_learning_rate=0.1, **options)
    loop.progress.step = 0 if measured else 1
    loop.balancer.weights = {"names": 5.0, "mood": 2.0, "rating": 0.5}
    alone = {task: of_task(loop, task) for task in loop.model.tasks}
    before = {name: p.detach().clone() for name, p in loop.model.named_parameters()}
    loop._step()
    for name, p in loop.model.heads.named_parameters(prefix="heads"):
        torch.testing.assert_close(p.detach(), before[name] - 0.1 * alone[name.split(".")[1]][name], rtol=1e-4, atol=1e-6)
    for name, p in loop.model.encoder.named_parameters(prefix="encoder"):
        pull = sum(weight * alone[task][name] for task, weight in loop.balancer.weights.items() if name in alone[task])
        torch.testing.assert_close(p.detach(), before[name] - loop.settings.learning_rate * pull, rtol=1e-4, atol=1e-6)


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
    loop._step()
    loop.progress.step = 1
    assert len(loop._batches()) == len(mixed)


def test_nor_has_one_of_a_task_that_is_first_met_between_two_measurements(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    loop.progress.step = 1
    apart = [{"names", "mood"} <= batch.targets.keys() for batch in loop._batches()]
    assert not any(apart)
    loop._step()
    assert loop._last[0] == "separate"


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
    labels["names"] = labels["names"].masked(np.zeros(len(labels["names"]), dtype=np.bool_))
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
    labels["rating"] = labels["rating"].masked(np.zeros(len(labels["rating"]), dtype=np.bool_))
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
    assert loop.progress.skipped == loop.progress.step - 1
    assert precision == "fp16" or loop.progress.step == 2
    assert any(not torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True))


@pytest.mark.parametrize(("precision", "epochs", "allowed"), [("fp32", 2, 2), ("fp32", 12, 4), ("fp16", 12, 20), ("fp16", 60, 24)])
def test_more_skipped_steps_than_a_share_stop_the_run(make_loop: Callable[..., Loop], precision: str, epochs: int, allowed: int) -> None:
    loop = make_loop(precision, epochs=epochs, eval_every=10_000)
    plant(loop, set(range(1, 10_000)))
    with pytest.raises(
        TrainingError, match=rf"the gradient was not finite, for the {allowed + 1}\. time \(at most {allowed} allowed\); lower train"
    ):
        quiet(loop)
    assert allowed in (2, 20, math.floor(0.05 * loop.steps))


def test_loss_scaling_is_on_record(make_loop: Callable[..., Loop]) -> None:
    """What it takes to draw it: the scale, halved by each overflow, and the updates skipped so far."""
    loop = make_loop("fp16", epochs=3)
    plant(loop, {2, 3, 7})
    before: list[tuple[int, float]] = []
    update = loop._update

    def watched() -> None:
        update()
        before.append((loop.progress.skipped, loop.scaler.get_scale()))

    loop._update = watched  # type: ignore[method-assign]
    quiet(loop)
    records = [record for record in loop.progress.history if record["kind"] == "train"]
    assert [(record["skipped"], record["loss_scale"]) for record in records] == before
    assert all(scale == 2.0**16 / 2**skipped for skipped, scale in before)
    assert loop.progress.skipped >= 3
    assert loop.progress.updates == loop.steps - loop.progress.skipped
    assert f"the gradient was not finite in {loop.progress.skipped} step(s), which made no update" in loop.warnings()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_losses_are_computed_in_float32(make_loop: Callable[..., Loop], precision: str) -> None:
    loop, seen = make_loop(precision), set()
    for task in loop.model.tasks.values():

        def loss(logits: Tensor, *rest: Any, plain: Callable[..., Tensor] = task.loss) -> Tensor:
            found = plain(logits, *rest)
            seen.add((logits.dtype, found.dtype, torch.is_autocast_enabled("cpu")))
            return found

        task.loss = loss  # type: ignore[method-assign]
    (batch, *_) = loop._batches()
    with loop.precision.autocast():
        assert {logits.dtype for logits in loop.model(batch, loop.model.tasks).values()} == {loop.precision.dtype}
    loop._step()
    assert seen == {(torch.float32, torch.float32, False)}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_learn_as_well(make_loop: Callable[..., Loop], precision: str) -> None:
    loop, full = make_loop(precision, epochs=3), make_loop(epochs=3)
    quiet(loop)
    quiet(full)
    assert loop.progress.best_score == pytest.approx(full.progress.best_score, abs=0.15)
    # Under loss scaling too the norms that balance goes by are those of the true gradients.
    assert loop.balancer.norms() == pytest.approx(full.balancer.norms(), rel=0.3)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_a_limit_on_micro_batches_is_kept_to(make_loop: Callable[..., Loop]) -> None:
    whole, cut = make_loop(micro_batch_tokens=10_000), make_loop(micro_batch_tokens=40)
    sizes = [batch.mask.numel() for batch in cut._batches()]
    assert len(whole._batches()) < len(sizes)
    assert max(sizes) <= 40
    for loop in (whole, cut):
        loop._step()
    for (name, weight), other in zip(whole.model.named_parameters(), cut.model.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=1e-5, msg=name)


def shrink_memory(loop: Loop, size: int) -> list[int]:
    """Let the encoder run out of memory above a size while it learns; the sizes that it is called with."""
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


@pytest.mark.parametrize("balancing", ["static", "gradient_norm"])
def test_out_of_memory_cuts_the_step_smaller_and_changes_nothing(
    make_loop: Callable[..., Loop], balancing: str, caplog: pytest.LogCaptureFixture
) -> None:
    loop, plain = (make_loop(balancing=balancing, micro_batch_tokens=10_000) for _ in range(2))
    sizes = shrink_memory(loop, 60)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for each in (loop, plain):
                each._step()
                each.progress.step += 1
    limit = loop.micro_limit
    assert 15 < limit <= 60
    assert sum(size > 60 for size in sizes) <= 3  # later steps do not try again
    for (name, weight), other in zip(loop.model.named_parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=1e-4, msg=name)
    assert (loop.progress.tokens, loop.progress.rows, loop.progress.updates) == (plain.progress.tokens, plain.progress.rows, 3)
    said = f"the memory of cpu ran out, so micro-batches were cut to {limit} subwords, which changes nothing but dropout masks; train"
    # A measuring step has smaller batches than the plain one after it, in which memory may run out once more.
    assert [record.getMessage().startswith(said) for record in caplog.records] == [False, True]
    assert [warning.startswith(said) for warning in loop.warnings()] == [True]
    assert plain.warnings() == []


def test_out_of_memory_draws_the_masks_of_the_smaller_cut(make_loop: Callable[..., Loop]) -> None:
    """So that a run that was resumed, and need not try again, is the same run."""
    loop, knowing = make_loop(encoder__dropout=0.5), make_loop(encoder__dropout=0.5)
    shrink_memory(loop, 60)
    loop._step()
    knowing.micro_limit = loop.micro_limit
    knowing._step()
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), knowing.model.parameters(), strict=True))


def test_a_lost_loss_is_counted_once_where_memory_runs_out_too(make_loop: Callable[..., Loop]) -> None:
    loop, clean = (make_loop(micro_batch_tokens=10_000) for _ in range(2))
    poison(loop, "rating", {0})
    sizes, enough = shrink_memory(loop, 60), shrink_memory(clean, 60)
    loop._step()
    clean._step()
    assert (loop.progress.lost, loop.progress.updates) == ({"rating": 1}, 1)
    # Made again without the lost task, the step is cut as it was found to fit.
    assert [size for size in sizes if size > 60] == [size for size in enough if size > 60] != []


def test_a_row_that_does_not_fit_by_itself_is_an_error(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop()
    sizes = shrink_memory(loop, 2)
    with pytest.raises(
        TrainingError,
        match=r"step 1 of \d+: the memory of cpu does not even suffice for one row at a time \(the longest has \d+ subwords\): "
        r"lower encoder\.max_length \(32\).*\(CUDA out of memory\. Tried to allocate 2\.00 GiB\.\)$",
    ):
        loop._step()
    assert len(sizes) < 12


# --- stopping, and going on ---------------------------------------------------------------------------------------------


def script(loop: Loop, scores: dict[str, list[float]]) -> None:
    """Let the tasks have these scores, one a validation."""
    names = {name: task.main_metric for name, task in loop.model.tasks.items()}
    turns = iter(range(10_000))

    def metrics() -> tuple[dict[str, dict[str, float]], list[str]]:
        turn = next(turns)
        return {name: {names[name]: found[min(turn, len(found) - 1)]} for name, found in scores.items()}, []

    loop._metrics = metrics  # type: ignore[method-assign]


SCORES = {"names": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6], "mood": [0.5, 0.4, 0.5, 0.9], "rating": [0.3, 0.4, 0.35, 0.3, 0.9]}


def test_each_task_stops_by_itself_and_its_rows_are_spared(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(epochs=50, patience=2, stop="each", eval_every=2, micro_batch_tokens=16)
    script(loop, SCORES)
    rows, begun = {}, loop._batches

    def spy() -> Any:
        batches = begun()
        rows[loop.progress.step] = {task for batch in batches for task in batch.targets}
        assert all(batch.targets for batch in batches)
        return batches

    loop._batches = spy  # type: ignore[method-assign]
    quiet(loop)
    # mood: best at the first validation (step 2), rating at the second, names at the sixth.
    assert loop.progress.stopped_tasks == {"mood": 6, "rating": 8, "names": 16}
    assert (loop.progress.stopped, loop.progress.step) == ("early", 16)
    assert [rows[step] for step in (5, 6, 8, 15)] == [{"names", "mood", "rating"}, {"names", "rating"}, {"names"}, {"names"}]
    means = [math.prod(found[min(turn, len(found) - 1)] for found in SCORES.values()) ** (1 / 3) for turn in range(8)]
    assert loop.progress.best_score == pytest.approx(max(means))


def test_the_score_of_several_tasks_is_a_mean_of_relative_ones() -> None:
    overall = loops._overall
    assert overall([0.5, 0.9, 0.8]) == pytest.approx((0.5 * 0.9 * 0.8) ** (1 / 3))
    assert (
        overall([0.5 * 1.02, 0.9, 0.8])
        == pytest.approx(overall([0.5, 0.9, 0.8 * 1.02]))
        == pytest.approx(overall([0.5, 0.9, 0.8]) * 1.02 ** (1 / 3))
    )
    rising = [overall([score, 0.8]) for score in (-1.0, -0.1, 0.0, 0.05, 0.1 - 1e-6, 0.1, 0.1 + 1e-6, 0.2, 1.0)]
    assert all(lower < higher for lower, higher in itertools.pairwise(rising))
    assert overall([0.11, 0.6]) > overall([0.0, 0.8])  # a task that learns nothing is not made up for by another one
    assert [overall([score]) for score in (-0.2, 0.05, 0.7)] == [-0.2, 0.05, 0.7]  # that of one task is its own


def test_together_no_task_is_left_out(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(epochs=50, patience=2, eval_every=2)
    script(loop, {name: [*found[:3], 0.0] for name, found in SCORES.items()})
    quiet(loop)
    assert (loop.progress.stopped_tasks, loop.progress.stopped, loop.progress.step) == ({}, "early", 10)


@pytest.mark.parametrize(("window", "best", "end"), [(1, 4, 10), (2, 10, 16), (3, 12, 18)])
def test_a_lucky_score_is_one_of_a_window(make_loop: Callable[..., Loop], window: int, best: int, end: int) -> None:
    loop = make_loop(epochs=50, patience=3, eval_every=2, score_window=window)
    script(loop, {"mood": [0.1, 0.8, 0.3, 0.6, 0.7, 0.6, 0.4]})
    quiet(loop)
    assert (loop.progress.best_step, loop.progress.step) == (best, end)


def test_a_lucky_start_is_not_judged_by_itself(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(epochs=50, patience=3, eval_every=2, score_window=3)
    script(loop, {"mood": [0.8, 0.7, 0.75, 0.76, 0.77, 0.78, 0.5]})
    quiet(loop)
    assert (loop.progress.best_step, loop.progress.step) == (12, 18)
    assert loop.progress.best_score == pytest.approx((0.76 + 0.77 + 0.78) / 3)


@pytest.mark.parametrize("stop", ["together", "each"])
def test_a_run_shorter_than_its_window_keeps_its_last_weights(make_loop: Callable[..., Loop], stop: str) -> None:
    loop = make_loop(epochs=50, patience=1, eval_every=100, score_window=9, stop=stop)
    script(loop, {"mood": [0.8, 0.7, 0.6]})
    quiet(loop)
    assert loop.progress.best_step == loop.progress.step == loop.steps


def test_each_task_stops_by_its_window(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(epochs=50, patience=2, eval_every=2, stop="each", score_window=2)
    script(loop, {"mood": [0.1, 0.8, 0.3, 0.6, 0.6, 0.6], "rating": [0.5, 0.6, 0.4]})
    quiet(loop)
    assert loop.progress.stopped_tasks == {"rating": 8, "mood": 14}


def test_a_task_without_a_score_does_not_keep_the_others_going(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(epochs=50, patience=1, eval_every=2, stop="each")
    script(loop, {"mood": [0.5], "rating": [0.5]})
    quiet(loop)
    assert (loop.progress.stopped_tasks, loop.progress.step) == ({"mood": 4, "rating": 4}, 4)


def hinder_nothing(loop: Loop) -> None:
    """As it is."""


def hinder_overflows(loop: Loop) -> None:
    plant(loop, {1, 5, 9})


def hinder_memory(loop: Loop) -> None:
    shrink_memory(loop, 60)


def hinder_scores(loop: Loop) -> None:
    """Scores by the step, not by the turn: a resumed run validates anew."""
    names = {name: task.main_metric for name, task in loop.model.tasks.items()}
    loop._metrics = lambda: (  # type: ignore[method-assign]
        {task: {name: 1 / (1 + abs(loop.progress.step - best))} for (task, name), best in zip(names.items(), (12, 2, 6), strict=True)},
        [],
    )


@pytest.mark.parametrize(
    ("options", "hinder"),
    [
        ({"optimizer": "adam", "schedule": "cosine", "layer_decay": 0.5, "freeze_layers": 1}, hinder_nothing),
        ({"optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant"}, hinder_nothing),
        ({"optimizer": {"type": "sgdw", "momentum": 0.5}, "learning_rate": 0.1}, hinder_nothing),
        ({"freeze_layers": 2}, hinder_nothing),
        ({"precision": "fp16", "schedule": "cosine"}, hinder_overflows),
        ({"micro_batch_tokens": 200}, hinder_memory),
        ({"stop": "each", "patience": 2, "epochs": 4}, hinder_scores),
    ],
    ids=["adam", "sgd", "sgdw", "frozen", "fp16", "memory", "each"],
)
def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(
    make_loop: Callable[..., Loop], options: dict[str, Any], hinder: Callable[[Loop], None]
) -> None:
    """From an early, a middle and a late step on, by a checkpoint that went through bytes."""

    def made() -> Loop:
        loop = make_loop(**{"encoder__dropout": 0.3, "eval_every": 2, "epochs": 1.5, **options})
        hinder(loop)
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
    left_out = {"seconds", "validating", "recorded", "spent"}
    found = {name: getattr(loop.progress, name) for name in loop.progress.__slots__ if name not in left_out}
    return found | {"history": [{k: v for k, v in record.items() if k != "tokens_per_second"} for record in loop.progress.history]}


def test_a_frozen_encoder_stays_as_it_was_and_heads_learn(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(freeze_layers=2)
    before = {name: tensor.clone() for name, tensor in loop.model.state_dict().items()}
    quiet(loop)
    assert all(torch.equal(tensor, before[name]) == name.startswith("encoder") for name, tensor in loop.model.state_dict().items())


@pytest.mark.parametrize("name", ["adam", "sgd", "sgdw"])
def test_every_optimizer_learns(make_loop: Callable[..., Loop], name: str) -> None:
    loop = make_loop(
        epochs=12, optimizer=name, eval_every=1000, **({} if name == "adam" else {"learning_rate": 0.2, "head_learning_rate": 0.2})
    )
    quiet(loop)
    assert loop.progress.best_score > 0.8


def test_groups_of_the_optimizer(make_loop: Callable[..., Loop]) -> None:
    loop = make_loop(weight_decay=0.1)
    names = {id(p): name for name, p in loop.model.named_parameters()}
    for group in loop.optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
            assert group["initial_lr"] == (1e-2 if names.pop(id(parameter)).startswith("heads") else 5e-3)
    assert not names


def test_out_of_memory_in_a_trial_costs_its_figure_only(make_loop: Callable[..., Loop]) -> None:
    sizes = [max(batch.mask.numel() for batch in make_loop(micro_batch_tokens=10_000)._batches(apart=apart)) for apart in (True, False)]
    loop, plain = (make_loop(balancing="upgrad", micro_batch_tokens=10_000, eval_every=1000) for _ in range(2))
    shrink_memory(loop, sum(sizes) // 2)
    for each in (loop, plain):
        each.run(lambda step, state: None, lambda: False, lambda step, line: None)
    assert loop.progress.step == plain.progress.step == loop.steps
    assert all(torch.equal(a, b) for a, b in zip(loop.model.parameters(), plain.model.parameters(), strict=True))
    assert sizes[0] < sizes[1]


def test_a_task_that_does_not_learn_from_a_variant_is_shown_the_written_row(project: Path, make_settings: Callable[..., Params]) -> None:
    settings = make_settings(epochs=1).model_dump(mode="json")
    settings["tasks"]["rating"]["methods"] = {}
    settings["augment"]["share"] = 1.0
    params = Params.model_validate(settings)
    loops = {}
    for name in ("joint-augmented-1", "joint-plain-1", "single_rating-augmented-1"):
        run = params.runs()[name]
        rows = runs._read(params, run, project / "examples", project / "shards")
        loops[name] = runs._prepare(params, run, rows, None, Precision("fp32", torch.device("cpu")))[0]
    joint, plain, alone = loops.values()
    for step in range(joint.epoch_steps):
        for loop in loops.values():
            loop.progress.step = step
        batches = joint._batches()
        plain._batches(), alone._batches()
        assert joint.labelled == plain.labelled
        assert joint.labelled["rating"] == alone.labelled["rating"] > 0
        # Shown as it was written, and shown for that alone.
        ratings = [float(value) for batch in batches if "rating" in batch.targets for value in batch.targets["rating"] if value == value]
        expected = [float(value) for batch in alone._batches() for value in batch.targets["rating"]]
        assert sorted(ratings) == sorted(expected)
        assert sum(len(batch.mask) for batch in batches) == sum(joint.labelled[task] for task in ("mood", "rating")) + sum(
            int((batch.targets["names"] >= 0).any(1).sum()) for batch in batches if "names" in batch.targets
        )
