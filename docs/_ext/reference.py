"""Generates the reference from the package: a page holds ``<!-- generated: NAME -->`` where NAME is one of ``GENERATED``."""

import argparse
import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mtl.cli

SETTINGS = "mtl.config" if importlib.util.find_spec("mtl.config") else "mtl.params"
"""The module of the settings models."""
PARSER: Callable[[], argparse.ArgumentParser] = getattr(mtl.cli, "parser", None) or mtl.cli._parser
API = ("mtl.load", "mtl.api", "mtl.augment.compat")
"""Public functions, and modules of which all public names are listed. A name that does not exist is left out."""
INTERNAL = "(workflow)"
"""Prefix of the help of commands that only the workflow calls."""

Schema = Mapping[str, Any]


# --- settings -------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Every key of ``params.yaml`` with its type, default and meaning, as Markdown."""
    schema = importlib.import_module(SETTINGS).json_schema()
    root = {"title": "Params", "properties": schema["properties"], "required": schema.get("required", [])}
    blocks = [_keys(root, "")]
    visited: dict[str, str] = {}
    for key, described in schema["properties"].items():
        blocks.append(f"## `{key}`")
        blocks += _models(described, key, schema["$defs"], visited)
    return "\n\n".join(blocks)


def _models(described: Schema, path: str, models: Mapping[str, Schema], visited: dict[str, str]) -> Iterator[str]:
    """The models below a key, each once, where it is met first."""
    for place, name in _references(described, path):
        if name in visited:
            continue
        visited[name] = place
        model = models[name]
        if place != path or len(list(_references(described, path))) > 1:
            yield f"(settings-{name.lower()})=\n### `{place}`{_variant(model)}"
        else:
            yield f"(settings-{name.lower()})="
        yield _cleaned(model.get("description", ""))
        yield _keys(model, place)
        for key, below in model.get("properties", {}).items():
            yield from _models(below, f"{place}.{key}", models, visited)


def _references(described: Schema, path: str) -> Iterator[tuple[str, str]]:
    """``(path, model)`` of the models that a key takes."""
    if "$ref" in described:
        yield path, described["$ref"].rpartition("/")[2]
    for form in (*described.get("anyOf", ()), *described.get("oneOf", ())):
        yield from _references(form, path)
    if isinstance(described.get("additionalProperties"), dict):
        yield from _references(described["additionalProperties"], f"{path}.<{_singular(path)}>")
    if isinstance(described.get("items"), dict):
        yield from _references(described["items"], path)


def _singular(path: str) -> str:
    return {"source": "split", "space": "path"}.get(path.rpartition(".")[2], "name")


def _variant(model: Schema) -> str:
    """Which values of ``type`` or ``format`` choose this model."""
    for key in ("type", "format"):
        described = model.get("properties", {}).get(key, {})
        if values := [described["const"]] if "const" in described else described.get("enum"):
            return f" with `{key}: {'`, `'.join(map(str, values))}`"
    return ""


def _keys(model: Schema, path: str) -> str:
    required = model.get("required", [])
    return "\n\n".join(_key(key, described, key in required) for key, described in model.get("properties", {}).items())


def _key(key: str, described: Schema, required: bool) -> str:
    """One key as an item of a definition list."""
    default = "required" if required else f"default `{json.dumps(described['default'])}`" if "default" in described else "optional"
    text = _cleaned(described.get("description", "")).replace("\n", "\n  ")
    return f"**`{key}`** · {_form(described)} · {default}\n: {text or '&nbsp;'}"


def _form(described: Schema) -> str:
    """The type of a value in words."""
    if "$ref" in described:
        name = described["$ref"].rpartition("/")[2]
        return f"[{name}](#settings-{name.lower()})"
    if forms := described.get("anyOf") or described.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_form, forms)))
    if "const" in described:
        return f"`{described['const']}`"
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    return _FORMS.get(described.get("type", ""), lambda _: "any value")(described)


def _number(described: Schema) -> str:
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {described[key]:,}" for key, sign in bounds.items() if key in described]
    return " ".join([str(described["type"]), ", ".join(limits)]).strip()


def _array(described: Schema) -> str:
    if "prefixItems" in described:
        return f"[{', '.join(map(_form, described['prefixItems']))}]"
    return f"list of {_form(described.get('items', {}))}"


def _object(described: Schema) -> str:
    values = described.get("additionalProperties")
    return f"mapping to {_form(values)}" if isinstance(values, dict) else "mapping"


_FORMS: dict[str, Callable[[Schema], str]] = {
    "string": lambda _: "string",
    "boolean": lambda _: "true or false",
    "null": lambda _: "null",
    "integer": _number,
    "number": _number,
    "array": _array,
    "object": _object,
}


def _cleaned(text: str) -> str:
    """A docstring as Markdown: single line breaks are spaces."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(text)).strip()


# --- command line ---------------------------------------------------------------------------------------------------


def cli() -> str:
    """Every command of ``python -m mtl``, those that users call first, as Markdown."""
    commands = list(_commands(PARSER()))
    public = [_command(name, text, parser) for name, text, parser in commands if not text.startswith(INTERNAL)]
    internal = [_command(name, text, parser) for name, text, parser in commands if text.startswith(INTERNAL)]
    return "\n\n".join(["## Commands", *public, "## Commands that the workflow calls", *internal])


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, help and parser of each command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, choice.help or "", action.choices[choice.dest]


def _command(name: str, text: str, parser: argparse.ArgumentParser) -> str:
    usage = re.sub(r"\s+", " ", parser.format_usage().removeprefix("usage: ")).strip().replace(" [-h]", "")
    options = [_option(action) for action in parser._actions if action.dest != "help"]
    sentence = text.removeprefix(INTERNAL).strip()
    return "\n\n".join([f"### `{name}`", f"{sentence[:1].upper()}{sentence[1:]}.", f"```text\n{usage}\n```", *options])


def _option(action: argparse.Action) -> str:
    """One argument as an item of a definition list."""
    name = ", ".join(action.option_strings) or action.metavar or action.dest
    notes = ["required"] if action.required and action.option_strings else []
    notes += [f"one of {', '.join(f'`{choice}`' for choice in action.choices)}"] if action.choices else []
    notes += [f"default `{action.default}`"] if action.default not in (None, False, argparse.SUPPRESS) else []
    return f"**`{name}`**{''.join(f' · {note}' for note in notes)}\n: {action.help or '&nbsp;'}"


# --- Python API -----------------------------------------------------------------------------------------------------


def api() -> str:
    """The public functions and classes, as directives of autodoc."""
    return "\n\n".join(_documented(name) for name in API if _exists(name))


def _exists(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    return bool(importlib.util.find_spec(module) and (importlib.util.find_spec(name) if _is_module(name) else _has(module, attribute)))


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _has(module: str, attribute: str) -> bool:
    return hasattr(importlib.import_module(module), attribute)


def _documented(name: str) -> str:
    if not _is_module(name):
        return f"## `{name}`\n\n{_directive('autofunction', name)}"
    module = importlib.import_module(name)
    own = {key: value for key, value in vars(module).items() if getattr(value, "__module__", None) == name}
    public = getattr(module, "__all__", None) or [key for key in own if not key.startswith("_")]
    blocks = [
        _directive("autoclass" if inspect.isclass(own[key]) else "autofunction", f"{name}.{key}")
        for key in public
        if inspect.isclass(own.get(key)) or inspect.isfunction(own.get(key))
    ]
    return "\n\n".join([f"## `{name}`", *blocks])


def _directive(kind: str, name: str) -> str:
    members = "\n   :members:" if kind == "autoclass" else ""
    return f"```{{eval-rst}}\n.. {kind}:: {name}{members}\n```"


# --- Sphinx ---------------------------------------------------------------------------------------------------------

GENERATED: dict[str, Callable[[], str]] = {"settings": settings, "cli": cli, "api": api}


def filled(text: str) -> str:
    """A page with what is generated in the place of its marks."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda mark: GENERATED[mark[1]](), text)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", lambda app, name, source: source.__setitem__(0, filled(source[0])))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
