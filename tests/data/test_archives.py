"""Hostile and damaged archives."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.data.archives import Limits, MissingMemberError, copy, extract
from mtl.errors import SourceError

SMALL = Limits(member=1 << 30, ratio=10, floor=1 << 16)


def tar_with(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_with(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def link(name: str, target: str, member_type: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = member_type, target
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_file_and_folder(tmp_path: Path, mode: str) -> None:
    path = tar_with(tmp_path / "a.tar", {"./top/a.txt": b"a", "top/b/c.txt": b"c", "other": b"o"}, mode)
    extract(path, "tar", "top/a.txt", tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == b"a"
    extract(path, "tar", "top/", tmp_path / "folder")
    assert sorted(p.relative_to(tmp_path / "folder").as_posix() for p in (tmp_path / "folder").rglob("*.txt")) == ["a.txt", "b/c.txt"]
    extract(path, "tar", "b", tmp_path / "stripped", strip_top=True)
    assert (tmp_path / "stripped" / "c.txt").read_bytes() == b"c"


def test_a_missing_member_of_a_zip_names_its_files(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", {"x/train.csv": b"a,b\n", "x/test.csv": b""})
    extract(path, "zip", "x/train.csv", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"a,b\n"
    with pytest.raises(MissingMemberError, match=r"does not contain 'train.csv'; it contains x/train\.csv, x/test\.csv"):
        extract(path, "zip", "train.csv", tmp_path / "none")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil", "c:/evil"])
@pytest.mark.parametrize("archive_type", ["tar", "zip"])
def test_a_path_that_leaves_the_target_is_refused(tmp_path: Path, name: str, archive_type: str) -> None:
    make: Callable[[Path, dict[str, bytes]], Path] = tar_with if archive_type == "tar" else zip_with  # type: ignore[assignment]
    path = make(tmp_path / "archive", {"good": b"1", name: b"2"})
    with pytest.raises(SourceError, match="would leave the target folder"):
        extract(path, archive_type, "", tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("member_type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_requested_links_and_devices_are_refused(tmp_path: Path, member_type: bytes) -> None:
    path = tar_with(tmp_path / "a.tar.gz", {"d/x": link("d/x", "/etc/passwd", member_type), "d/x/y": b"through", "plain": b"p"})
    for member in ("", "d", "d/x"):
        with pytest.raises(SourceError, match="not unpacked for safety"):
            extract(path, "tar", member, tmp_path / "out")
    extract(path, "tar", "plain", tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == b"p"


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="is a link"):
        extract(tmp_path / "a.zip", "zip", "link", tmp_path / "out")


def test_bombs_are_refused_before_they_fill_the_disk(tmp_path: Path) -> None:
    zeros = bytes(8 << 20)
    for archive_type, path in (("tar", tar_with(tmp_path / "a.tar.gz", {"z": zeros})), ("zip", zip_with(tmp_path / "a.zip", {"z": zeros}))):
        with pytest.raises(SourceError, match="bomb"):
            extract(path, archive_type, "z", tmp_path / "out", limits=SMALL)
        assert not (tmp_path / "out").exists()


def test_the_limit_of_a_nested_archive_is_that_of_the_outermost(tmp_path: Path) -> None:
    path = zip_with(tmp_path / "a.zip", {"z": bytes(1 << 18)})
    extract(path, "zip", "z", tmp_path / "out", limits=SMALL._replace(ratio=10_000))
    with pytest.raises(SourceError, match="bomb"):
        extract(path, "zip", "z", tmp_path / "other", limits=SMALL._replace(ratio=10_000, outermost=20))


@pytest.mark.parametrize("damage", ["header", "cut", "cut before the end"])
def test_a_damaged_tar_is_refused(tmp_path: Path, damage: str) -> None:
    path = tar_with(tmp_path / "a.tar", {"a": b"1", "b": b"2"}, "w")
    content = bytearray(path.read_bytes())
    assert content[1024:1025] == b"b"
    match damage:
        case "header":
            content[1024 + 200] ^= 1
        case "cut":
            del content[1024 + 100 :]
        case _:
            del content[2048:]
    path.write_bytes(content)
    with pytest.raises(SourceError, match="cannot be read as a tar archive"):
        extract(path, "tar", "", tmp_path / "out")


def test_a_stream_longer_than_its_limit_is_refused() -> None:
    assert copy(io.BytesIO(b"four"), io.BytesIO(), 4, "x") == 4
    with pytest.raises(SourceError, match="x unpacks to more than 3 bytes"):
        copy(io.BytesIO(b"four"), io.BytesIO(), 3, "x")


def test_a_header_that_claims_a_huge_file_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 50
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(SourceError):
        extract(tmp_path / "a.tar", "tar", "huge", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("archive_type", ["tar", "zip"])
@pytest.mark.parametrize(
    "content",
    [b"", b"not an archive", gzip.compress(b"not a tar", mtime=0), gzip.compress(b"x" * 9999, mtime=0)[:30], b"PK\x03\x04"],
    ids=["empty", "text", "gzip", "cut off", "cut off zip"],
)
def test_a_damaged_archive_is_an_error(tmp_path: Path, archive_type: str, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(SourceError, match=rf"archive: cannot be read as a {archive_type} archive"):
        extract(tmp_path / "archive", archive_type, "a", tmp_path / "out")
