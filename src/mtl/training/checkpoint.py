"""Checkpoints that survive a kill at any moment: written under a temporary name, forced to disk, renamed, the last two kept."""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from mtl.errors import TrainingError

KEPT = 2
State = dict[str, Any]
"""Tensors, numbers, strings, and lists and dicts of them: all that a reader which runs no code accepts."""


def write(folder: Path, step: int, identity: str, state: State) -> None:
    """Write the checkpoint of a step, and drop those older than the one before it.

    Args:
        folder: made if it is not there.
        step: updates tried so far; names the file.
        identity: digest of all that must be equal for a run to go on from here.
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
    for old in found(folder)[:-KEPT]:
        old.unlink()


def read(folder: Path, identity: str) -> tuple[State | None, list[str]]:
    """The newest checkpoint that is whole and of this very run, or ``None``; and a warning for each one that was passed over."""
    warnings: list[str] = []
    for path in reversed(found(folder)):
        try:
            with zipfile.ZipFile(path) as file:  # torch does not look at the checksums that it writes
                if bad := file.testzip():
                    raise ValueError(f"the checksum of {bad} is not that of its bytes")
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["identity"] == identity:
                return content["state"], warnings
            warnings.append(f"{path.name}: this checkpoint belongs to another run (other settings, data or code version) and was skipped")
        except Exception as error:  # what is not a checkpoint makes readers raise nearly anything
            reason = (str(error) or type(error).__name__).splitlines()[0]
            warnings.append(f"{path.name}: this checkpoint is damaged and was skipped: {reason}")
    return None, warnings


def found(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob("*.pt"))


def remove(folder: Path) -> None:
    """Remove a run's checkpoints, half-written ones too."""
    for path in (*folder.glob("*.pt"), *folder.glob("*.tmp")):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last: a file's new name lives in its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
