"""Checksums of files, of source code and of settings."""

import functools
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtl.errors import PipelineError
from mtl.files import checksum, write_json

_PACKAGE = Path(__file__).parents[1]
_LAYOUT = {tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}


def fingerprint(value: Any) -> str:
    """sha256 of a JSON-able value. The order of keys counts: that of datasets and tasks bears on results."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()


def fingerprint_code(names: Iterable[str]) -> str:
    """sha256 of modules and packages of ``mtl``, such as ``data`` or ``augment/shards.py``, without comments and docstrings."""
    digests = {}
    for name in names:
        path = _PACKAGE / name
        if not path.exists():
            raise PipelineError(f"{name} is not in the package")
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith("."):
                content = significant(file.read_text(encoding="utf-8")).encode() if file.suffix == ".py" else file.read_bytes()
                digests[file.relative_to(_PACKAGE).as_posix()] = hashlib.sha256(content).hexdigest()
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


class FileChecksums:
    """sha256 of files, remembered by size, time and inode in one small file, so that a look at unchanged data is cheap."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._changed = False
        try:
            self._known: dict[str, list[Any]] = json.loads(memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str | None:
        """The checksum of a file, or None where there is none."""
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known and known[:3] == stamp:
            return str(known[3])
        digest = checksum(path)
        self._known[str(path)] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write the file."""
        if self._changed:
            self._known = {path: entry for path, entry in self._known.items() if Path(path).exists()}
            write_json(self._memory, self._known)
            self._changed = False
