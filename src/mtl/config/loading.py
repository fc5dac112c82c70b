"""From plain values to settings; every issue is reported at once, with its dotted path."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtl.config import checks
from mtl.config.params import Params
from mtl.config.reading import read_yaml
from mtl.config.urls import redacted
from mtl.errors import Issue, ParamsError


def load(path: Path) -> Params:
    """Read and check a params file (YAML or JSON).

    Raises:
        ParamsError: lists every issue with its dotted path and the allowed values.
    """
    return parse(read_yaml(path), source=str(path))


def parse(content: Mapping[str, Any], source: str = "params") -> Params:
    """Check settings that were read already.

    Raises:
        ParamsError: lists every issue with its dotted path and the allowed values.
    """
    renamed = list(_renamed(content))
    if renamed:
        content = _with_new_keys(content)
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        tags = _FORMS | _union_tags(Params.model_json_schema())
        issues = dict.fromkeys(_issue(item, content, tags) for item in error.errors())
        raise ParamsError(source, [*renamed, *issues, *checks.relations_of_raw(content)]) from None
    if problems := [*renamed, *_numbers_written_as_booleans(content, params.model_dump(mode="json")), *checks.relations(params)]:
        raise ParamsError(source, problems)
    return params


def dump(params: Params) -> str:
    """All settings, defaults included, as JSON in the order given: that of datasets and tasks decides results."""
    return json.dumps(params.model_dump(mode="json"), indent=1) + "\n"


def as_yaml(params: Params, note: str) -> str:
    """A whole params file with every setting, below a comment."""
    from ruamel.yaml import YAML

    content, yaml = io.StringIO(), YAML()
    yaml.width = 1_000_000
    yaml.dump(params.model_dump(mode="json"), content)
    return f"# {note}\n{content.getvalue()}"


def _numbers_written_as_booleans(raw: Any, parsed: Any, path: tuple[str, ...] = ()) -> Iterator[Issue]:
    """Pydantic takes true and false for 1 and 0."""
    if isinstance(raw, Mapping) and isinstance(parsed, Mapping):
        for key in (key for key in raw if key in parsed):
            yield from _numbers_written_as_booleans(raw[key], parsed[key], (*path, str(key)))
    elif isinstance(raw, list | tuple) and isinstance(parsed, list):
        for number, pair in enumerate(zip(raw, parsed, strict=False)):
            yield from _numbers_written_as_booleans(*pair, (*path, str(number)))
    elif isinstance(raw, bool) and not isinstance(parsed, bool | str):
        yield Issue(".".join(path), f"should be a number, not {json.dumps(raw)}")


RENAMED = {("datasets", "*", "labels", "*", "kind"): "type", ("experiment", "alone"): "single_task"}
"""Path of a key of earlier versions (``*``: any name) to its present name."""


def _renamed(content: Any, path: tuple[str, ...] = ()) -> Iterator[Issue]:
    """An issue for each key that has another name now."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            here = (*path, str(key))
            if (new := _new_key(here)) and new not in content:
                yield Issue(".".join(here), f"is called {new} now; rename it")
            yield from _renamed(value, here)


def _with_new_keys(content: Any, path: tuple[str, ...] = ()) -> Any:
    """The same with present names, so that other issues are found too."""
    if not isinstance(content, Mapping):
        return content
    new = {key: _new_key((*path, str(key))) or key for key in content}
    return {key if new[key] in content else new[key]: _with_new_keys(value, (*path, str(key))) for key, value in content.items()}


def _new_key(path: tuple[str, ...]) -> str | None:
    return next((new for old, new in RENAMED.items() if len(old) == len(path) and all(map(_matches, old, path))), None)


def _matches(pattern: str, key: str) -> bool:
    return pattern in ("*", key)


_FORMS = {"Source", "Sources", "Range", "Choices", "Column", "Fields", "int", "float"}
"""Names of the forms that a value may have; pydantic puts them into the paths of errors."""


def _union_tags(schema: Any) -> set[str]:
    """The names by which a JSON schema tells the members of its unions apart; pydantic puts them into the paths of errors."""
    if isinstance(schema, list):
        return set().union(*map(_union_tags, schema))
    if not isinstance(schema, dict):
        return set()
    return _union_tags(list(schema.values())) | set(schema.get("discriminator", {}).get("mapping", ()))


def _issue(item: Any, content: Mapping[str, Any], tags: set[str]) -> Issue:
    """One pydantic error as an issue: its path without the tags of unions, its message with the bad value and the choices."""
    path: list[str] = []
    node: Any = content
    for part in item["loc"]:
        inside = (isinstance(node, Mapping) and part in node) or (isinstance(node, list) and isinstance(part, int) and part < len(node))
        if not inside and (part in tags or ("[" in str(part) and item["type"] != "missing")):
            continue
        if part == "[key]":
            continue
        path.append(str(part))
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            node = None
    key = ".".join(path) or "params"
    return Issue(key, _message(item))


def _message(item: Any) -> str:
    value = item.get("input")
    match item["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "is required"
        case "union_tag_invalid":
            context = item["ctx"]
            return f"{context['tag']!r} is unknown; choose from: {context['expected_tags']}"
        case "union_tag_not_found":
            return f"{item['ctx']['discriminator']} is required"
        case "value_error":
            return str(item["ctx"]["error"])
    message = str(item["msg"]).removeprefix("Input ")
    scalar = isinstance(value, str | int | float | bool) or value is None
    return redacted(f"{message}, not {value!r}") if scalar else message
