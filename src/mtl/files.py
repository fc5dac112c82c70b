"""Files written to a temporary name and renamed: a reader sees the old content or the new, never a part of it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends without an error, and is deleted otherwise.

    The parent folder is made if it is missing. Names carry the process id: jobs run side by side.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content. A file that holds it already is left as it is, with its time."""
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Replace a file's content with UTF-8 text; line ends stay as given."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any, *, sort_keys: bool = True) -> None:
    """Replace a file's content with JSON, indented by one space. NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n")
