"""The store of built jobs: each under the fingerprint of all that decided it, so that it can never be stale.

``work/store/<key>/`` holds a job's files, ``work/store/<key>.json`` their checksums; the latter is written last, so that what it names is
complete.
What is being built lies in ``work/store/<key>.job/`` and survives a kill, for jobs that can resume.
"""

import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from mtl.errors import PipelineError
from mtl.files import write_json, writing
from mtl.pipeline.fingerprint import FileChecksums, read_mapping

Files = dict[str, str]
"""Relative path to sha256."""


def are_files(value: Any) -> bool:
    """Whether a value, read from a file that may be damaged or of others, is relative paths with checksums."""
    if not isinstance(value, dict) or not all(isinstance(checksum, str) for checksum in value.values()):
        return False
    return not any(path.startswith("/") or ".." in path.split("/") for path in value)


def files_below(folder: Path) -> list[str]:
    """The files below a folder, as sorted relative paths; without temporary ones, which a kill may have left."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp")


def link(source: Path, target: Path) -> None:
    """Put a file at another place without copying it where the file system can; replaces what is there in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    with writing(target, source.stat().st_size):
        try:
            temporary.hardlink_to(source)
        except OSError:
            shutil.copy2(source, temporary)
        temporary.replace(target)
    temporary.unlink(missing_ok=True)  # renaming one name of a file to another of the same file leaves both


class Store:
    """Built jobs by their keys."""

    def __init__(self, folder: Path, checksums: FileChecksums) -> None:
        self.folder = folder
        self.damaged: list[str] = []
        """Files that differ from what was stored; their jobs count as not built."""
        self._checksums = checksums

    def files(self, key: str) -> Files | None:
        """A job's files and their checksums, or None where it is not there or was tampered with."""
        files = read_mapping(self.folder / f"{key}.json")
        if not files or not are_files(files):
            return None
        damaged = self._damaged(key, files)
        self.damaged += damaged
        if damaged:
            self.drop(key)
        return files if not damaged else None

    def verify(self) -> list[str]:
        """The files of all jobs that are not what was stored."""
        keys = [path.stem for path in sorted(self.folder.glob("[!.]*.json"))]
        return [file for key in keys for file in self._damaged(key, read_mapping(self.folder / f"{key}.json"))]

    def _damaged(self, key: str, files: Files) -> list[str]:
        paths = {self.folder / key / path: checksum for path, checksum in files.items()}
        return [str(path) for path, checksum in paths.items() if self._checksums.of(path) != checksum]

    def lock(self, key: str) -> FileLock:
        """Held while a job is built, and let go by the system when its process dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f"{key}.lock")

    def begin(self, key: str, resume: bool) -> Path:
        """The folder in which a job is built; emptied unless its job can resume."""
        folder, whole = self.folder / f"{key}.job", self.folder / key
        if resume and whole.exists() and not folder.exists():
            whole.rename(folder)  # killed while its checksums were taken: all is done but that
        if folder.exists() and not resume:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish(self, key: str) -> Files:
        """Take a built job into the store.

        Raises:
            PipelineError: the job wrote no file.
        """
        folder, target = self.folder / f"{key}.job", self.folder / key
        if not files_below(folder):
            raise PipelineError(f"{folder}: the job wrote no file")
        if target.exists():
            shutil.rmtree(target)
        folder.rename(target)
        return self._seal(key)

    def adopt(self, key: str, published: Path, files: Files) -> bool:
        """Take published files of a job into the store, if they are there and intact."""
        if any(self._checksums.of(published / path) != checksum for path, checksum in files.items()):
            return False
        target = self.folder / key
        if target.exists():
            shutil.rmtree(target)
        for path in files:
            link(published / path, target / path)
        self._seal(key)
        return True

    def prune(self, wanted: set[str]) -> int:
        """Delete all jobs but the wanted ones; returns how many."""
        for left in self.folder.glob(".*"):  # by a kill between writing and renaming
            left.unlink()
        keys = {path.name.partition(".")[0] for path in self.folder.glob("*")}
        for key in keys - wanted:
            self.drop(key)
            (self.folder / f"{key}.lock").unlink(missing_ok=True)
            self.abandon(key)
        return len(keys - wanted)

    def abandon(self, key: str) -> None:
        """Delete what was built of a job."""
        shutil.rmtree(self.folder / f"{key}.job", ignore_errors=True)

    def _seal(self, key: str) -> Files:
        files: Files = {path: self._checksums.of(self.folder / key / path) or "" for path in files_below(self.folder / key)}
        write_json(self.folder / f"{key}.json", files)
        self._checksums.save()
        return files

    def drop(self, key: str) -> None:
        """Delete a job."""
        (self.folder / f"{key}.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / key, ignore_errors=True)
