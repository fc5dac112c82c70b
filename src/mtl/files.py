"""Atomic writes, to a temporary file that is then renamed: a reader sees the old content or the new, never a mix. And checksums."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtl.errors import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def describe(error: OSError, path: Path | None = None, size: int | None = None) -> str:
    """An error of the system in one line, with the file that it is about.

    Args:
        error: what the system says.
        path: the file that was written, if the error does not name one.
        size: bytes that it needs, if known.
    """
    # A full disk is about what is written, perhaps under a temporary name; other errors may be about what is read.
    name = (path if error.errno in FULL else None) or error.filename2 or error.filename or path
    place = "input or output" if name is None or isinstance(name, int) else os.fsdecode(name)
    if error.errno not in FULL:
        return f"{place}: {error.strerror or error}"
    there = next(folder for folder in (Path(place), *Path(place).parents) if folder.exists())
    needed = "" if size is None else f", {size:,} are needed"
    return f"{place}: the disk is full: {shutil.disk_usage(there).free:,} bytes are free{needed}; make room and run again"


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Name the file that cannot be written; ``size`` is how many bytes it needs.

    Raises:
        StorageError: the disk is full, or read-only.
    """
    try:
        yield
    except Exception as error:  # safetensors has an error of its own, which names the system's only in its text
        number = getattr(error, "errno", None) or int((re.findall(r"os error (\d+)", str(error)) or [0])[0])
        if number not in FULL + READ_ONLY:
            raise
        known = (
            error if isinstance(error, OSError) and error.strerror in (None, os.strerror(number)) else OSError(number, os.strerror(number))
        )
        raise StorageError(describe(known, path, size)) from None


@contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """A temporary path beside ``path``. It is renamed to ``path`` if the block ends without an error, and deleted otherwise.

    The parent folder is created if it is missing. The name contains the process id, because jobs run in parallel.

    Raises:
        StorageError: the disk is full, or read-only; ``size``, in bytes, says how much is needed.
    """
    with writing(path, size):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def existing(path: Path) -> Path | None:
    """The path, if there is something."""
    return path if path.exists() else None


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content. A file with equal content is left untouched, so it keeps its modification time."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def rewrite(path: Path, content: bytes) -> None:
    """Replace the content of a file that the user owns: a link to it stays a link, and its mode stays.

    Raises:
        OSError: the file is missing, or may not be written.
    """
    path = path.resolve()
    if path.read_bytes() == content:
        return
    path.open("r+b").close()  # the rename would replace a write-protected file too
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        shutil.copymode(path, temporary)


def write_text(path: Path, content: str) -> None:
    """Replace a file's content with UTF-8 text; line ends are not converted."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any, *, sort_keys: bool = True) -> None:
    """Replace a file's content with JSON, indented by one space.

    Raises:
        ValueError: the value contains NaN or an infinity.
    """
    write_text(path, json.dumps(value, indent=1, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n")


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
