"""Device and number format."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mtl.encoders.products import FORMAT
from mtl.errors import TrainingError
from mtl.model.device import Precision, choose_device, choose_precision, for_prediction, peak_memory

CPU = torch.device("cpu")


def test_auto_is_fp32_on_a_cpu() -> None:
    precision = choose_precision("auto", CPU)
    assert (precision.name, precision.dtype, precision.scaler().is_enabled()) == ("fp32", None, False)


@pytest.mark.parametrize(
    ("name", "dtype", "scales"),
    [("fp32", None, False), ("tf32", None, False), ("bf16", torch.bfloat16, False), ("fp16", torch.float16, True)],
)
def test_a_format_that_is_asked_for_is_used(name: str, dtype: torch.dtype | None, scales: bool) -> None:
    precision = choose_precision(name, CPU)
    assert (precision.dtype, precision.scaler().is_enabled()) == (dtype, scales)
    with precision.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert FORMAT.get() in {"bf16": ("bf16",), "fp16": ("",)}.get(name, ("", "onednn"))
    assert product.dtype == (torch.float16 if name == "fp16" else torch.float32)


@pytest.mark.parametrize(("capability", "name"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"), ((7, 0), "fp16"), ((6, 1), "fp32")])
def test_auto_goes_by_what_a_gpu_can_do(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda")).name == name


def test_bf16_is_refused_for_prediction_where_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl.model.device.has_bf16_units", lambda: False)
    assert for_prediction("fp32", CPU).name == "fp32"
    with pytest.raises(TrainingError, match="needs a CPU with avx512_bf16 or amx_bf16"):
        for_prediction("bf16", CPU)
    with pytest.raises(TrainingError, match="'fp16' is not known; choose from: fp32, bf16, int8"):
        for_prediction("fp16", CPU)
    monkeypatch.setattr("mtl.model.device.has_bf16_units", lambda: True)
    assert for_prediction("bf16", CPU).dtype == torch.bfloat16


def test_int8_is_refused_where_sums_may_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for units, device in ((False, CPU), (True, torch.device("cuda"))):
        monkeypatch.setattr("mtl.model.device.has_int8_units", lambda units=units: units)
        with pytest.raises(TrainingError, match="needs a CPU with avx512_vnni, avx_vnni or amx_int8"):
            for_prediction("int8", device)
    assert for_prediction("int8", CPU).dtype is None


def rounding() -> tuple[str, bool]:
    """How float32 products are rounded on a GPU: matrix products, then convolutions and recurrent layers."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("name", "device", "within"),
    [
        ("tf32", "cuda", ("high", True)),
        ("fp32", "cuda", ("highest", False)),
        ("bf16", "cuda", ("highest", False)),
    ],
)
def test_products_are_rounded_as_named_and_as_before_afterwards(name: str, device: str, within: tuple[str, bool]) -> None:
    before = rounding()
    assert before == ("highest", True)  # the defaults of torch
    with Precision(name, torch.device(device)).float32_products():
        assert rounding() == within
    assert rounding() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named() -> None:
    assert choose_device("auto") == CPU
    with pytest.raises(TrainingError, match="'cuda:1' is not available; choose from: auto, cpu"):
        choose_device("cuda:1")


def test_jobs_side_by_side_take_a_gpu_each_and_let_it_go_when_killed(tmp_path: Path) -> None:
    code = f"from mtl.model.device import first_free; i, lock = first_free(['a', 'b'], {str(tmp_path)!r}); print(i, flush=True); input()"

    def job() -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def taken(process: "subprocess.Popen[str]") -> str:
        assert process.stdout
        return process.stdout.readline().strip()

    first, second = job(), None
    try:
        assert taken(first) == "0"
        second = job()
        assert taken(second) == "1"
        first.kill()
        first.wait()
        first = job()
        assert taken(first) == "0"
    finally:
        for process in (first, second):
            if process:
                process.kill()
                process.communicate()


def test_peak_memory_is_in_bytes() -> None:
    assert 50e6 < peak_memory(CPU) < 1e12
