"""Sums of files, of source code and of settings."""

import hashlib
import io
import json
import os
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
_LAYOUT = {tokenize.INDENT: "\x01", tokenize.DEDENT: "\x02", tokenize.NEWLINE: "\n"}
_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}


def sum_of(value: Any) -> str:
    """sha256 of a JSON-able value. The order of keys counts: that of data sets and tasks bears on results."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def sum_of_code(names: Iterable[str]) -> str:
    """sha256 of parts of this package, such as ``data`` or ``augment/shards.py``: of Python files all but comments and docstrings."""
    sums = {}
    for name in names:
        path = _PACKAGE / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith("."):
                content = significant(file.read_text(encoding="utf-8")).encode() if file.suffix == ".py" else file.read_bytes()
                sums[file.relative_to(_PACKAGE).as_posix()] = hashlib.sha256(content).hexdigest()
    return sum_of(sums)


def significant(source: str) -> str:
    """Python source without comments, docstrings and blank lines: what decides the result."""
    parts: list[str] = []
    statement: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _SKIPPED:
            continue
        if token.type == tokenize.NEWLINE:
            lone_string = len(statement) == 1 and statement[0].lstrip("rRuU")[:1] in {"'", '"'}
            parts += [] if lone_string else [*statement, "\n"]
            statement = []
        elif token.type in _LAYOUT:
            parts.append(_LAYOUT[token.type])
        else:
            statement.append(token.string)
    return " ".join(parts)


class FileSums:
    """sha256 of files, remembered by size, time and inode in one small file, so that a look at unchanged data is cheap."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._changed = False
        try:
            self._known: dict[str, list[Any]] = json.loads(memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str | None:
        """The sum of a file, or None where there is none."""
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known and known[:3] == stamp:
            return str(known[3])
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[str(path)] = [*stamp, found]
        self._changed = True
        return found

    def save(self) -> None:
        """Keep what was learnt."""
        if self._changed:
            self._known = {path: entry for path, entry in self._known.items() if Path(path).exists()}
            write_json(self._memory, self._known)
            self._changed = False


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file with its keys sorted."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, content: str) -> None:
    """Write a file to a temporary name, then rename it; a file that holds the same already is left alone."""
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # jobs run side by side
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
