"""Atomic writes, to a temporary file that is then renamed: a reader sees the old content or the new, never a mix. And checksums."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``. It is renamed to ``path`` if the block ends without an error, and deleted otherwise.

    The parent folder is created if it is missing. The name contains the process id, because jobs run in parallel.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content. A file with equal content is left untouched, so it keeps its modification time."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    with replacing(path) as temporary:
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
