"""The JSON schema of ``params.yaml``, for editors and for the reference."""

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

from mtl.config.base import Section
from mtl.config.params import Params


def json_schema() -> dict[str, Any]:
    """The JSON schema that editors use to check and complete ``params.yaml``."""
    schema = Params.model_json_schema()
    classes = {section.__name__: section for section in _sections(Section)}
    for name, section in {"Params": schema, **schema["$defs"]}.items():
        for key, described in section.get("properties", {}).items():
            if text := next((docs[key] for docs in map(_docs, classes[name].__mro__) if key in docs), None):
                section["properties"][key] = dict(sorted({**described, "description": text}.items()))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _sections(parent: type[Section]) -> Iterator[type[Section]]:
    for section in parent.__subclasses__():
        yield section
        yield from _sections(section)


def _docs(section: type) -> dict[str, str]:
    """The strings below the fields of a class. Pydantic would look them up in every process that imports the settings."""
    if not (isinstance(section, type) and issubclass(section, Section)) or section is Section:
        return {}
    node = ast.parse(inspect.getsource(section)).body[0]
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in itertools.pairwise(getattr(node, "body", ()))
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
