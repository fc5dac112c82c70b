"""Training on a GPU: ``pytest -m gpu`` where there is one.

With ``MTL_GPU_TESTS_ON=cpu`` those tests that make sense on a CPU run there, so that what has no GPU can rehearse them.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch

from mtl.config import Params
from mtl.model.device import Precision
from mtl.model.prediction import Predictor
from mtl.training.loop import Loop
from mtl.training.prepare import prepare
from mtl.training.run import train
from mtl.training.splits import read_splits

from .loops import break_gradient, break_loss, quiet

DEVICE = os.environ.get("MTL_GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
only_cuda = pytest.mark.skipif(DEVICE != "cuda", reason="needs a CUDA device")

PRECISIONS = ["fp32", "fp16", *(["tf32", "bf16"] if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0) else [])]
SEEDS = (1, 2, 3, 4)


def trained(project: Path, params: Params, out: Path, device: str = DEVICE, seed: int = 1) -> dict[str, Any]:
    run = params.runs()["joint-augmented-1"].model_copy(update={"seed": seed})
    train(params, run, project / "examples", project / "shards", None, out, device=device)
    facts: dict[str, Any] = json.loads((out / "run.json").read_text()) | json.loads((out / "cost.json").read_text())
    return facts


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_reaches_the_score_of_the_cpu(
    project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path], precision: str
) -> None:
    on_cpu = trained(project, make_settings(epochs=8, precision="fp32"), empty("cpu"), device="cpu")
    on_gpu = trained(project, make_settings(epochs=8, precision=precision), empty("gpu"))
    assert on_gpu["precision"] == precision
    assert on_gpu["peak_memory_bytes"] > 0
    assert on_gpu["best_score"] == pytest.approx(on_cpu["best_score"], abs=0.1)


@pytest.fixture(scope="module")
def scores_of_fp32(project: Path, make_settings: Callable[..., Params], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """By seed, on the GPU."""
    params = make_settings(epochs=8, precision="fp32")
    return [trained(project, params, tmp_path_factory.mktemp("fp32"), seed=seed)["best_score"] for seed in SEEDS]


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "fp32"])
def test_every_precision_reaches_the_score_of_fp32_within_the_noise_of_seeds(
    project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path], scores_of_fp32: list[float], precision: str
) -> None:
    """How fast each is on a real encoder: ``benchmarks/precision.py``."""
    params = make_settings(epochs=8, precision=precision)
    scores = [trained(project, params, empty(f"{precision}-{seed}"), seed=seed)["best_score"] for seed in SEEDS]
    assert abs(fmean(scores) - fmean(scores_of_fp32)) <= max(0.03, 2 * stdev(scores_of_fp32))


@only_cuda
def test_tf32_rounds_and_fp32_does_not() -> None:
    torch.manual_seed(0)
    a = torch.randn(512, 512, device="cuda")
    exact, error = a.double() @ a.double(), {}
    for name in ("fp32", "tf32"):
        with Precision(name, torch.device("cuda")).float32_products():
            error[name] = float(((a @ a).double() - exact).abs().max())
    assert error["fp32"] < 1e-3
    assert ("tf32" not in PRECISIONS) or error["tf32"] > 5 * error["fp32"]


@pytest.fixture
def all_memory() -> Iterator[None]:
    """Gives the process the whole memory back."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@only_cuda
@pytest.mark.usefixtures("all_memory")
def test_a_step_that_does_not_fit_is_cut_smaller(
    project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    def settings(limit: int | None) -> Params:
        wide = {"encoder__width": 2048, "encoder__window": 8, "encoder__dropout": 0.0}
        return make_settings(epochs=2, batch_tokens=4000, precision="fp32", optimizer="sgd", micro_batch_tokens=limit, **wide)

    def peak(limit: int | None) -> tuple[int, float]:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        facts = trained(project, settings(limit), empty(f"limit-{limit}"))
        return torch.cuda.max_memory_reserved(), facts["best_score"]

    (high, score), (low, _) = peak(None), peak(32)
    assert high > 1.2 * low
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((low + high) / 2 / torch.cuda.get_device_properties(0).total_memory)
    with caplog.at_level(logging.WARNING):
        facts = trained(project, settings(None), empty("short"))
    for messages in (facts["warnings"], caplog.messages):
        assert sum("ran out, so micro-batches were cut to" in message for message in messages) == 1, messages
    assert facts["best_score"] == pytest.approx(score, abs=0.02)


def test_a_model_predicts_alike_on_both_devices(project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path]) -> None:
    out = empty("model")
    trained(project, make_settings(precision="fp32"), out)
    rows = [["we", "saw", "Oslo"], ["the", "film", "was", "great"]]
    on_cpu, on_gpu = (Predictor.load(out, device=device).predict(rows) for device in ("cpu", DEVICE))
    for task, predictions in on_cpu.items():
        for cpu, gpu in zip(predictions, on_gpu[task], strict=True):
            assert gpu.confidence == pytest.approx(cpu.confidence, abs=1e-3)
            assert gpu.value == (pytest.approx(cpu.value, abs=1e-3) if isinstance(cpu.value, float) else cpu.value)


@only_cuda
def test_auto_takes_the_gpu(project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path]) -> None:
    facts = trained(project, make_settings(epochs=1), empty("auto"), device="auto")
    assert facts["precision"] in PRECISIONS
    assert facts["device"] == torch.cuda.get_device_name()


@pytest.fixture
def make_gpu_loop(project: Path, make_settings: Callable[..., Params]) -> Callable[..., Loop]:
    """Makes the loop of a plain joint run on the GPU, without dropout."""

    def make(precision: str, **options: Any) -> Loop:
        params = make_settings(encoder__dropout=0.0, **options)
        run = params.runs()["joint-plain-1"]
        splits = read_splits(params, run, project / "examples", project / "shards")
        return prepare(params, run, splits, None, Precision(precision, torch.device(DEVICE)))[0]

    return make


@pytest.mark.parametrize("precision", PRECISIONS)
def test_planted_infinities_are_skipped_and_counted(make_gpu_loop: Callable[..., Loop], precision: str) -> None:
    loop = make_gpu_loop(precision, epochs=8)
    break_gradient(loop, {30})
    break_loss(loop, "rating", {33})
    quiet(loop)
    found = loop.progress
    assert found.lost == {"rating": 1}
    assert found.skipped == 1 if precision != "fp16" else 1 <= found.skipped <= 8  # fp16 lowers its loss scale in the first steps
    assert found.updates == found.step - found.skipped
    assert all(torch.isfinite(parameter).all() for parameter in loop.model.parameters())


class Interrupted(Exception):  # noqa: N818 - planted
    """A run was interrupted on purpose."""


def losses(out: Path) -> list[dict[str, float]]:
    """The losses of a run's records."""
    records = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records if record["kind"] == "train"]


def interrupt(history: Any, done: float) -> None:
    raise Interrupted


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_interrupted_run_resumes_to_the_same_model(
    project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path], precision: str
) -> None:
    """Bitwise on a CPU; a GPU may add in another order each time."""
    params = make_settings(epochs=2, precision=precision)
    run = params.runs()["joint-augmented-1"]
    paths = (project / "examples", project / "shards", None)
    whole, parts = empty("whole"), empty("parts")
    train(params, run, *paths, whole, device=DEVICE)
    with pytest.raises(Interrupted):
        train(params, run, *paths, parts, device=DEVICE, watch=interrupt)
    assert list((parts / "checkpoint").iterdir())
    train(params, run, *paths, parts, device=DEVICE)
    if DEVICE == "cpu":
        assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    for one, other in zip(losses(whole), losses(parts), strict=True):
        assert other == pytest.approx(one, rel=0.05)
    facts = [json.loads((out / "run.json").read_text()) for out in (whole, parts)]
    assert facts[1]["steps"] == facts[0]["steps"]
    assert facts[1]["best_score"] == pytest.approx(facts[0]["best_score"], abs=0.05)
