"""Generates the reference from the package: a page holds ``<!-- generated: NAME -->`` where NAME is one of ``GENERATED``."""

import argparse
import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import mtl.cli
import mtl.config

PARSER: Callable[[], argparse.ArgumentParser] = getattr(mtl.cli, "parser", None) or mtl.cli._parser
API = ("mtl.load", "mtl.api", "mtl.augment.compat")
"""Public functions, and modules of which all public names are listed. A name that does not exist is left out."""
INTERNAL = "(workflow)"
"""Prefix of the help of commands that only the workflow calls."""

Schema = Mapping[str, Any]


# --- settings -------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Every key of ``params.yaml`` with its type, default and meaning, as Markdown."""
    return _Settings(mtl.config.json_schema()).markdown()


class _Settings:
    """The JSON schema of the settings as Markdown: a section per key of the file, and in it a section per model."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.models: Mapping[str, Schema] = schema["$defs"]
        self.chosen = _chosen(dict(schema))
        self.written: set[str] = set()

    def markdown(self) -> str:
        required = self.schema.get("required", [])
        links = [f"[`{key}`](#{key}){'' if key in required else ' (optional)'}" for key in self.schema["properties"]]
        blocks = [f"Sections: {', '.join(links)}."]
        for key, described in self.schema["properties"].items():
            blocks += [f"## `{key}`", *self._top(key, described)]
        return "\n\n".join(block for block in blocks if block)

    def _top(self, key: str, described: Schema) -> Iterator[str]:
        places = list(self._references(described, key))
        if not places:
            yield self._key(key, described, key in self.schema.get("required", []))
        yield from self._models(places, key)

    def _models(self, places: list[tuple[str, str]], top: str = "") -> Iterator[str]:
        """The models at these places, each where it is met first, and those below them."""
        for place, name in places:
            model = self.models[name]
            if name in self.written or "properties" not in model:
                continue
            self.written.add(name)
            heading = "" if place == top and len(places) == 1 else f"\n### `{place}`{self._choice(name, ' with `{}`')}"
            yield f"(settings-{name.lower()})={heading}"
            yield _cleaned(model.get("description", ""))
            yield self._keys(model)
            for key, below in model["properties"].items():
                yield from self._models(list(self._references(below, f"{place}.{key}")))

    def _references(self, described: Schema, path: str) -> Iterator[tuple[str, str]]:
        """``(path, model)`` of the models that a key takes."""
        if "$ref" in described:
            yield path, described["$ref"].rpartition("/")[2]
        for form in (*described.get("anyOf", ()), *described.get("oneOf", ())):
            yield from self._references(form, path)
        if values := _values(described):
            yield from self._references(values, f"{path}.<{'split' if path.endswith('source') else 'name'}>")
        if isinstance(described.get("items"), dict):
            yield from self._references(described["items"], path)

    def _choice(self, name: str, form: str) -> str:
        """Which values of ``type`` or ``format`` choose this model; empty if none does."""
        for key in ("type", "format"):
            described = self.models[name].get("properties", {}).get(key, {})
            if "const" in described:
                return form.format(f"{key}: {described['const']}")
            if "enum" in described and name in self.chosen:
                return form.format(f"{key}: {', '.join(described['enum'])}")
            if "pattern" in described:
                return form.format(f"{key}: {described['pattern'].strip('^$').replace('.+', '…')}")
        return ""

    def _keys(self, model: Schema) -> str:
        required = model.get("required", [])
        keys = {key: described for key, described in model["properties"].items() if "const" not in described}
        return "\n".join(self._key(key, described, key in required) for key, described in keys.items())

    def _key(self, key: str, described: Schema, required: bool) -> str:
        """One key as an item of a list."""
        default = "required" if required else f"default `{json.dumps(described['default'])}`" if "default" in described else "optional"
        text = _cleaned(described.get("description", "")).replace("\n", "\n  ")
        return f"- **`{key}`** · {self._form(described)} · {default}" + (f" \\\n  {text}" if text else "")

    def _form(self, described: Schema) -> str:
        """The type of a value in words."""
        if "$ref" in described:
            name = described["$ref"].rpartition("/")[2]
            model = self.models[name]
            return f"[{self._choice(name, '`{}`') or name}](#settings-{name.lower()})" if "properties" in model else "any value"
        if forms := described.get("anyOf") or described.get("oneOf"):
            return " or ".join(dict.fromkeys(map(self._form, forms)))
        if "const" in described:
            return f"`{described['const']}`"
        if "enum" in described:
            return ", ".join(f"`{value}`" for value in described["enum"])
        return self._FORMS.get(described.get("type", ""), lambda _, __: "any value")(self, described)

    def _number(self, described: Schema) -> str:
        bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        limits = [f"{sign} {described[key]:,}" for key, sign in bounds.items() if key in described]
        return " ".join([str(described["type"]), ", ".join(limits)]).strip()

    def _array(self, described: Schema) -> str:
        if "prefixItems" in described:
            return f"[{', '.join(map(self._form, described['prefixItems']))}]"
        return f"list of {self._form(described.get('items', {}))}"

    def _object(self, described: Schema) -> str:
        values = _values(described)
        return f"mapping of name to {self._form(values)}" if values else "mapping"

    _FORMS: ClassVar[dict[str, Callable[[Any, Schema], str]]] = {
        "string": lambda _, __: "string",
        "boolean": lambda _, __: "true or false",
        "null": lambda _, __: "null",
        "integer": _number,
        "number": _number,
        "array": _array,
        "object": _object,
    }


def _values(described: Schema) -> Schema:
    """What the values of a mapping are; empty if that is not stated."""
    forms = [described.get("additionalProperties"), *described.get("patternProperties", {}).values()]
    return next((form for form in forms if isinstance(form, dict)), {})


def _chosen(node: Any) -> set[str]:
    """The models that are told apart by their ``type`` or ``format``."""
    if isinstance(node, list):
        return set().union(*map(_chosen, node))
    if not isinstance(node, dict):
        return set()
    mapping = node.get("discriminator", {}).get("mapping", {})
    return {reference.rpartition("/")[2] for reference in mapping.values()} | _chosen(list(node.values()))


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
    options = "\n".join(_option(action) for action in parser._actions if action.dest != "help")
    sentence = re.sub(r"(--\w+)", r"`\1`", text.removeprefix(INTERNAL).strip())
    return "\n\n".join([f"### `{name}`", f"{sentence[:1].upper()}{sentence[1:]}.", f"```text\n{usage}\n```", options])


def _option(action: argparse.Action) -> str:
    """One argument as an item of a list."""
    name = ", ".join(action.option_strings) or action.metavar or action.dest
    notes = ["required"] if action.required and action.option_strings else []
    notes += [f"one of {', '.join(f'`{choice}`' for choice in action.choices)}"] if action.choices else []
    notes += [f"default `{action.default}`"] if action.default not in (None, False, argparse.SUPPRESS) else []
    return f"- **`{name}`**{''.join(f' · {note}' for note in notes)}" + (f" \\\n  {action.help}" if action.help else "")


# --- Python API -----------------------------------------------------------------------------------------------------


def api() -> str:
    """The public functions and classes, as directives of autodoc."""
    return "\n\n".join(_documented(name) for name in API if _exists(name))


def errors() -> str:
    """The tree of errors, and each of them."""
    module = importlib.import_module("mtl.errors")
    tree = (module.__doc__ or "").partition("\n\n")[2].strip()
    names = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, module.MtlError)]
    return "\n\n".join([f"```text\n{tree}\n```", *(_directive("autoexception", f"mtl.errors.{name}") for name in names)])


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

GENERATED: dict[str, Callable[[], str]] = {"settings": settings, "cli": cli, "api": api, "errors": errors}


def filled(text: str) -> str:
    """A page with what is generated in the place of its marks."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda mark: GENERATED[mark[1]](), text)


def _readable(
    app: Any, what: str, name: str, item: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str] | None:
    """A signature without its types where one of them is a union of settings models, which fills half a page."""
    if signature is None or "Annotated[" not in signature:
        return None
    bare = inspect.signature(item)
    return str(bare.replace(parameters=[p.replace(annotation=inspect.Parameter.empty) for p in bare.parameters.values()])), returns or ""


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _readable)
    app.connect("source-read", lambda app, name, source: source.__setitem__(0, filled(source[0])))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
