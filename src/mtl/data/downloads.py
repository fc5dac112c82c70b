"""Downloads of whole files to a cache folder: under a lock, to a ``.part`` name, resumed by HTTP range, renamed when complete."""

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import fsspec
from filelock import FileLock
from httpx2 import HTTPError, HTTPStatusError, InvalidURL, Response
from tqdm import tqdm
from unearth.fetchers.sync import PyPIClient

from mtl.config import is_pattern
from mtl.config.urls import redacted
from mtl.data.archives import CHUNK, LIMITS, remove
from mtl.errors import MtlError, SourceError
from mtl.files import checksum, writing
from mtl.progress import progress_bar

CACHE = Path("work/downloads")
"""Where complete downloads are kept, relative to the current folder."""
ATTEMPTS = 4
"""The first attempt and three retries."""
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which a retry may help."""

T = TypeVar("T")


class Artifact(NamedTuple):
    """A file on a server, with the checksums that its publisher states (algorithm to accepted checksums)."""

    url: str
    filename: str
    hashes: Mapping[str, list[str]] = {}
    written: str | None = None
    """The URL with its variables, where it has any: the cache must not depend on a secret."""


def file_name(url: str) -> str:
    """The last part of a URL's path, as a valid file name."""
    path = urlsplit(url).path if "://" in url else url
    name = re.sub(r"[^\w.=+-]", "_", unquote(path).rstrip("/").rpartition("/")[2]).lstrip(".")
    return name[-120:] or "file"


def cached(url: str, name: str, cache: Path) -> Path:
    """Path of a URL's file or folder in the cache."""
    return cache / hashlib.sha256(url.encode()).hexdigest()[:16] / name


def retried(action: Callable[[], T], url: str, *, errors: tuple[type[Exception], ...] = (HTTPError,), pause: float = 0.5) -> T:
    """Run an action and retry it after a transient error, with pauses that double.

    Raises:
        SourceError: the last attempt failed, or the error is permanent.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except errors as error:
            if isinstance(error, HTTPStatusError) and error.response.status_code not in TRANSIENT_STATUS:
                raise SourceError(f"{redacted(url)}: the server returned {_status(error.response)}") from None
            if attempt == ATTEMPTS:
                reason = redacted(str(error)) or type(error).__name__
                raise SourceError(f"{redacted(url)}: cannot be fetched ({ATTEMPTS} attempts): {reason}") from None
        except InvalidURL as error:
            raise SourceError(f"{redacted(url)}: is not a valid URL: {error}") from None
        time.sleep(pause * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def download(artifact: Artifact, cache: Path, session: PyPIClient, *, progress: bool = False, fresh: bool = False) -> Path:
    """Fetch a file and return its path in the cache; concurrent processes fetch it once. ``fresh`` drops the cached file first.

    Raises:
        SourceError: the file cannot be fetched, or its checksum is not the publisher's.
    """
    target = cached(artifact.written or artifact.url, artifact.filename, cache)
    with locked(target):
        if fresh:
            remove(target)
        if not target.exists():
            part = target.with_name(f"{target.name}.part")
            with writing(part):
                retried(lambda: _transfer(session, artifact, part, progress), artifact.url)
            _check_publisher(artifact, part)
            _validator(part).unlink(missing_ok=True)
            part.replace(target)
    return target


def locked(target: Path) -> FileLock:
    """A lock between processes for one entry of the cache."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(target.with_name(f"{target.name}.lock"))


def probe(url: str, session: PyPIClient) -> None:
    """Check that a server has a file, without reading it.

    Raises:
        SourceError: the file cannot be fetched.
    """

    def request() -> None:
        # A ranged GET rather than HEAD: some stores sign URLs for GET alone.
        with session.stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
            if response.status_code != 416:  # an empty file has no byte 0
                response.raise_for_status()

    retried(request, url)


def _transfer(session: PyPIClient, artifact: Artifact, part: Path, progress: bool) -> None:
    """One attempt: continue ``part`` if the server says that the file is unchanged, else start over."""
    received = part.stat().st_size if part.exists() else 0
    validator = _validator(part).read_text(encoding="utf-8") if received and _validator(part).exists() else ""
    headers = {"Accept-Encoding": "identity"}
    if validator:
        headers |= {"Range": f"bytes={received}-", "If-Range": validator}
    with session.stream("GET", artifact.url, headers=headers) as response:
        if response.status_code == 416:  # nothing follows the bytes received: the file may have changed
            remove(part)
            _validator(part).unlink(missing_ok=True)
            raise HTTPError("the server refuses to resume; starting over")
        response.raise_for_status()
        content_range = response.headers.get("content-range", "")
        resumed = response.status_code == 206 and content_range.startswith(f"bytes {received}-")
        if response.status_code == 206 and not resumed:
            raise SourceError(f"{redacted(artifact.url)}: the server sent another range of the file than requested")
        if not resumed:
            remove(part)
            _validator(part).write_text(_validator_of(response), encoding="utf-8")
        _receive(response, part, artifact.filename, received if resumed else 0, progress)
        size = content_range.rpartition("/")[2] if resumed else ""
        if size.isdigit() and part.stat().st_size < int(size):
            raise HTTPError("the server sent less than the rest of the file")


def _receive(response: Response, part: Path, name: str, received: int, progress: bool) -> None:
    encoded = response.headers.get("content-encoding", "identity") != "identity"  # some servers compress unasked
    length = response.headers.get("content-length", "")
    total = received + int(length) if length.isdigit() and not encoded else None
    left = None if total is None else total - received
    with writing(part, left), part.open("ab") as sink, _bar(name, total, progress, received) as ticks:
        for chunk in response.iter_bytes(CHUNK) if encoded else response.iter_raw():
            sink.write(chunk)
            ticks.update(len(chunk))
            if encoded and sink.tell() > LIMITS.allowed(response.num_bytes_downloaded):
                raise SourceError(f"{name}: unpacks to more than {LIMITS.ratio} times the bytes received: refused as a decompression bomb")


def _bar(name: str, total: int | None, progress: bool, initial: int = 0) -> "tqdm[Any]":
    """A progress bar in bytes on stderr, hidden unless ``progress``."""
    return progress_bar(name, total, initial=initial, shown=progress, unit="B", unit_scale=True, unit_divisor=1024)


def _validator(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _validator_of(response: Response) -> str:
    """Identifies this version of the file: a strong ETag, else its date. Without one a broken transfer starts over."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return ""
    tag = str(response.headers.get("etag", ""))
    return tag if tag.startswith('"') else str(response.headers.get("last-modified", ""))


def _status(response: Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()


def _check_publisher(artifact: Artifact, path: Path) -> None:
    for algorithm, accepted in artifact.hashes.items():
        if algorithm in hashlib.algorithms_available:
            actual = checksum(path, algorithm)
            if actual not in accepted:
                remove(path)
                stated = " or ".join(accepted)
                raise SourceError(f"{redacted(artifact.url)}: its index states {algorithm} {stated}, but the file has {actual}")


def download_any(artifact: Artifact, cache: Path, skip: Callable[[str], bool], *, progress: bool = False, fresh: bool = False) -> Path:
    """Fetch a file or folder with fsspec (s3, gs, hf, memory, caching chains …) and return its path in the cache.

    Raises:
        SourceError: the protocol is unknown, its package is not installed, or the file cannot be fetched.
    """
    target, url = cached(artifact.written or artifact.url, artifact.filename, cache), artifact.url
    with locked(target):
        if fresh:
            remove(target)
        if not target.exists():
            fs, path = _file_system(url)
            part = target.with_name(f"{target.name}.part")
            _fsspec_retried(lambda: _transfer_tree(fs, path, part, skip, progress), url)
            part.replace(target)
    return target


def probe_any(url: str) -> None:
    """Check with fsspec that a file or folder exists.

    Raises:
        SourceError: it does not exist, or its store cannot be reached.
    """
    fs, path = _file_system(url)
    if not _fsspec_retried(lambda: bool(fs.glob(path) if is_pattern(url) else fs.exists(path)), url):
        raise SourceError(f"{redacted(url)}: does not exist")


def _file_system(url: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise SourceError(f"{redacted(url)}: {error}") from None
    except Exception as error:
        raise SourceError(f"{redacted(url)}: cannot be opened: {error}") from None
    return fs, str(path)


def _fsspec_retried(action: Callable[[], T], url: str) -> T:
    """Retry any error, since stores raise exceptions of their own, except those known to be permanent."""
    try:
        return retried(lambda: _translated(action), url, errors=(_TransientError,))
    except (FileNotFoundError, PermissionError, NotImplementedError, ImportError) as error:
        raise SourceError(f"{redacted(url)}: cannot be fetched: {type(error).__name__}: {redacted(str(error))}") from None


class _TransientError(Exception):
    """An error of a store that a retry may resolve."""


def _translated(action: Callable[[], T]) -> T:
    try:
        return action()
    except (MtlError, FileNotFoundError, PermissionError, NotImplementedError, ImportError):
        raise
    except Exception as error:
        raise _TransientError(f"{type(error).__name__}: {error}") from error


def _transfer_tree(fs: Any, path: str, part: Path, skip: Callable[[str], bool], progress: bool) -> None:
    remove(part)
    if fs.isfile(path):
        return _transfer_file(fs, path, part, progress)
    names = [str(name) for name in (fs.glob(path) if is_pattern(path) else fs.find(path))]
    if not names:
        raise FileNotFoundError(path)
    for name, relative in [(name, file_name(name)) for name in names] if is_pattern(path) else _relative(names, path):
        if not skip(relative):
            _transfer_file(fs, name, part / relative, progress)
    return None


def _relative(names: Iterable[str], root: str) -> list[tuple[str, str]]:
    pairs = [(name, name.removeprefix(root.rstrip("/")).lstrip("/")) for name in names]
    for name, relative in pairs:
        if ".." in relative.split("/") or not relative:
            raise SourceError(f"{name}: lies outside the folder {root}")
    return pairs


def _transfer_file(fs: Any, path: str, target: Path, progress: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    size = fs.info(path).get("size")
    with fs.open(path, "rb") as source, writing(target, size), target.open("wb") as sink, _bar(target.name, size, progress) as ticks:
        while chunk := source.read(CHUNK):
            sink.write(chunk)
            ticks.update(len(chunk))
    if size is not None and target.stat().st_size != size:
        raise OSError(f"{path}: ended after {target.stat().st_size} of {size} bytes")
