"""Checkpoints: newest whole one of this run, and never a half-written one."""

import resource
import signal
import zipfile
from pathlib import Path

import pytest
import torch

from mtl.errors import TrainingError
from mtl.training import checkpoint


def state(step: int) -> checkpoint.State:
    return {"step": step, "weights": {"a": torch.full((1000,), float(step))}, "note": None}


def write_steps(folder: Path, *steps: int, identity: str = "run") -> Path:
    for step in steps:
        checkpoint.write(folder, step, identity, state(step))
    return folder


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    folder = write_steps(tmp_path / "checkpoint", 5, 10, 15)
    assert [path.name for path in sorted(folder.iterdir())] == ["0000000010.pt", "0000000015.pt"]
    result, warnings = checkpoint.read(folder, "run")
    assert result is not None
    assert (result["step"], result["weights"]["a"][0].item(), warnings) == (15, 15.0, [])


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "pickle", "list", "bit", "zip"])
def test_a_damaged_one_is_named_and_skipped(tmp_path: Path, damage: str) -> None:
    folder = write_steps(tmp_path / "checkpoint", 5, 10)
    newest = folder / "0000000010.pt"
    match damage:
        case "truncated":
            newest.write_bytes(newest.read_bytes()[:-300])
        case "empty":
            newest.write_bytes(b"")
        case "text":
            newest.write_text("no checkpoint")
        case "pickle":
            torch.save({"identity": "run", "state": Path("x")}, newest)
        case "list":
            torch.save([1, 2], newest)
        case "bit":  # of a weight
            content = bytearray(newest.read_bytes())
            content[content.index(torch.tensor([10.0] * 9).numpy().tobytes()) + 7] ^= 64
            newest.write_bytes(content)
        case "zip":
            with zipfile.ZipFile(newest, "w") as file:
                file.writestr("archive/data.pkl", b".")
    result, warnings = checkpoint.read(folder, "run")
    assert result is not None
    assert result["step"] == 5
    assert len(warnings) == 1
    assert warnings[0].startswith("0000000010.pt: this checkpoint is damaged and was skipped")


def test_a_foreign_one_is_named_and_skipped(tmp_path: Path) -> None:
    folder = write_steps(tmp_path / "checkpoint", 5)
    write_steps(folder, 10, identity="other")
    result, warnings = checkpoint.read(folder, "run")
    assert result is not None
    assert result["step"] == 5
    assert "0000000010.pt: this checkpoint belongs to another run" in warnings[0]
    assert checkpoint.read(folder, "third")[0] is None


def test_nothing_there(tmp_path: Path) -> None:
    assert checkpoint.read(tmp_path / "checkpoint", "run") == (None, [])
    checkpoint.remove(tmp_path / "checkpoint")


def test_a_full_disk_leaves_the_checkpoints_before_as_they_were(disk: Path) -> None:
    folder = write_steps(disk / "checkpoint", 5, 10)
    before = [path.read_bytes() for path in checkpoint.checkpoints(folder)]
    (disk / "other").write_bytes(bytes(48 * 1024))
    with pytest.raises(TrainingError, match=r"0000000015\.pt: the checkpoint cannot be written: .*make room and run again"):
        write_steps(folder, 15)
    assert [path.name for path in sorted(folder.iterdir())] == ["0000000005.pt", "0000000010.pt"]
    assert [path.read_bytes() for path in checkpoint.checkpoints(folder)] == before
    (disk / "other").unlink()
    result, warnings = checkpoint.read(write_steps(folder, 15), "run")
    assert result is not None
    assert (result["step"], warnings) == (15, [])


def test_a_file_that_cannot_grow_leaves_the_older_one(tmp_path: Path) -> None:
    folder = write_steps(tmp_path / "checkpoint", 5)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        with pytest.raises(TrainingError, match=r"0000000010\.pt: the checkpoint cannot be written: .*make room and run again"):
            write_steps(folder, 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in folder.iterdir()] == ["0000000005.pt"]


def test_remove_takes_half_written_ones_too(tmp_path: Path) -> None:
    folder = write_steps(tmp_path / "checkpoint", 5)
    (folder / "0000000010.tmp").write_bytes(b"half")
    checkpoint.remove(folder)
    assert not folder.exists()
