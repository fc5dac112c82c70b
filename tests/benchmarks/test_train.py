"""The benchmark of training runs on a small project, and compares like with like."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mtl.encoders.products import has_bf16_units
from mtl.training.loop import Loop

FOLDER = Path(__file__).parents[2] / "benchmarks"
Run = Callable[..., list[str]]
RATIOS = {"vs_tutorial", "vs_tutorial_one_pass", "vs_hf_default", "vs_hf_grouped", "vs_hf_default_8", "vs_hf_grouped_8", "gemm_share"}


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import train

    return train


@pytest.fixture
def run(train: ModuleType, joint_project: Path, wide_bert: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def lines(*options: str) -> list[str]:
        project = ["--params", str(joint_project / "params.json"), "--data", str(joint_project), "--encoder", str(wide_bert)]
        train.main([*project, "--quick", "--json", *options])
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.fixture
def make(train: ModuleType, joint_project: Path, wide_bert: Path) -> Callable[..., Loop]:
    return lambda **more: train.make_loop(joint_project / "params.json", joint_project, wide_bert, **more)


def test_the_last_line_has_all_figures(run: Run) -> None:
    found = json.loads(run()[-1])
    assert all(found[ratio] > 0 for ratio in RATIOS | {"balance_cost"})
    assert found["difference"] < 1e-4
    assert found["updates"] == 1
    assert found["padding_share"] == 0
    assert found["padding_share_of_others"]["hf_default_8"] > 0.1
    assert found["device"].startswith("cpu")
    in_bf16 = {"bf16_vs_fp32", "vs_hf_grouped_bf16", "vs_tutorial_bf16", "gemm_share_bf16"}
    assert all(found[ratio] > 0 for ratio in in_bf16) if has_bf16_units() else in_bf16.isdisjoint(found)


def test_an_encoder_of_another_size_and_larger_steps(run: Run, train: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, int]] = []

    def compare(make: Callable[..., Loop], *_: int) -> dict[str, float]:
        loop = make(balancing="static")
        encoder = loop.model.encoder
        seen.append((encoder.width, len(encoder.layers()) - 1, loop.settings.batch_tokens))
        return {"vs_tutorial": train.steps(loop, 1)}

    monkeypatch.setattr(train, "compare", compare)
    assert json.loads(run("--random", "128x3", "--batch-tokens", "512")[-1])["vs_tutorial"] > 0
    assert seen == [(128, 3, 512)]


def test_other_losses_end_the_comparison(train: ModuleType, make: Callable[..., Loop]) -> None:
    ours, others = make(balancing="static"), train.Others(make(balancing="static", whole=True))
    assert train.check_equal(ours, others) < 1e-4
    with torch.no_grad():
        others.module.model.heads["mood"].layers[1].bias[0] += 1
    with pytest.raises(SystemExit, match="do not compute the same"):
        train.check_equal(ours, others)


def test_sides_are_compared_in_fp32_whatever_they_train_in(train: ModuleType, make: Callable[..., Loop]) -> None:
    ours, others = (make(balancing="static", precision="bf16", whole=whole) for whole in (False, True))
    assert train.check_equal(ours, train.Others(others)) < 1e-4
    assert ours.gradients.precision.name == "bf16"


def test_unlike_numbers_of_updates_end_the_comparison(
    train: ModuleType, make: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train.Others.trainer
    monkeypatch.setattr(train.Others, "trainer", lambda self, updates, **more: whole(self, updates + more["grouped"], **more))
    with pytest.raises(SystemExit, match="not make the same updates"):
        train.compare(make, 1, 1)


def test_all_sides_have_the_same_dropout(train: ModuleType, make: Callable[..., Loop]) -> None:
    ours = make(balancing="static")
    theirs = train.Others(make(balancing="static", whole=True)).module.model
    rates = [[m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] for model in (ours.model, theirs)]
    assert rates[0] == rates[1]
    assert max(rates[0]) == 0.1


def test_the_products_are_those_of_the_encoder(train: ModuleType, make: Callable[..., Loop]) -> None:
    loop = make(balancing="static")
    loop.model.encoder.pooling = "first"  # type: ignore[assignment]
    batch = loop._batches().batches[0]
    found = train.products(loop, batch)
    width, inner, needed = 32, 64, int(loop.model._needed(batch, "mood", {}).sum())
    layers = [[(rows, width, width), (rows, width, inner), (rows, inner, width)] for rows in (batch.real, needed)]
    # The last layer looks once into each text: with a query, without keys and values.
    assert [tuple(product) for product in found] == [(batch.real, width, width)] * 3 + layers[0] + [(needed, width, width)] + layers[1]
    assert needed < batch.real
    assert not any(module._forward_hooks for module in loop.model.modules())


def test_each_way_can_be_undone(run: Run, train: ModuleType) -> None:
    found = json.loads(run("--ablation")[-1])
    assert found.keys() == {"ours", *train.ABLATIONS}
    assert found["ours"] == 1
    assert all(found[name] > 0 for name in train.ABLATIONS)


def test_memory_is_that_of_whole_processes(train: ModuleType) -> None:
    found = train.memory(400, few=200)
    assert found["peak_mib"] > 100
    assert abs(found["growth_mib"]) < 100
