"""Training on a GPU: ``pytest -m gpu`` where there is one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mtl.params import Params
from mtl.training.predictor import Predictor
from mtl.training.run import train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

PRECISIONS = ["fp32", "fp16", *(["bf16"] if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0) else [])]


def trained(project: Path, params: Params, out: Path, device: str = "cuda") -> dict[str, Any]:
    train(params, params.runs()["joint-augmented-1"], project / "examples", project / "shards", None, out, device=device)
    facts: dict[str, Any] = json.loads((out / "run.json").read_text())
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


def test_a_model_answers_alike_on_both_devices(project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path]) -> None:
    out = empty("model")
    trained(project, make_settings(precision="fp32"), out)
    rows = [["we", "saw", "Oslo"], ["the", "film", "was", "great"]]
    found = {device: Predictor.load(out, device=device).predict(rows) for device in ("cpu", "cuda")}
    for task, answers in found["cpu"].items():
        for cpu, gpu in zip(answers, found["cuda"][task], strict=True):
            assert gpu.confidence == pytest.approx(cpu.confidence, abs=1e-3)
            assert gpu.value == (pytest.approx(cpu.value, abs=1e-3) if isinstance(cpu.value, float) else cpu.value)


def test_auto_takes_the_gpu(project: Path, make_settings: Callable[..., Params], empty: Callable[[str], Path]) -> None:
    facts = trained(project, make_settings(epochs=1), empty("auto"), device="auto")
    assert facts["precision"] in PRECISIONS
    assert facts["device"] == torch.cuda.get_device_name()
