"""Safe reading of untrusted zip and tar archives: no path leaves the target folder, no link is followed, no bomb is unpacked."""

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from mtl.errors import SourceError
from mtl.files import writing

CHUNK = 1 << 20

SKIPPED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".msgpack", ".h5", ".ot", ".onnx", ".tflite"})
"""Suffixes of files that are left out of a folder: pickles, which are never opened, and weights of other frameworks."""

# What the standard library raises on damaged, encrypted or malicious archives. An unknown compression raises NotImplementedError.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OSError,
)

_COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": lambda file: bz2.BZ2File(file),
    b"\xfd7zXZ": lambda file: lzma.LZMAFile(file),  # noqa: SIM115
}


class Limits(NamedTuple):
    """Limits on the unpacked size of an archive."""

    member: int = 32 << 30
    """Largest size of one member, in bytes."""
    ratio: int = 200
    """Largest ratio of unpacked to packed bytes; text rarely exceeds 20."""
    floor: int = 64 << 20
    """Unpacked bytes that are always allowed, whatever the ratio."""
    outermost: int | None = None
    """Size in bytes of the archive that contains this one, if any. The ratio then applies to that size."""

    def allowed(self, packed: int) -> int:
        """Bytes that an archive of ``packed`` bytes may unpack to."""
        return max(self.floor, self.ratio * (packed if self.outermost is None else self.outermost))


LIMITS = Limits()


class MissingMemberError(SourceError):
    """An archive does not contain the requested path."""


class Archive(NamedTuple):
    """An open archive: the sizes of its regular files, its special members (name to ``link`` or ``device``), and a way to open a file."""

    files: Mapping[str, int]
    special: Mapping[str, str]
    open: Callable[[str], IO[bytes]]


def archive_type(name: str) -> str:
    """``zip`` or ``tar``, by a file name; a wheel is a zip."""
    return "zip" if name.endswith((".zip", ".whl")) else "tar"


@contextmanager
def opened(path: Path, type_: str, *, strip_top: bool = False, limits: Limits = LIMITS) -> Iterator[Archive]:
    """Open a ``zip`` or ``tar`` (plain, gz, bz2, xz); ``strip_top`` drops the first folder of every name.

    Raises:
        SourceError: the archive is damaged, exceeds the limits, or has a member with a path that leaves the archive.
    """
    try:
        with ExitStack() as stack:
            archive = (_zip if type_ == "zip" else _tar)(path, stack, limits)
            yield _stripped(archive) if strip_top else archive
    except _DAMAGE as error:
        raise SourceError(f"{path}: cannot be read as a {type_} archive: {error or type(error).__name__}") from None


def extract(path: Path, type_: str, member: str, target: Path, *, strip_top: bool = False, limits: Limits = LIMITS) -> None:
    """Unpack one file or folder of an archive (``""``: everything) to ``target``.

    Raises:
        MissingMemberError: there is no such member.
        SourceError: the archive is damaged or unsafe.
    """
    with opened(path, type_, strip_top=strip_top, limits=limits) as archive:
        _check_sizes(path, selected := select(archive, member, path), archive, limits, path.stat().st_size)
        left = limits.allowed(path.stat().st_size)
        for name, relative in selected.items():
            destination = target / relative if relative else target
            destination.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, writing(destination, archive.files[name]), destination.open("xb") as sink:
                left -= copy(source, sink, min(left, limits.member), f"{path}: {name}")


def select(archive: Archive, member: str, path: Path) -> dict[str, str]:
    """The files of ``member``, as name to path relative to it (``""`` if it is a file itself).

    Raises:
        MissingMemberError: there is no such member.
        SourceError: the member is, or contains, a link or a device.
    """
    member = "/".join(part for part in member.split("/") if part not in ("", "."))
    prefix = f"{member}/" if member else ""
    for name, special in archive.special.items():
        if name == member or name.startswith(prefix):
            raise SourceError(f"{path}: {name} is a {special}, which is not unpacked for safety")
    if member in archive.files:
        return {member: ""}
    selected = {name: name.removeprefix(prefix) for name in sorted(archive.files) if name.startswith(prefix)}
    if not selected:
        raise MissingMemberError(f"{path}: does not contain {member!r}; it contains {_excerpt(archive.files, member)}")
    return selected


def copy(source: IO[bytes], sink: IO[bytes], allowed: int, what: str) -> int:
    """Copy a stream and return its length in bytes.

    Raises:
        SourceError: the stream is longer than ``allowed`` bytes.
    """
    total = 0
    while chunk := source.read(CHUNK):
        total += len(chunk)
        if total > allowed:
            raise SourceError(f"{what} unpacks to more than {allowed:,} bytes: refused as a decompression bomb")
        sink.write(chunk)
    return total


def _check_sizes(path: Path, selected: Mapping[str, str], archive: Archive, limits: Limits, packed: int) -> None:
    """Refuse by the sizes that the archive states, before a byte is written; ``copy`` then enforces them."""
    total = 0
    for name in selected:
        size = archive.files[name]
        total += size
        if size > limits.member or total > limits.allowed(packed):
            raise SourceError(
                f"{path}: {name} ({size:,} bytes) would unpack {packed:,} bytes to {total:,}: refused as a decompression bomb"
            )


def _safe(name: str, path: Path) -> str:
    """A member's name without ``./``.

    Raises:
        SourceError: the name could leave the target folder.
    """
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or (parts and parts[0].endswith(":")):
        raise SourceError(f"{path}: member {name!r} would leave the target folder: the archive is refused")
    return "/".join(parts)


def _zip(path: Path, stack: ExitStack, limits: Limits) -> Archive:
    handle = stack.enter_context(zipfile.ZipFile(path))
    files: dict[str, zipfile.ZipInfo] = {}
    special: dict[str, str] = {}
    for info in handle.infolist():
        name = _safe(info.filename, path)
        if stat.S_ISLNK(info.external_attr >> 16):
            special[name] = "link"
        elif not info.is_dir():
            files[name] = info
    return Archive({name: info.file_size for name, info in files.items()}, special, lambda name: handle.open(files[name]))


def _tar(path: Path, stack: ExitStack, limits: Limits) -> Archive:
    plain = _plain(path, stack, limits)
    handle = stack.enter_context(tarfile.TarFile(fileobj=plain))
    files: dict[str, tarfile.TarInfo] = {}
    special: dict[str, str] = {}
    for info in handle:
        name = _safe(info.name, path)
        if info.isfile():
            files[name] = info
        elif not info.isdir():
            special[name] = "link" if info.issym() or info.islnk() else "device"
    # tarfile mistakes a damaged header for the end, which in a complete archive is a block of zeros.
    plain.seek(handle.offset)
    if plain.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it is damaged or cut off at byte {handle.offset}")

    def read(name: str) -> IO[bytes]:
        file = handle.extractfile(files[name])
        if file is None:
            raise SourceError(f"{path}: {name} is not a regular file")
        return file

    return Archive({name: info.size for name, info in files.items()}, special, read)


def _plain(path: Path, stack: ExitStack, limits: Limits) -> IO[bytes]:
    """The uncompressed tar; a compressed one is first unpacked to an unnamed temporary file.

    So its real length is known and checked against the limits before any of its headers is trusted.
    """
    file = stack.enter_context(path.open("rb"))
    magic = file.read(6)
    file.seek(0)
    for prefix, decompress in _COMPRESSIONS.items():
        if magic.startswith(prefix):
            plain = stack.enter_context(tempfile.TemporaryFile(dir=path.parent))  # noqa: SIM115
            with writing(path.parent):
                copy(decompress(file), plain, limits.allowed(path.stat().st_size), str(path))
            plain.seek(0)
            return plain
    return file


def _stripped(archive: Archive) -> Archive:
    """The same archive without the first folder of its names, as in ``NAME-VERSION/…`` of a source archive."""
    full = {name.partition("/")[2]: name for name in archive.files if "/" in name}
    special = {name.partition("/")[2]: type_ for name, type_ in archive.special.items() if "/" in name}
    return Archive({short: archive.files[name] for short, name in full.items()}, special, lambda name: archive.open(full[name]))


def _excerpt(files: Mapping[str, int], member: str) -> str:
    """A few names for an error message, those with the same file name first."""
    last = member.rpartition("/")[2]
    names = sorted(files, key=lambda name: (name.rpartition("/")[2] != last, name))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "nothing"


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
