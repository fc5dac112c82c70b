"""Edits of a params file that change the bytes of the new values only: comments, quotes and line ends stay."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mtl.config.loading import parse
from mtl.config.params import Params
from mtl.config.reading import compose, read_text
from mtl.config.space import candidate
from mtl.errors import Issue, ParamsError
from mtl.files import rewrite


class _Edit(NamedTuple):
    """New text for a range of the old one."""

    start: int
    end: int
    text: str


def write_checksums(path: Path, params: Params, checksums: Mapping[str, str]) -> None:
    """State checksums in a params file. It is left as it is where that would change anything else.

    Args:
        path: a YAML or JSON file, or a link to one.
        params: its settings as they were read.
        checksums: dotted path of each source to its sha256.

    Raises:
        ParamsError: the file has other settings by now, or an alias, say, leaves no place for a checksum.
    """
    text = path.read_bytes().decode()
    if _settings(text, path) != params:
        raise ParamsError(str(path), [Issue("file", "was changed meanwhile; run the command again")])
    edited = text
    for edit in sorted(_edits(text, checksums), reverse=True):
        edited = edited[: edit.start] + edit.text + edited[edit.end :]
    if _settings(edited, path) != candidate(params, {f"{key}.sha256": checksum for key, checksum in checksums.items()}):
        problem = "cannot be written here without a change to other settings; write it yourself"
        raise ParamsError(str(path), [Issue(f"{key}.sha256", f"{checksum} {problem}") for key, checksum in checksums.items()])
    rewrite(path, edited.encode())


def _settings(text: str, path: Path) -> Params | None:
    """The settings that a text holds; None where it cannot be read any more."""
    try:
        return parse(read_text(text.removeprefix("\ufeff"), str(path), as_json=path.suffix == ".json"))
    except ParamsError:
        return None


def _edits(text: str, checksums: Mapping[str, str]) -> set[_Edit]:
    """The changes, as far as there is a place for them; sources that share an anchor share their change."""
    try:
        root = compose(text)
    except ValueError:  # JSON that is not YAML
        return set()
    edits = (_edit(text, _node(root, key), checksum) for key, checksum in checksums.items())
    return {edit for edit in edits if edit}


def _node(node: Any, path: str) -> Any:
    """The node at a dotted path, or None."""
    for step in path.split("."):
        _, node = _pairs(node).get(step, (None, None))
    return node


def _pairs(node: Any) -> dict[str, tuple[Any, Any]]:
    """The nodes of a mapping's keys and values."""
    return {str(key.value): (key, value) for key, value in node.value} if node is not None and node.id == "mapping" else {}


def _edit(text: str, source: Any, checksum: str) -> _Edit | None:
    """The change to the mapping of one source."""
    pairs = _pairs(source)
    if "sha256" in pairs:
        key, value = pairs["sha256"]
        return _replacement(text, key, value, checksum)
    if "url" in pairs:
        key, value = pairs["url"]
        return _addition(text, key, value, checksum, flow=source.flow_style)
    return None


def _replacement(text: str, key: Any, value: Any, checksum: str) -> _Edit:
    start, end, quote = value.start_mark.index, value.end_mark.index, key.style or ""
    if start < end:
        return _Edit(start, end, f"{quote}{checksum}{quote}")
    start = text.index(":", key.end_mark.index) + 1  # an empty value has no place of its own
    return _Edit(start, start, f" {quote}{checksum}{quote}")


def _addition(text: str, key: Any, value: Any, checksum: str, *, flow: bool) -> _Edit:
    """A key after that of the URL, quoted like it: beside it, or on a line below."""
    quote = key.style or ""
    pair = f"{quote}sha256{quote}: {quote}{checksum}{quote}"
    end = value.end_mark.index
    if flow:
        return _Edit(end, end, f", {pair}")
    rest = text[end:].partition("\n")[0]
    end += len(rest.removesuffix("\r"))
    line_end = "\r\n" if rest.endswith("\r") else "\n"
    return _Edit(end, end, f"{line_end}{' ' * key.start_mark.column}{pair}")
