"""Fetching sources: local, from a web server that misbehaves on demand, from packages, from archives."""

import base64
import hashlib
import io
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

import mtl.config
from mtl.config import Source
from mtl.data import downloads
from mtl.data.packages import DEFAULT_INDEX, pip_settings
from mtl.data.sources import checksum, exists, fetch, fingerprint
from mtl.errors import SourceError

BODY = bytes(range(256)) * 4096  # 1 MiB


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Web(ThreadingHTTPServer):
    """A loopback server of one body that can break off, fail or change."""

    body = BODY
    etag = '"1"'
    ranges = True
    break_after: int | None = None  # bytes after which the next response breaks off
    redirect = ""  # target of all requests
    login = ""  # the user name and password that it asks for, and the token of the query
    most: int | None = None  # bytes of a range that it sends although the header states more
    failures: list[int]  # statuses of the next responses
    requests: list[str]  # the Range header of each request, "" without

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        web = self.server
        web.requests.append(self.headers.get("Range", ""))
        if web.login and not self.may_read(*web.login.split(":")):
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
            return
        if web.failures:
            self.send_error(web.failures.pop(0))
            return
        if web.redirect:
            self.send_response(302)
            self.send_header("Location", web.redirect)
            self.end_headers()
            return
        start, status = 0, 200
        match = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", ""))
        if match and web.ranges and self.headers.get("If-Range", web.etag) == web.etag:
            start, status = int(match[1]), 206
        content = web.body[start : None if status == 200 or web.most is None else start + web.most]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", web.etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(content) - 1}/{len(web.body)}")
        self.end_headers()
        if web.break_after is not None:
            content, web.break_after = content[: web.break_after], None
        self.wfile.write(content)

    def may_read(self, name: str, password: str) -> bool:
        expected = base64.b64encode(f"{name}:{password}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {expected}" and self.path.endswith(f"?token={name}{password}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web(("127.0.0.1", 0), Handler)
    server.failures, server.requests = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(tmp_path: Path, url: str, sha256: str | None, **options: bool) -> Path:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    fetch(Source(url=url, sha256=sha256), out, cache=tmp_path / "cache", key="datasets.d.source", **options)
    return out


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_local_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "a.txt").write_bytes(b"a")
    (tmp_path / "d" / "sub" / "b.txt").write_bytes(b"b")
    (tmp_path / "d" / "weights.bin").write_bytes(b"a pickle, perhaps")
    folder_checksum = sha(f"{sha(b'a')}  a.txt\n{sha(b'b')}  sub/b.txt\n".encode())
    monkeypatch.chdir(tmp_path)
    for url in ("d", "./d/", str(tmp_path / "d"), f"file://{tmp_path}/d"):
        out = get(tmp_path, url, folder_checksum)
        assert names(out) == ["a.txt", "sub/b.txt"]
        shutil.rmtree(out)
    assert names(get(tmp_path, "d/a.txt", sha(b"a"))) == ["a.txt"]
    assert exists(Source(url="d/a.txt")) is None
    assert "there is no file or folder" in str(exists(Source(url="nowhere")))


def test_a_link_may_not_leave_its_folder_but_for_the_blobs_of_a_hub(tmp_path: Path) -> None:
    for name in ("private/key", "folder/real", "cache/blobs/123"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"a")
    folder, snapshot = tmp_path / "folder", tmp_path / "cache/snapshots/main/sub"
    snapshot.mkdir(parents=True)
    (folder / "link").symlink_to("real")
    (snapshot / "weights").symlink_to("../../../blobs/123")
    (tmp_path / "alias").symlink_to(folder)
    for place in (folder, tmp_path / "alias", snapshot, snapshot.parent):
        checksum(Source(url=str(place)), cache=tmp_path / "downloads")
    (folder / "link2").symlink_to("../private/key")
    with pytest.raises(SourceError, match=r"link2: is a link out of the folder, to .*private/key"):
        checksum(Source(url=str(folder)), cache=tmp_path / "downloads")


def test_a_pattern_names_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d" / "a-folder").mkdir(parents=True)
    for name in ("a-1.txt", "a-2.txt", "a-3.bin", "b-1.txt", "*"):
        (tmp_path / "d" / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    of_folder = sha(f"{sha(b'a-1.txt')}  a-1.txt\n{sha(b'a-2.txt')}  a-2.txt\n".encode())
    for url in ("d/a-*", "./d/a-*.txt", f"file://{tmp_path}/d/a-*"):
        out = get(tmp_path, url, of_folder)
        assert names(out) == ["a-1.txt", "a-2.txt"]
        shutil.rmtree(out)
        assert exists(Source(url=url)) is None
    assert "/d matches c-*" in str(exists(Source(url="d/c-*")))
    assert "/nowhere matches c-*" in str(exists(Source(url="nowhere/c-*")))
    store = fsspec.filesystem("memory")
    store.pipe({"/patterns/a-1.txt": b"a-1.txt", "/patterns/a-2.txt": b"a-2.txt", "/patterns/b.txt": b"b"})
    try:
        assert names(get(tmp_path, "memory://patterns/a-*.txt", of_folder)) == ["a-1.txt", "a-2.txt"]
        assert exists(Source(url="memory://patterns/a-*")) is None
        assert "does not exist" in str(exists(Source(url="memory://patterns/c-*")))
    finally:
        store.rm("/patterns", recursive=True)


@pytest.mark.parametrize("url", [".", "..", "./work", "file://{here}", "tar://a.txt::."])
def test_a_folder_that_the_workflow_writes_to_is_not_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    here = tmp_path / "project"
    (here / "work").mkdir(parents=True)
    monkeypatch.chdir(here)
    url = url.format(here=here)
    with pytest.raises(SourceError, match="holds the workflow's own files; name a file"):
        get(here / "work", url, sha(b"a"))
    assert "holds the workflow's own files" in str(exists(Source(url=url)))


def test_a_missing_or_wrong_checksum_names_the_key_and_the_actual_checksum(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    url = str(tmp_path / "f")
    with pytest.raises(SourceError, match=rf"datasets\.d\.source\.sha256 is missing(?s:.)*sha256: {sha(b'x')}"):
        get(tmp_path, url, None)
    with pytest.raises(SourceError, match=rf"datasets\.d\.source\.sha256 is wrong(?s:.)*stated: {'0' * 64}\n  actual: {sha(b'x')}"):
        get(tmp_path, url, "0" * 64)
    assert list((tmp_path / "out").iterdir()) == []
    assert checksum(Source(url=url), cache=tmp_path / "cache") == sha(b"x")


def test_a_download_is_kept_and_fetched_once(tmp_path: Path, web: Web) -> None:
    checksums = []

    def job(number: int) -> None:
        (tmp_path / str(number)).mkdir()
        fetch(Source(url=web.url, sha256=sha(BODY)), tmp_path / str(number), cache=tmp_path / "cache")
        checksums.append(fingerprint(tmp_path / str(number) / "file.bin"))

    threads = [threading.Thread(target=job, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert checksums == [sha(BODY)] * 3
    assert web.requests == [""]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_transfer_is_resumed_or_restarted(tmp_path: Path, web: Web, ranges: bool) -> None:
    web.break_after, web.ranges = 300_000, ranges
    assert (get(tmp_path, web.url, sha(BODY)) / "file.bin").read_bytes() == BODY
    assert web.requests[0] == ""
    assert re.fullmatch(r"bytes=[1-9]\d*-", web.requests[1])
    assert not list((tmp_path / "cache").rglob("*.part*"))


def test_a_range_shorter_than_the_rest_is_resumed_again(tmp_path: Path, web: Web) -> None:
    web.break_after, web.most = 300_000, 600_000
    assert (get(tmp_path, web.url, sha(BODY)) / "file.bin").read_bytes() == BODY
    starts = [int(re.sub(r"\D", "", requested) or 0) for requested in web.requests]
    assert len(starts) == 3
    assert 0 == starts[0] < starts[1] < starts[2]


def test_secrets_come_from_the_environment_and_stay_there(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    web.login, secrets = "ann:Open-Sesame", ("Open-Sesame", "annOpen-Sesame", "Shut")
    url = f"http://${{env:LOGIN}}:${{env:PASSWORD}}@127.0.0.1:{web.server_port}/${{env:LOGIN}}/mood.csv?token=${{env:TOKEN}}"
    source = Source(url=url, sha256=sha(BODY))
    monkeypatch.setenv("LOGIN", "ann")
    messages = [str(exists(source))]
    assert "the environment variable PASSWORD is not set" in messages[0]
    monkeypatch.setenv("PASSWORD", "Shut")
    monkeypatch.setenv("TOKEN", "annOpen-Sesame")
    messages.append(str(exists(source)))
    with pytest.raises(SourceError) as refused:
        get(tmp_path, url, sha(BODY))
    messages.append(str(refused.value))
    assert all("the server returned 401" in message for message in messages[1:])
    monkeypatch.setenv("PASSWORD", "Open-Sesame")
    assert exists(source) is None
    assert checksum(source, cache=tmp_path / "cache") == sha(BODY)
    assert names(get(tmp_path, url, sha(BODY))) == ["mood.csv"]
    with pytest.raises(SourceError) as wrong:
        get(tmp_path, url, sha(b"other"))
    messages.append(str(wrong.value))
    output = "".join(capfd.readouterr())
    files = [str(path) for path in tmp_path.rglob("*")] + [path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in (*messages, output, *files) for secret in secrets if secret in text]


def test_errors_of_libraries_hold_no_value_of_a_variable(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "Open-Sesame")
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    web.redirect = "ftp://${S}/x?signature=Open-Sesame"
    urls = {
        f"http://127.0.0.1:{web.server_port}/a?token=${{env:S}}": "not followed",
        "http://127.0.0.1:1/${env:S}/a": "cannot be fetched",
        "http://[::1]:${env:S}/a": "port",
        "memory://${env:S}/a": "does not exist",
        "nothing://${env:S}/a": "Protocol not known",
        "${env:S}/a": "there is no file",
        "zip://a::${env:S}": "there is no file",
        "pypi://${env:S}": "must have the form",
    }
    for url, words in urls.items():
        message = str(exists(Source(url=url)))
        assert words in message, message
        assert "Sesame" not in message


def test_a_redirect_to_a_local_file_is_refused(tmp_path: Path, web: Web) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    web.redirect = f"file://localhost{tmp_path}/secret.txt"
    with pytest.raises(SourceError, match=r"redirects to file://, which is not followed"):
        checksum(Source(url=web.url), cache=tmp_path / "cache")


def test_the_download_of_a_killed_job_is_resumed_unless_the_file_changed(tmp_path: Path, web: Web) -> None:
    part = downloads.cached(web.url, "file.bin", tmp_path / "cache").with_name("file.bin.part")
    for etag, body in ((web.etag, BODY), ('"old"', BODY)):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(body[:1000] if etag == web.etag else b"another version")
        part.with_name("file.bin.part.etag").write_text(etag)
        assert (get(tmp_path, web.url, sha(BODY)) / "file.bin").read_bytes() == BODY
        part.with_name("file.bin").unlink()
    assert web.requests == ["bytes=1000-", "bytes=15-"]


def test_transient_errors_are_retried_and_permanent_ones_reported(tmp_path: Path, web: Web) -> None:
    web.failures = [503]
    assert names(get(tmp_path, web.url, sha(BODY))) == ["file.bin"]
    assert len(web.requests) == 2
    web.failures = [404]
    with pytest.raises(SourceError, match="the server returned 404"):
        get(tmp_path, web.url + "2", sha(BODY))
    assert len(web.requests) == 3
    web.failures = [403]
    assert "403" in str(exists(Source(url=web.url)))
    assert exists(Source(url=web.url)) is None


def test_retries_end(web: Web) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise ConnectionResetError("reset")

    with pytest.raises(SourceError, match=r"http://\*\*\*@host/x: cannot be fetched \(4 attempts\): reset"):
        downloads.retried(fail, "http://user:secret@host/x", errors=(ConnectionResetError,), pause=0.001)
    assert len(calls) == 4


def test_an_outdated_download_is_fetched_again(tmp_path: Path, web: Web) -> None:
    get(tmp_path, web.url, sha(BODY))
    web.body, web.etag = b"new", '"2"'
    assert (get(tmp_path, web.url, sha(b"new")) / "file.bin").read_bytes() == b"new"


def test_the_progress_bar_is_on_stderr(tmp_path: Path, web: Web, capfd: pytest.CaptureFixture[str]) -> None:
    get(tmp_path, web.url, sha(BODY))
    assert capfd.readouterr() == ("", "")
    get(tmp_path, web.url + "2", sha(BODY), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "1.00M/1.00M" in err


def tarball(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def test_chains_of_archives(tmp_path: Path, web: Web) -> None:
    inner = tarball({"x/a.txt": b"a", "x/b.txt": b"b"})
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("deep/inner.tar.gz", inner)
    web.body = (tmp_path / "outer.zip").read_bytes()
    assert names(get(tmp_path, f"tar://x/a.txt::zip://deep/inner.tar.gz::{web.url}", sha(b"a"))) == ["a.txt"]
    folder = sha(f"{sha(b'a')}  a.txt\n{sha(b'b')}  b.txt\n".encode())
    assert checksum(Source(url=f"tar://x::zip://deep/inner.tar.gz::{tmp_path}/outer.zip"), cache=tmp_path / "cache") == folder
    assert exists(Source(url=f"zip://deep/inner.tar.gz::{tmp_path}/outer.zip")) is None
    assert "it contains deep/inner.tar.gz" in str(exists(Source(url=f"zip://inner.tar.gz::{tmp_path}/outer.zip")))
    with pytest.raises(SourceError, match="names no archive"):
        get(tmp_path, "tar://x/a.txt", sha(b"a"))


def test_a_hostile_archive_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "evil.tar.gz").write_bytes(tarball({"x/a": b"1", "x/../../../evil": b"2"}))
    with pytest.raises(SourceError, match="would leave the target folder"):
        get(tmp_path, f"tar://x::{tmp_path}/evil.tar.gz", "0" * 64)
    assert names(tmp_path) == ["evil.tar.gz"]


def test_any_other_file_system_of_fsspec(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/a.txt": b"a", "/bucket/sub/b.txt": b"b", "/bucket/old.pt": b"p", "/bucket/a.tar.gz": tarball({"c.txt": b"c"})})
    try:
        assert names(get(tmp_path, "memory://bucket/a.txt", sha(b"a"))) == ["a.txt"]
        assert checksum(Source(url="tar://c.txt::memory://bucket/a.tar.gz"), cache=tmp_path / "cache") == sha(b"c")
        store.rm("/bucket/a.tar.gz")
        folder = sha(f"{sha(b'a')}  a.txt\n{sha(b'b')}  sub/b.txt\n".encode())
        assert checksum(Source(url="memory://bucket"), cache=tmp_path / "cache") == folder
        assert exists(Source(url="memory://bucket/a.txt")) is None
        assert "does not exist" in str(exists(Source(url="memory://bucket/none")))
        assert "Protocol not known" in str(exists(Source(url="nonsense://none")))
    finally:
        store.rm("/bucket", recursive=True)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip's settings allow only one folder, with a wheel and a source archive. The archive's setup code must not run."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "my_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("my_data/a.txt", b"wheel")
        wheel.writestr("my_data-1.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: my-data\nVersion: 1.0\n")
    members = {"setup.py": b"raise SystemExit('ran')", "my_data/a.txt": b"sdist", "extra/t.tar.gz": tarball({"in.txt": b"deep"})}
    (folder / "my_data-1.0.tar.gz").write_bytes(tarball({f"my_data-1.0/{name}": content for name, content in members.items()}))
    for name, value in {"CONFIG_FILE": "/dev/null", "NO_INDEX": "1", "FIND_LINKS": str(folder), "CERT": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.chdir(tmp_path)
    return folder


def test_files_of_packages_wheel_first(tmp_path: Path, packages: Path) -> None:
    assert (get(tmp_path, "pypi://My.Data==1.0/my_data/a.txt", sha(b"wheel")) / "a.txt").read_bytes() == b"wheel"
    chain = "tar://in.txt::pypi://my-data==1.0/extra/t.tar.gz"
    assert names(get(tmp_path, chain, sha(b"deep"))) == ["a.txt", "in.txt"]
    assert checksum(Source(url="pypi://my-data==1.0/extra"), cache=tmp_path / "cache")
    with pytest.raises(SourceError, match=r"no file of the package contains 'b\.txt'(?s:.)*my_data/a\.txt"):
        get(tmp_path, "pypi://my-data==1.0/b.txt", "0" * 64)
    assert exists(Source(url="pypi://my-data==1.0/my_data/a.txt")) is None
    assert "no such package or version" in str(exists(Source(url="pypi://my-data==2.0/my_data/a.txt")))
    assert "must have the form pypi://NAME==VERSION" in str(exists(Source(url="pypi://my-data/my_data/a.txt")))


def test_pypi_is_a_file_system_of_fsspec(packages: Path) -> None:
    with fsspec.open("tar://in.txt::pypi://my-data==1.0/extra/t.tar.gz") as file:
        assert file.read() == b"deep"
    store = fsspec.filesystem("pypi")
    assert store.ls("pypi://my-data==1.0/my_data", detail=False) == ["my-data==1.0/my_data/a.txt"]
    assert store.find("my-data==1.0/my_data") == ["my-data==1.0/my_data/a.txt"]
    assert store.cat("pypi://my-data==1.0/my_data/a.txt") == b"wheel"
    assert not store.exists("my-data==1.0/none")


def test_pip_settings_by_precedence(tmp_path: Path) -> None:
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text("[global]\nindex-url = https://user/\ncert = a.pem\nextra-index-url = x\n  y\n")
    (tmp_path / "named.conf").write_text(
        "[global]\ntrusted-host = h:1\nindex_url = https://global/\n[install]\nindex-url = https://named/\nfind-links = f g\n"
    )
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none"), "PIP_CONFIG_FILE": str(tmp_path / "named.conf")}
    settings = pip_settings(environment)
    assert settings.indexes == ("https://named/", "x", "y")
    assert (settings.find_links, settings.trusted_hosts, settings.cert) == (("f", "g"), ("h:1",), "a.pem")
    assert pip_settings({**environment, "PIP_INDEX_URL": "https://env/", "PIP_EXTRA_INDEX_URL": "z"}).indexes == ("https://env/", "z")
    assert pip_settings({**environment, "PIP_NO_INDEX": "1"}).indexes == ()
    assert pip_settings({**environment, "PIP_CONFIG_FILE": "/dev/null"}).indexes == (DEFAULT_INDEX,)


@pytest.mark.network
def test_the_default_sources(tmp_path: Path) -> None:
    params = mtl.config.load(Path(__file__).parents[2] / "params.yaml")
    sources = [source for dataset in params.datasets.values() for source in dataset.sources.values()]
    sources += [params.encoder.source] if isinstance(params.encoder, mtl.config.TransformerEncoder) else []
    for number, source in enumerate(sources):
        out = tmp_path / str(number)
        out.mkdir()
        assert exists(source) is None
        fetch(source, out, cache=tmp_path / "cache")
        assert names(out)
