"""Checkpoints that survive a kill at any moment: written under a temporary name, forced to disk, renamed, the last two kept."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from mtl.errors import TrainingError

KEPT = 2
State = dict[str, Any]
"""Tensors, numbers, strings, and lists and dicts of them: what can be read without running code."""


def write(folder: Path, step: int, identity: str, state: State) -> None:
    """Write the checkpoint of a step, and drop those older than the one before it.

    Args:
        folder: made if it is missing.
        step: steps done so far; names the file.
        identity: fingerprint of all that must be equal for a run to go on from here.
        state: what the run needs.

    Raises:
        TrainingError: the disk is full or not writable; the checkpoints before are untouched.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{step:010d}.pt"
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save({"identity": identity, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(folder)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"{path}: the checkpoint cannot be written: {error}; make room and run again, training then goes on") from None
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()


def read(folder: Path, identity: str) -> tuple[State | None, list[str]]:
    """The newest whole checkpoint of this very run, or ``None``; and a warning for each one that was passed over."""
    warnings: list[str] = []
    for path in reversed(checkpoints(folder)):
        try:
            with zipfile.ZipFile(path) as file:  # torch does not verify the checksums that it writes
                if bad := file.testzip():
                    raise ValueError(f"the checksum of {bad} does not match its bytes")
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["identity"] == identity:
                return content["state"], warnings
            warnings.append(f"{path.name}: this checkpoint belongs to another run (other settings, data or code version) and was skipped")
        except Exception as error:  # readers raise nearly anything on a file that is not a checkpoint
            reason = (str(error) or type(error).__name__).splitlines()[0]
            warnings.append(f"{path.name}: this checkpoint is damaged and was skipped: {reason}")
    return None, warnings


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob("*.pt"))


def remove(folder: Path) -> None:
    """Remove a run's checkpoints, half-written ones too."""
    for path in (*folder.glob("*.pt"), *folder.glob("*.tmp")):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    """Force the rename to disk too: a file's name is part of its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
