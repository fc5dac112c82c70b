"""From text to plain values: YAML 1.2 or JSON, with bounds, and nothing that JSON does not know."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtl.config.urls import redacted
from mtl.errors import Issue, ParamsError

MAX_BYTES = 1_000_000
"""Longest YAML that is read: seconds of work."""
MAX_VALUES = 100_000
"""Most values in a YAML document, those of an alias counted each time."""
MAX_DEPTH = 30
"""Levels of nesting."""
MAX_INT = 2**63


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 file (the dialect that DVC writes) or a JSON file as plain values.

    Raises:
        ParamsError: the file is missing, too large, not UTF-8 or YAML, or not a mapping; or it holds what JSON does not know, such as
            dates, or numbers and nesting without bounds.
    """
    try:
        return read_text(_text_of(path), str(path), as_json=path.suffix == ".json")
    except FileNotFoundError:
        raise ParamsError(str(path), [Issue("file", "does not exist")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [Issue("file", f"cannot be read: {error}")]) from None


def read_text(text: str, source: str, *, as_json: bool = False) -> dict[str, Any]:
    """The same for text that was read already.

    Raises:
        ParamsError: as for ``read_yaml``.
    """
    content = _values(text, source, "file", as_json=as_json)
    if not isinstance(content, dict):
        raise ParamsError(source, [Issue("file", "must be a mapping of sections")])
    return _checked(content, source)


def read_option(option: str, source: str = "--config") -> dict[str, Any]:
    """``section=value`` of the command line, with the value read as in the file.

    Raises:
        ParamsError: the value is not YAML, or as for ``read_yaml``.
    """
    section, _, text = option.partition("=")
    return _checked({section: _values(text, source, section)}, source)


def compose(text: str) -> Any:
    """The nodes of a YAML 1.2 document with their places in the text; None where it is empty.

    Raises:
        ValueError: this is not YAML, in one line.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _yaml().compose(text)
    except MarkedYAMLError as error:
        raise ValueError(_one_line(error)) from None
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read() if path.suffix == ".json" else file.read(MAX_BYTES + 1)
    return data.decode("utf-8-sig")


def _values(text: str, source: str, key: str, *, as_json: bool = False) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object) if as_json else _from_yaml(text)
    except RecursionError:
        problem = "is nested too deeply"
    except ValueError as error:
        problem = redacted(f"cannot be read as {'JSON' if as_json else 'YAML'}: {error}")
    raise ParamsError(source, [Issue(key, problem)])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {max(names, key=names.count)!r} is there twice")
    return content


def _yaml() -> Any:
    from ruamel.yaml import YAML  # prediction reads no YAML, and is installed without it

    return YAML(typ="safe", pure=True)


def _from_yaml(text: str) -> Any:
    from ruamel.yaml.error import MarkedYAMLError

    if len(text) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES:,} characters")
    node = compose(text)
    if node is None:
        return None
    if (size := _size(node, {})) == math.inf:
        raise ValueError("an alias is inside its own anchor")
    if size > MAX_VALUES:
        raise ValueError(f"has more than {MAX_VALUES:,} values, those of an alias counted each time")
    try:
        return _yaml().constructor.construct_document(node)
    except MarkedYAMLError as error:
        raise ValueError(_one_line(error)) from None
    except (AttributeError, LookupError, TypeError, OverflowError) as error:  # ruamel's own, from values that do not fit their tags
        raise ValueError(str(error)) from None


def _size(node: Any, known: dict[int, float]) -> float:
    """Values below a YAML node, those of an alias counted each time; infinite where a node holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node.value, list) else ()
        known[id(node)] = 1 + sum(_size(item, known) for child in children for item in (child if isinstance(child, tuple) else (child,)))
    return known[id(node)]


def _one_line(error: Any) -> str:
    mark = error.problem_mark or error.context_mark
    problem = f"{error.context}, {error.problem}" if error.problem.startswith("but ") else error.problem
    return (f"line {mark.line + 1}, column {mark.column + 1}: " if mark else "") + problem


def _checked(content: dict[str, Any], source: str) -> dict[str, Any]:
    if issues := list(_issues(content)):
        raise ParamsError(source, issues)
    return content


def _issues(value: Any, path: tuple[str, ...] = ()) -> Iterator[Issue]:
    """What JSON does not know, and what has no bounds."""
    if len(path) > MAX_DEPTH:
        yield Issue(".".join(path[:3]), f"is nested more than {MAX_DEPTH} levels deep")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _issues(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _issues(item, (*path, str(number)))
    elif message := _unfit(value):
        yield Issue(".".join(path), message)


def _unfit(value: Any) -> str | None:
    """What is wrong with a scalar."""
    match value:
        case None | bool():
            return None
        case int():
            return None if -MAX_INT <= value < MAX_INT else "must be from -2^63 to 2^63 - 1"
        case float():
            return "must be a number, not NaN" if math.isnan(value) else None
        case str():
            return "holds a character that is not text (NUL or half of a surrogate pair)" if _is_not_text(value) else None
    return f"is read as a {type(value).__name__}; write it in quotes if it is text"


def _is_not_text(value: str) -> bool:
    return "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
