"""URLs that hold no secrets: settings travel into model cards, reports and ``dvc.lock``.

A secret is written as ``${env:NAME}`` and replaced where the source is fetched. Nothing that is stored or printed has its value.
"""

import re
from urllib.parse import quote, quote_plus, unquote, urlsplit

VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
"""A reference to an environment variable."""
HIDDEN = "***"

PUBLIC_PARAMETERS = frozenset((
    "alt", "branch", "columns", "commit", "config", "dataset", "date", "dl", "doi", "download", "export", "ext", "file", "fileid",
    "filename", "files", "filter", "folder", "format", "generation", "gid", "id", "inline", "lang", "language", "length", "limit",
    "locale", "mode", "name", "offset", "order", "page", "path", "persistentid", "q", "query", "raw", "ref", "revision", "rows",
    "search", "sheet", "sort", "split", "start", "subset", "tab", "type", "v", "version", "versionid", "view",
))  # fmt: skip
"""Names of query parameters, in lower case, that say what to fetch and not who may fetch it. Any other may be a credential."""
PUBLIC_VALUES = frozenset(("0", "1", "true", "false", "yes", "no", "on", "off"))
"""Values that are not secret under any name."""

_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"<>`]+")
_USER_INFO = re.compile(r"^([A-Za-z][\w+.-]*://)([^/?#]*)@")
_FIELD = re.compile(r"([?&;#])([^?&;#]*)")
_WEB = ("http://", "https://")
_WITHOUT_SECRETS = ("file://", "local://", "memory://", "pypi://")
_REPOSITORIES = ("github://", "git://")
"""fsspec writes the names of a repository where others write those of a user."""


def parts_of(url: str) -> list[str]:
    """The parts of a chain, divided by ``::``. That of an IPv6 address, in brackets, divides nothing."""
    return re.split(r"::(?![\da-fA-F:.]*\])", url)


def issue_of(url: str) -> str | None:
    """What is wrong with the URL of a source, if anything. The text has no value that may be secret."""
    if "${" in VARIABLE.sub("", url):
        return "${…} has another form than ${env:NAME}, the value of the environment variable NAME"
    return next((issue for part in parts_of(url) if (issue := _issue_of_part(part))), None)


def _issue_of_part(url: str) -> str | None:
    scheme, separator, _ = url.partition("://")
    if not separator or url.lower().startswith(_WITHOUT_SECRETS):
        return None
    if VARIABLE.search(scheme):
        return "the scheme is a variable; write it out, such as https://"
    if not _is_valid(url):
        return "is not a valid URL"
    if _USER_INFO.sub(_hidden_user, url) != url:
        return (
            "holds a user name or password, which would travel with the results; write a variable, as in https://ann:${env:PASSWORD}@host"
        )
    hidden = [field for _, field in _FIELD.findall(url) if _hidden_field(field) != field]
    return f"{_named(hidden[0])}, which would travel with the results; write a variable, as in ?token=${{env:TOKEN}}" if hidden else None


def _named(field: str) -> str:
    name, equals, _ = field.partition("=")
    return f"the query parameter {name!r} may hold a credential" if equals else "the query may be a credential"


def redacted(text: str) -> str:
    """A text in which no URL has user info, or values of a query that may be secret."""
    return _URL.sub(lambda match: "::".join(map(_redacted, parts_of(match[0]))), text)


def _redacted(url: str) -> str:
    if url.startswith(_WITHOUT_SECRETS):
        return url
    return _FIELD.sub(lambda match: match[1] + _hidden_field(match[2]), _USER_INFO.sub(_hidden_user, url))


def _hidden_user(match: re.Match[str]) -> str:
    """On the web any user info may be a token. Elsewhere a name without a password is often that of a container; tokens of the hub tell
    what they are."""
    scheme, (_, colon, secret) = match[1].lower(), VARIABLE.sub("$", match[2]).rpartition(":")
    public = scheme in _REPOSITORIES or secret == "$" or (scheme not in _WEB and not colon and not secret.startswith("hf_"))
    return match[0] if public else f"{match[1]}{HIDDEN}@"


def _hidden_field(field: str) -> str:
    """A field of a query, such as ``download=1`` or a bare word."""
    name, equals, value = field.partition("=") if "=" in field else ("", "", field)
    public = unquote(name or value).lower() in PUBLIC_PARAMETERS or value.lower() in {"", *PUBLIC_VALUES}
    return field if public or VARIABLE.fullmatch(value) else f"{name}{equals}{HIDDEN}"


def _is_valid(url: str) -> bool:
    try:
        address = urlsplit(VARIABLE.sub("1", url))
        return not url.lower().startswith(_WEB) or (bool(address.hostname) and address.port != 0)
    except ValueError:  # unfinished brackets, or a port that is not a number
        return False


def with_values(url: str, values: dict[str, str]) -> str:
    """A URL with the values of its variables: in user info percent-encoded, elsewhere as they are."""
    url = _USER_INFO.sub(lambda match: VARIABLE.sub(lambda name: quote(values[name[1]], safe=""), match[0]), url)
    return VARIABLE.sub(lambda name: values[name[1]], url)


def without_values(text: str, values: dict[str, str]) -> str:
    """A text for users: the names of variables instead of their values, and no other secret of a URL."""
    text = redacted(text)
    for name, value in values.items():
        for form in sorted({value, quote(value), quote(value, safe=""), quote_plus(value), unquote(value)} - {""}, key=len, reverse=True):
            text = text.replace(form, f"${{env:{name}}}")
    return text
