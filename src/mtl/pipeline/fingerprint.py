"""Checksums of files, of source code and of settings."""

import functools
import hashlib
import io
import json
import os
import time
import tokenize
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mtl.errors import PipelineError
from mtl.files import checksum, write_json

_PACKAGE = Path(__file__).parents[1]
_LAYOUT = {tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}


def fingerprint(value: Any) -> str:
    """sha256 of a JSON-able value. The order of keys counts: that of datasets and tasks bears on results."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def checksum_code(file: Path) -> str:
    """sha256 of a file of the package; of Python source, that of what is ``significant``."""
    content = significant(file.read_text(encoding="utf-8")).encode() if file.suffix == ".py" else file.read_bytes()
    return hashlib.sha256(content).hexdigest()


def fingerprint_code(names: Iterable[str], checksum: Callable[[Path], str | None] = checksum_code) -> str:
    """sha256 of modules and packages of ``mtl``, such as ``data`` or ``augment/shards.py``, without comments and docstrings.

    Args:
        names: below the package.
        checksum: ``checksum_code``, or what remembers it.
    """
    digests = {}
    for name in names:
        path = _PACKAGE / name
        if not path.exists():
            raise PipelineError(f"{name} is not in the package")
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if "__pycache__" not in file.parts and not file.name.startswith(".") and file.is_file():
                digests[file.relative_to(_PACKAGE).as_posix()] = checksum(file)
    return fingerprint(digests)


def checksums(files: Iterable[Path]) -> list[tuple[str, str]]:
    """Name and sha256 of each file."""
    return [(path.name, checksum(path)) for path in files]


@functools.cache
def significant(source: str) -> str:
    """Python source without comments, docstrings and blank lines: what decides the result, on every version of Python."""
    lines = source.splitlines()
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
        elif token.type == tokenize.NEWLINE:
            if len(statement) == 1 and statement[0].type == tokenize.STRING:
                first, last = statement[0].start[0], statement[0].end[0]
                lines[first - 1 : last] = [""] * (last - first + 1)
            statement = []
        elif token.type not in _LAYOUT:
            statement.append(token)
    return "\n".join(line.rstrip() for line in lines if line.strip())


DAYS = 30
"""After so many a file is read again."""
READ_AGAIN = 2**30
"""Bytes that one process reads again at most, about a second."""


class FileChecksums:
    """sha256 of files, remembered by size, time and inode, so that a look at unchanged data is cheap.

    A file can rot and keep all three, so it is read again some time after its last reading; not more than a few at a time.

    What is known of a folder lies in a small file of its own, read when it is first asked for: a job reads what concerns its inputs,
    however many others there are.

    Args:
        memory: folder of these files.
        digest: what is taken of a file instead of its sha256.
    """

    def __init__(self, memory: Path, digest: Callable[[Path], str] = checksum) -> None:
        self._memory, self._digest = memory, digest
        self._memory_counts = True
        self._known: dict[str, dict[str, list[Any]]] = {}
        self._changed: set[str] = set()
        self._left, self._day = READ_AGAIN, int(time.time() // 86_400)

    def of(self, path: Path) -> str | None:
        """The checksum of a file, or None where there is none."""
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        folder, name = os.path.split(path)
        if folder not in self._known:
            self._known[folder] = self._read(folder)
        known = self._known[folder].get(name)
        if known and known[:3] == stamp and not self._is_due(known):
            return str(known[3])
        digest = self._digest(path)
        self._known[folder][name] = [*stamp, digest, self._day]
        self._changed.add(folder)
        return digest

    def _is_due(self, entry: Sequence[Any]) -> bool:
        """Whether to read a file again although nothing shows that it changed."""
        due = bool(self._day - entry[4] >= DAYS and entry[0] <= self._left)
        self._left -= entry[0] if due else 0
        return due

    def read_again(self) -> None:
        """Read every file that is asked for from now on, once."""
        self._known.clear()
        self._memory_counts = False

    def save(self) -> None:
        """Write what is new."""
        for folder in self._changed:
            files = {name: entry for name, entry in self._known[folder].items() if Path(folder, name).exists()}
            write_json(self._file(folder), {"folder": folder, "files": files})
        self._changed.clear()

    def prune(self) -> None:
        """Forget folders that are gone."""
        for file in self._memory.glob("*.json"):
            if not Path(read_mapping(file).get("folder", "")).is_dir():
                file.unlink()

    def _read(self, folder: str) -> dict[str, list[Any]]:
        files = read_mapping(self._file(folder)).get("files") if self._memory_counts else {}
        entries = files.items() if isinstance(files, dict) else ()
        return {name: entry for name, entry in entries if isinstance(entry, list) and [*map(type, entry)] == [int, int, int, str, int]}

    def _file(self, folder: str) -> Path:
        return self._memory / f"{fingerprint(folder)[:32]}.json"


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON mapping, or an empty one where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def remembered_code(root: Path) -> FileChecksums:
    """The checksums of source files, remembered in a project folder: to read all of them takes a quarter of a second."""
    return FileChecksums(root / "work" / "checksums", checksum_code)
