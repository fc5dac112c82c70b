"""Files that cannot be written: a small disk that is full, and one that is read-only."""

import errno
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from mtl.cli import main
from mtl.config import Source
from mtl.data import archives
from mtl.data.sources import fetch, fingerprint
from mtl.errors import StorageError
from mtl.files import describe, replacing, write_text
from mtl.pipeline.store import link

SIZE = 300_000


def numbers() -> Any:
    return np.random.default_rng(0).random(SIZE // 8)


def parquet(path: Path) -> None:
    with replacing(path) as temporary:
        pq.write_table(pa.table({"a": numbers()}), temporary)


def weights(path: Path) -> None:
    with replacing(path) as temporary:
        save_file({"a": numbers()}, temporary)


def archive(path: Path) -> None:
    source = path.parents[1] / "a.tar"
    with tarfile.open(source, "w") as file:
        member = tarfile.TarInfo("a")
        member.size = SIZE
        file.addfile(member, io.BytesIO(bytes(SIZE)))
    archives.extract(source, "tar", "a", path)


def source(path: Path) -> None:
    data = path.parents[1] / path.name
    data.write_bytes(bytes(SIZE))
    fetch(Source(url=str(data), sha256=fingerprint(data)), path.parent)


def linked(path: Path) -> None:
    data = path.parents[1] / "data"
    data.write_bytes(bytes(SIZE))
    link(data, path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "a" * SIZE),
    "parquet": parquet,
    "weights": weights,
    "archive": archive,
    "source": source,
    "link": linked,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_named_with_what_is_needed(name: str, disk: Path) -> None:
    with pytest.raises(StorageError) as caught:
        WRITERS[name](disk / "file")
    message = str(caught.value)
    assert str(disk) in message
    assert "/file: the disk is full: " in message
    assert "bytes are free" in message
    assert ("300,000 are needed" in message) == (name not in ("parquet", "weights"))
    assert "\n" not in message


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_disk_is_named(name: str, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises((StorageError, OSError)) as caught:
        WRITERS[name](disk / "file")
    message = str(caught.value) if isinstance(caught.value, StorageError) else describe(caught.value)
    assert "Read-only file system" in message
    assert str(disk) in message
    assert "\n" not in message


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        (tmp_path / "nowhere").read_text()
    with pytest.raises(ValueError, match="no number"), replacing(tmp_path / "a"):
        raise ValueError("no number")


def test_the_command_line_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mtl.config.json_schema", full)
    assert main(["schema"]) == 2
    assert capsys.readouterr().err.startswith("input or output: the disk is full: ")
