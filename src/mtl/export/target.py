"""The folder that an export writes."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl.errors import ExportError
from mtl.files import writing


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out``. It is renamed to ``out`` if the block ends without an error, and deleted otherwise.

    Raises:
        ExportError: ``out`` exists.
        StorageError: the disk is full, or read-only.
    """
    if out.exists():
        raise ExportError(f"{out}: exists already; name a new folder with --out, or delete this one")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            temporary.chmod(0o755)
            yield temporary
            temporary.rename(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
