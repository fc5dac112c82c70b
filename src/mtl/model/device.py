"""Where to compute, and in which number format."""

import functools
import os
import resource
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from mtl.encoders.products import bf16_products, fast_float32, has_bf16_units, has_int8_units
from mtl.errors import TrainingError
from mtl.model import speed

MICRO_BATCH = {"cpu": (512, 48), "cuda": (32_768, 4_096)}
"""Device to the largest size of a micro-batch and the cost of starting one, both in subwords (see ``batching.micro_batches``).
A CPU wants what fits its caches and pays little for one more; a GPU wants few and large ones."""
PACKED_MICRO_BATCH = (1024, 256)
"""The same where padding is not computed (on a CPU): unlike lengths can share a micro-batch, so there may be few."""
PREDICTION = ("fp32", "bf16", "int8")
"""Number formats to predict in."""


@dataclass(frozen=True, slots=True)
class Precision:
    """A number format for the forward pass: ``fp32``, ``tf32``, ``bf16``, ``fp16``, which needs loss scaling, or ``int8``, which is for
    prediction."""

    name: str
    device: torch.device
    reason: str = ""
    """Why it was chosen, if it was."""

    @property
    def dtype(self) -> torch.dtype | None:
        """The 16-bit format, ``None`` without one."""
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.name)

    @property
    def products(self) -> torch.dtype:
        """The format of products in layers for prediction on a CPU (see ``Encoder.fuse``)."""
        return {"bf16": torch.bfloat16, "int8": torch.int8}.get(self.name, torch.float32)

    def autocast(self) -> AbstractContextManager[None]:
        """The context of forward pass and losses. On a CPU only products of linear layers change in it, unless the format is fp16 (see
        ``encoders/products.py``)."""
        if self.device.type == "cpu" and self.dtype != torch.float16:
            return bf16_products() if self.name == "bf16" else fast_float32()
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, dtype=self.dtype)

    @contextmanager
    def float32_products(self) -> Iterator[None]:
        """Within it, float32 products on a GPU are rounded to TF32 if that is the format, and not if it is another; afterwards all is as
        before. torch by itself rounds convolutions and recurrent layers, but not matrix products. On a CPU nothing changes.
        """
        if self.device.type != "cuda":
            yield
            return
        rounded = self.name == "tf32"
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if rounded else "highest")
        torch.backends.cudnn.allow_tf32 = rounded
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]

    def scaler(self) -> torch.amp.GradScaler:
        """The one loss scaler of a run; it does nothing unless the format is fp16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes a GPU where there is one: of several one that no other job has taken so.

    Raises:
        TrainingError: the device is not there.
    """
    if name == "auto":
        name = f"cuda:{_own_gpu()[0]}" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(f"device {name!r} is not available; choose from: auto, cpu")
    return torch.device(name)


@functools.cache
def _own_gpu() -> tuple[int, FileLock | None]:
    """The number of this process's GPU, and its lock where there are several; kept as long as the process lives.

    GPUs are told apart by what they are, since each process may see, and number, others.
    """
    number = torch.cuda.device_count()
    if number == 1:
        return 0, None
    return first_free([str(torch.cuda.get_device_properties(i).uuid) for i in range(number)], tempfile.gettempdir())


def first_free(names: Sequence[str], folder: str | Path) -> tuple[int, FileLock | None]:
    """The index of the first name that no other process of this user has taken in the folder, else 0.

    It is taken as long as the lock that comes with it is kept, and no longer than this process lives, however it ends.
    """
    for i, name in enumerate(names):
        lock = FileLock(Path(folder, f"mtl-{os.getuid()}-{name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return i, lock
    return 0, None


def choose_precision(setting: str, device: torch.device, encoder: Path | None = None) -> Precision:
    """What a setting of ``train.precision`` means on a device.

    Args:
        setting: its value.
        device: where to train.
        encoder: folder of a transformer. On a CPU, ``auto`` is bf16 if layers of its size train faster so; without a folder it is fp32.
    """
    if setting != "auto":
        return Precision(setting, device)
    if device.type == "cpu":
        found = 0.0 if encoder is None else speed.bf16_speed(encoder)
        reason = f"bf16 trains {found:.2f} times as fast as fp32 on this CPU" if found else ""
        return Precision("bf16" if found >= speed.PAYS else "fp32", device, reason)
    capability = torch.cuda.get_device_capability(device)
    return Precision("bf16" if capability >= (8, 0) else "fp16" if capability >= (7, 0) else "fp32", device)


def for_prediction(name: str, device: torch.device) -> Precision:
    """A number format to predict in.

    Raises:
        TrainingError: it is none of ``PREDICTION``, or the device would take many times longer with it.
    """
    if name not in PREDICTION:
        raise TrainingError(f"precision {name!r} is not known; choose from: {', '.join(PREDICTION)}")
    if name == "bf16" and device.type == "cpu" and not has_bf16_units():
        raise TrainingError("precision 'bf16' needs a CPU with avx512_bf16 or amx_bf16 (see lscpu), which this one has not; choose fp32")
    if name == "int8" and not (device.type == "cpu" and has_int8_units()):
        raise TrainingError("precision 'int8' needs a CPU with avx512_vnni, avx_vnni or amx_int8 (see lscpu); choose fp32 or bf16")
    return Precision(name, device)


def peak_memory(device: torch.device) -> int:
    """The most memory used so far, in bytes: of the GPU, or of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
