"""Files inside the packages of a Python package index: ``pypi://NAME==VERSION/path/inside``, found with pip's own settings.

A wheel or source archive is only opened, never built: no code of a package runs. ``pypi`` is also a file system of fsspec, so
chains such as ``tar://member::pypi://NAME==VERSION/archive.tar.gz`` work wherever fsspec does.
"""

import configparser
import logging
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import fsspec
from fsspec.spec import AbstractFileSystem
from httpx2 import HTTPStatusError, Response
from pip._internal.models.index import PyPI
from unearth import PackageFinder
from unearth.auth import MultiDomainBasicAuth
from unearth.fetchers.sync import PyPIClient

from mtl.config.urls import redacted
from mtl.data import archives, downloads
from mtl.errors import SourceError

DEFAULT_INDEX: str = PyPI.simple_url  # pip's default
_URL = re.compile(r"(?:pypi://)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^/=]+)(?:/(?P<path>.*))?")


class PipSettings(NamedTuple):
    """pip's settings: where packages come from and which hosts are trusted."""

    indexes: tuple[str, ...] = (DEFAULT_INDEX,)
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    proxy: str | None = None
    timeout: float = 30.0


class PackageFile(NamedTuple):
    """``pypi://name==version/path`` in its parts."""

    name: str
    version: str
    path: str


def parse_url(url: str) -> PackageFile:
    """Parse a ``pypi://`` URL.

    Raises:
        SourceError: the URL has another form.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise SourceError(f"{url}: must have the form pypi://NAME==VERSION/path/inside/the/package")
    return PackageFile(match["name"], match["version"], match["path"] or "")


def pip_settings(environment: Mapping[str, str] = os.environ) -> PipSettings:
    """Read pip's settings. From highest to lowest precedence: environment variables, PIP_CONFIG_FILE, site, user and system files.

    Raises:
        SourceError: a settings file cannot be parsed.
    """
    values: dict[str, str] = {}
    for path in _config_files(environment):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: cannot be read as pip's settings: {error}") from None
        for section in ("global", "download", "install"):
            if parser.has_section(section):
                values |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    values |= {
        key.removeprefix("PIP_").lower().replace("_", "-"): value for key, value in environment.items() if key.startswith("PIP_") and value
    }
    return _settings(values)


def _settings(values: Mapping[str, str]) -> PipSettings:
    index = () if values.get("no-index", "").lower() in ("1", "true", "yes", "on") else (values.get("index-url", DEFAULT_INDEX),)
    extra = tuple(values.get("extra-index-url", "").split()) if index else ()
    timeout = values.get("timeout") or values.get("default-timeout") or "30"
    return PipSettings(
        indexes=(*index, *extra),
        find_links=tuple(values.get("find-links", "").split()),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        cert=values.get("cert") or None,
        proxy=values.get("proxy") or None,
        timeout=float(timeout) if re.fullmatch(r"\d+(\.\d+)?", timeout) else 30.0,
    )


def _config_files(environment: Mapping[str, str]) -> list[Path]:
    """pip's settings files, from lowest to highest precedence as its documentation states."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environment.get("HOME", "~")).expanduser()
    system = [Path(folder) / "pip" / "pip.conf" for folder in reversed(environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep))]
    user = [home / ".pip" / "pip.conf", Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"]
    return [*system, Path("/etc/pip.conf"), *user, Path(sys.prefix) / "pip.conf", *([Path(named)] if named else [])]


def _without_secrets(record: logging.LogRecord) -> bool:
    """A filter that keeps all records: a server's refusal is logged with the URL that was asked for."""
    record.msg, record.args = redacted(record.getMessage()), ()
    return True


def client(settings: PipSettings) -> PyPIClient:
    """An HTTP client (also for ``file://``) with pip's certificates, proxy, trusted hosts and credentials (URL, netrc, keyring)."""
    logging.getLogger("unearth.auth").addFilter(_without_secrets)
    try:
        context = ssl.create_default_context(cafile=settings.cert)
    except OSError as error:
        raise SourceError(f"pip's setting cert: {settings.cert}: {error}") from None
    session = PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=context,
        timeout=settings.timeout,
        follow_redirects=True,
        proxy=settings.proxy,
        # unearth treats a page that fails as an index without the package; a transient error must not look like that.
        event_hooks={"response": [_raise_transient, _refuse_unsafe_redirect]},
    )
    session.auth = MultiDomainBasicAuth(prompting=False, index_urls=list(settings.indexes))
    return session


def _raise_transient(response: Response) -> None:
    if response.status_code in downloads.TRANSIENT_STATUS:
        raise HTTPStatusError(f"status {response.status_code}", request=response.request, response=response)


def _refuse_unsafe_redirect(response: Response) -> None:
    """A server may redirect to another server, but not to a local file, nor from https to http.

    Raises:
        SourceError: the redirect is unsafe.
    """
    if response.has_redirect_location:
        origin, target = response.request.url, response.request.url.join(response.headers["location"])
        if target.scheme != "https" and target.scheme != origin.scheme:
            raise SourceError(f"{redacted(str(origin))}: the server redirects to {target.scheme}://, which is not followed for safety")


def find(package: PackageFile, settings: PipSettings, session: PyPIClient) -> list[downloads.Artifact]:
    """The files of one version of a package: the best wheel, then the source archive.

    Raises:
        SourceError: there is no such package or version, or no index responds.
    """
    find_links = [link for link in settings.find_links if "://" in link or Path(link).exists()]
    if not settings.indexes and not find_links:  # unearth would fall back to the public index, against pip's no-index
        raise SourceError(f"pypi://{package.name}=={package.version}: pip's settings (no-index, find-links) name no index")
    finder = PackageFinder(
        session=cast(Any, session),  # its own default; its declared protocol is stricter
        index_urls=settings.indexes,
        find_links=find_links,
        trusted_hosts=settings.trusted_hosts,
        ignore_compatibility=True,  # a data file fits any platform
    )
    locations = ", ".join(redacted(url) for url in (*settings.indexes, *find_links))
    requirement = f"{package.name}=={package.version}"
    try:
        matches = downloads.retried(lambda: list(finder.find_matches(requirement, allow_yanked=True)), f"pypi://{requirement}")
    except ValueError as error:  # a malformed requirement or find-links entry
        raise SourceError(redacted(f"pypi://{requirement}: {error}")) from None
    links = [match.link for match in matches]
    best = [*[link for link in links if link.is_wheel][:1], *[link for link in links if not link.is_wheel][:1]]
    if not best:
        raise SourceError(f"pypi://{requirement}: no such package or version at {locations}")
    return [downloads.Artifact(link.url_without_fragment, link.filename, link.hash_option or {}) for link in best]


def extract(url: str, target: Path, cache: Path, *, progress: bool = False, fresh: bool = False) -> None:
    """Unpack the file or folder of a ``pypi://`` URL to ``target``.

    Raises:
        SourceError: no such package, version or path, or the index does not respond.
    """
    package = parse_url(url)
    missing = []
    for path in _artifacts(package, cache, progress=progress, fresh=fresh):
        try:
            archives.extract(path, archives.archive_type(path.name), package.path, target, strip_top=path.suffix != ".whl")
        except archives.MissingMemberError as error:
            missing.append(str(error))
        else:
            return
    raise archives.MissingMemberError("\n  ".join([f"{url}: no file of the package contains {package.path!r}", *missing]))


def available(url: str) -> None:
    """Check that an index has a package in its version, without fetching it.

    Raises:
        SourceError: no index has it, or no index responds.
    """
    settings = pip_settings()
    with client(settings) as session:
        find(parse_url(url), settings, session)


def _artifacts(package: PackageFile, cache: Path, *, progress: bool, fresh: bool = False) -> Iterator[Path]:
    """The package's archives in the cache, fetched lazily: the wheel, then the source archive."""
    settings = pip_settings()
    with client(settings) as session:
        for artifact in find(package, settings, session):
            yield downloads.download(artifact, cache, session, progress=progress, fresh=fresh)


class PypiFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Read-only fsspec file system over the files inside packages; paths are ``NAME==VERSION/path/inside``."""

    protocol = "pypi"
    cachable = False

    def __init__(self, cache: str | Path = downloads.CACHE, **options: Any) -> None:
        super().__init__(**options)
        self.cache = Path(cache)

    def _files(self, path: str) -> tuple[Path, dict[str, int]]:
        """The package's first archive that contains the path, with the sizes of all its files."""
        package = parse_url(path)
        for archive in _artifacts(package, self.cache, progress=False):
            with archives.opened(archive, archives.archive_type(archive.name), strip_top=archive.suffix != ".whl") as content:
                try:
                    archives.select(content, package.path, archive)
                except archives.MissingMemberError:
                    continue
                return archive, dict(content.files)
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
        """The entries of a folder, or the single entry of a file."""
        path = self._strip_protocol(path).rstrip("/")
        inside = parse_url(path).path.rstrip("/")
        entries = _entries(self._files(path)[1], path, inside)
        return entries if detail else [entry["name"] for entry in entries]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and type of a file or folder."""
        path = self._strip_protocol(path).rstrip("/")
        files = self._files(path)[1]
        inside = parse_url(path).path.rstrip("/")
        return {"name": path, "size": files.get(inside, 0), "type": "file" if inside in files else "directory"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> IO[bytes]:
        if mode != "rb":
            raise NotImplementedError("packages of an index are read-only")
        archive = self._files(path)[0]
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            file = Path(folder) / downloads.file_name(path)  # fsspec infers the compression from the suffix
            archives.extract(archive, archives.archive_type(archive.name), parse_url(path).path, file, strip_top=archive.suffix != ".whl")
            if not file.is_file():
                raise IsADirectoryError(path)
            return file.open("rb")  # stays readable after the folder is removed


def _entries(files: Mapping[str, int], path: str, inside: str) -> list[dict[str, Any]]:
    if inside in files:
        return [{"name": path, "size": files[inside], "type": "file"}]
    prefix = f"{inside}/" if inside else ""
    entries: dict[str, dict[str, Any]] = {}
    for name in _below(files, prefix):
        head, slash, _ = name.removeprefix(prefix).partition("/")
        size, type_ = (0, "directory") if slash else (files[name], "file")
        entries[head] = {"name": f"{path}/{head}", "size": size, "type": type_}
    return list(entries.values())


def _below(files: Iterable[str], prefix: str) -> list[str]:
    return sorted(name for name in files if name.startswith(prefix))


def register() -> None:
    """Register ``pypi`` with fsspec, in this process."""
    fsspec.register_implementation("pypi", PypiFileSystem, clobber=True)


register()
