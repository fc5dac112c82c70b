"""Gradients are what the formulas say, however a step is cut, scaled or ordered."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl.config import BALANCING_TYPES, Params
from mtl.model.device import Precision
from mtl.training import costs
from mtl.training.costs import balance_cost
from mtl.training.feed import StepBatches
from mtl.training.prepare import prepare
from mtl.training.splits import read_splits

from .loops import MakeLoop, balanced, encoder_norm, gradients, of_task, quiet


@pytest.mark.parametrize("measured", [True, False])
def test_the_encoder_gets_balanced_and_heads_get_unweighted_gradients(make_loop: MakeLoop, measured: bool) -> None:
    loop = make_loop()
    tasks = list(loop.model.tasks)
    single = {task: of_task(loop, task) for task in tasks}
    norms = {task: encoder_norm(single[task]) for task in tasks}
    mean = sum(norms.values()) / 3
    for name, grad in balanced(loop, norms, measured).items():
        if name.startswith("encoder"):
            expected = sum(single[task][name] * mean / norms[task] for task in tasks if name in single[task])
        else:
            expected = single[name.split(".")[1]][name]
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)
    assert loop.gradients.balancer.norms() == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize("measured", [True, False])
def test_layers_of_a_task_s_own_get_its_unweighted_gradient(
    project: Path, make_settings: Callable[..., Params], tiny_bert: Path, measured: bool
) -> None:
    encoder = {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "dropout": 0.0, "task_layers": 1}
    params = Params.model_validate(make_settings().model_dump(exclude={"encoder"}) | {"encoder": encoder})
    run = params.runs()["joint-plain-1"]
    splits = read_splits(params, run, project / "examples", project / "shards")
    loop = prepare(params, run, splits, tiny_bert, Precision("fp32", torch.device("cpu")))[0]
    tasks, names = list(loop.model.tasks), {id(parameter): name for name, parameter in loop.model.named_parameters()}
    own = {task: {names[id(parameter)] for parameter in loop.model.own(task)} for task in tasks}
    shared = {names[id(parameter)] for parameter in loop.gradients.shared}
    assert sorted([*shared, *(name for task in tasks for name in own[task])]) == sorted(names.values())
    single = {task: of_task(loop, task) for task in tasks}
    assert all(single[task].keys() <= shared | own[task] for task in tasks)
    norms = {task: math.sqrt(sum(float(grad.square().sum()) for name, grad in single[task].items() if name in shared)) for task in tasks}
    mean = sum(norms.values()) / 3
    for name, grad in balanced(loop, norms, measured).items():
        expected = sum(single[task][name] * (mean / norms[task] if name in shared else 1) for task in tasks if name in single[task])
        torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("balancing", "limit"), [*((kind, 30) for kind in BALANCING_TYPES), *(("gradient_norm", limit) for limit in (1, 100))]
)
def test_the_cut_into_micro_batches_does_not_matter(make_loop: MakeLoop, balancing: str, limit: int) -> None:
    whole, cut = (gradients(make_loop(balancing=balancing), size) for size in (10_000, limit))
    assert whole.keys() == cut.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(cut[name], grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("measured", [True, False])
def test_static_is_the_weighted_sum(make_loop: MakeLoop, measured: bool) -> None:
    loop = make_loop(balancing="static")
    loop.progress.step = 0 if measured else 1
    single = {task: of_task(loop, task) for task in loop.model.tasks}
    loop.gradients.balancer.weights = {"names": 5.0, "mood": 1.0, "rating": 0.5}
    for name, grad in gradients(loop).items():
        if name.startswith("encoder"):
            expected = sum(weight * single[task][name] for task, weight in loop.gradients.balancer.weights.items() if name in single[task])
            torch.testing.assert_close(grad, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["pcgrad", "mgda", "cagrad", "nash_mtl", "upgrad", "imtl_g", "aligned_mtl"])
def test_aggregated_gradients_are_combined_as_their_products_say(make_loop: MakeLoop, kind: str) -> None:
    loop, oracle = make_loop(balancing=kind), make_loop(balancing=kind)
    single = {task: of_task(loop, task) for task in loop.model.tasks}
    names = [name for name, _ in loop.model.encoder.named_parameters(prefix="encoder")]
    zero = {name: torch.zeros_like(p) for name, p in loop.model.named_parameters()}
    flat = torch.stack([torch.cat([(zero | single[task])[name].flatten() for name in names]) for task in single]).double()
    combined = gradients(loop)
    torch.manual_seed(3)
    order = sorted(range(3), key=list(single).__getitem__)
    flat = flat[order]
    oracle.gradients.balancer.observe(sorted(single), (flat @ flat.T).numpy())
    factors = oracle.gradients.balancer.factors()
    assert loop.gradients.balancer.factors() == pytest.approx(factors, rel=1e-3)
    for name, grad in combined.items():
        if name.startswith("encoder"):
            expected = sum(factors[task] * single[task][name] for task in single if name in single[task])
        else:
            expected = single[name.split(".")[1]][name]
        torch.testing.assert_close(grad, expected, rtol=2e-3, atol=1e-5)


def test_the_order_of_the_batches_does_not_matter(make_loop: MakeLoop) -> None:
    factors = []
    for turn in (1, -1):
        loop = make_loop(balancing="pcgrad")
        torch.manual_seed(3)
        batches = loop._batches()
        loop.gradients.compute(0, StepBatches(batches.batches[::turn], batches.labelled), set(loop.model.tasks))
        factors.append(loop.gradients.balancer.factors())
    assert factors[0] == pytest.approx(factors[1], rel=1e-5)
    assert factors[0] != pytest.approx(dict.fromkeys(loop.model.tasks, 1.0), rel=1e-3)  # there is something to order


@pytest.mark.parametrize("balancing", BALANCING_TYPES)
def test_a_loss_scale_changes_nothing(make_loop: MakeLoop, balancing: str) -> None:
    plain, scaled = make_loop(balancing=balancing), make_loop(balancing=balancing)
    scaled.gradients.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    expected = gradients(plain)
    for name, grad in gradients(scaled).items():
        torch.testing.assert_close(grad / 1024, expected[name], rtol=1e-3, atol=1e-6)
    assert scaled.gradients.balancer.norms() == pytest.approx(plain.gradients.balancer.norms(), rel=1e-5)
    assert scaled.gradients.balancer.cosines() == pytest.approx(plain.gradients.balancer.cosines(), abs=1e-5)


def test_the_balancer_knows_the_tasks_of_one_dataset(make_loop: MakeLoop) -> None:
    loop, plain = make_loop(balancing={"type": "gradient_norm", "by": "dataset"}), make_loop()
    combined, expected = gradients(loop), gradients(plain)
    name = next(name for name in combined if name.startswith("encoder"))
    shares = {task: loop.gradients.balancer.factors()[task] / plain.gradients.balancer.factors()[task] for task in loop.model.tasks}
    assert shares["names"] == pytest.approx(1.0)
    assert shares["mood"] == pytest.approx(shares["rating"])
    assert 0.5 < shares["mood"] < 0.75
    assert not torch.allclose(combined[name], expected[name])


@pytest.mark.parametrize("balancing", ["pcgrad", "gradnorm", "static"])
def test_what_balancing_costs_is_measured_and_leaves_no_trace(make_loop: MakeLoop, monkeypatch: pytest.MonkeyPatch, balancing: str) -> None:
    loop = make_loop(balancing=balancing)
    quiet(loop)
    kinds = {"static": {"plain"}}.get(balancing, {"plain", "separate"})
    assert loop.progress.usage.costs.keys() == kinds
    steps = {kind: cost.steps for kind, cost in loop.progress.usage.costs.items()}
    assert steps["plain"] == (len(costs.TRIALS) if "separate" in kinds else loop.steps - 1)
    assert steps.get("separate", loop.steps - 1) == loop.steps - 1
    cost = balance_cost(loop.gradients.balancer, loop.progress.usage.costs)
    assert cost is not None
    assert 0.5 < cost < 10
    monkeypatch.setattr(costs, "TRIALS", ())
    untried = make_loop(balancing=balancing)
    quiet(untried)
    for a, b in zip(loop.model.parameters(), untried.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (loop.progress.usage.tokens, loop.progress.usage.rows) == (untried.progress.usage.tokens, untried.progress.usage.rows)
    assert balance_cost(untried.gradients.balancer, untried.progress.usage.costs) == (1.0 if balancing == "static" else None)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_losses_are_computed_in_float32(make_loop: MakeLoop, precision: str) -> None:
    loop, seen = make_loop(precision), set()
    for task in loop.model.tasks.values():

        def loss(logits: Tensor, *rest: Any, plain: Callable[..., Tensor] = task.loss) -> Tensor:
            result = plain(logits, *rest)
            seen.add((logits.dtype, result.dtype, torch.is_autocast_enabled("cpu")))
            return result

        task.loss = loss  # type: ignore[method-assign]
    (batch, *_) = loop._batches().batches
    with loop.precision.autocast():  # with bf16, layers on a CPU give float32
        expected = torch.float16 if precision == "fp16" else torch.float32
        assert {logits.dtype for logits in loop.model(batch, loop.model.tasks).values()} == {expected}
    loop._step()
    assert seen == {(torch.float32, torch.float32, False)}
