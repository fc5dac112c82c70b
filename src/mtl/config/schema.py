"""The JSON schema of ``params.yaml``, for editors and for the reference."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any

from mtl import plugins
from mtl.config.augment import NlpaugInShort
from mtl.config.base import PLUG_IN, Section
from mtl.config.params import Params

SHORT_FORMS: dict[str, type[Section]] = {plugins.AUGMENTERS: NlpaugInShort}
"""Group of plug-ins to the model of a short form that is accepted too."""


def json_schema() -> dict[str, Any]:
    """The JSON schema that editors use to check and complete ``params.yaml``; of plug-ins it names the built-in ones."""
    schema = Params.model_json_schema()
    groups = [group for group in plugins.BUILT_IN if group not in (plugins.LANGUAGES, plugins.SEGMENTERS)]  # which have no settings
    models = {group: [plugins.settings_of(group, name) for name in plugins.BUILT_IN[group]] for group in groups}
    for model in itertools.chain(*models.values(), SHORT_FORMS.values()):
        own = model.model_json_schema()
        schema["$defs"] |= own.pop("$defs", {}) | {model.__name__: own}
    schema["$defs"] = dict(sorted(schema["$defs"].items()))
    schema = _with_plugins(schema, models)
    classes = {section.__name__: section for section in _sections(Section)}
    for name, section in {"Params": schema, **schema["$defs"]}.items():
        for key, described in section.get("properties", {}).items():
            if text := next((docs[key] for docs in map(_docs, classes[name].__mro__) if key in docs), None):
                section["properties"][key] = dict(sorted({**described, "description": text}.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _with_plugins(node: Any, models: dict[str, list[type[Section]]]) -> Any:
    """A schema in which the models of each group of plug-ins stand for its place holder."""
    if isinstance(node, list):
        return [_with_plugins(item, models) for item in node]
    if not isinstance(node, dict):
        return node
    if PLUG_IN not in node:
        return {key: _with_plugins(value, models) for key, value in node.items()}
    group = node[PLUG_IN]
    refs = {name: f"#/$defs/{model.__name__}" for name, model in zip(plugins.BUILT_IN[group], models[group], strict=True)}
    union = {"discriminator": {"mapping": refs, "propertyName": "type"}, "oneOf": [{"$ref": ref} for ref in refs.values()]}
    short = SHORT_FORMS.get(group)
    return union if short is None else {"anyOf": [union, {"$ref": f"#/$defs/{short.__name__}"}]}


def _sections(parent: type[Section]) -> Iterator[type[Section]]:
    for section in parent.__subclasses__():
        yield section
        yield from _sections(section)


def _docs(section: type) -> dict[str, str]:
    """The strings below the fields of a class. Pydantic would look them up in every process that imports the settings."""
    if not issubclass(section, Section) or section is Section:
        return {}
    node = ast.parse(textwrap.dedent(inspect.getsource(section))).body[0]
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in itertools.pairwise(getattr(node, "body", ()))
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
