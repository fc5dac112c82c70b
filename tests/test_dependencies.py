"""Each dependency that is declared is used, each one that is used is declared, and prediction needs the core only."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = {"huggingface-hub": "huggingface_hub", "ruamel.yaml": "ruamel", "vl-convert-python": "vl_convert"}
"""Modules that are not called like their distribution."""
BROUGHT = {"pydantic_core": "pydantic", "starlette": "fastapi"}
"""Modules that come with another distribution, which pins them."""
NOT_IMPORTED = {
    "dvc": "called as a program",
    "onnx": "torch's exporter imports it",
    "onnxscript": "torch's exporter imports it",
    "protobuf": "sentencepiece needs it to read its files as messages",
}


def declared(requirements: list[str]) -> set[str]:
    """The modules of requirements."""
    names = [re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in requirements]
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


CORE, WORKFLOW = declared(PROJECT["dependencies"]), declared(PROJECT["optional-dependencies"]["workflow"])
SERVE, EXPORT, CHINESE = (declared(PROJECT["optional-dependencies"][extra]) for extra in ("serve", "export", "chinese"))
EXTRAS = WORKFLOW | SERVE | EXPORT | CHINESE


def imports(file: Path) -> Iterator[str]:
    """The top-level modules that a file imports anywhere, also by ``lazy``."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy" and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def foreign(folder: Path) -> set[str]:
    """The top-level modules outside the standard library and the package that its files import."""
    found = {name.partition(".")[0] for file in folder.rglob("*.py") for name in imports(file)}
    return {BROUGHT.get(name, name) for name in found - set(sys.stdlib_module_names) - {"mtl"}}


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    used = foreign(ROOT / "src/mtl")
    assert sorted(used - CORE - EXTRAS) == []
    assert sorted((CORE | EXTRAS) - used - set(NOT_IMPORTED)) == []
    assert not CORE & EXTRAS
    assert SERVE & foreign(ROOT / "src/mtl") == SERVE & foreign(ROOT / "src/mtl/serving")


def test_each_declared_package_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text().partition("[project.scripts]")[0]
    lines = re.findall(r'^    "[a-zA-Z][^"]*",.*$', text, flags=re.MULTILINE)
    assert len(lines) > 40
    assert [line for line in lines if not re.search(r"#\s+\S.*$", line)] == []


@pytest.mark.parametrize(
    "module",
    [
        "mtl.api",
        "mtl.predict",
        "mtl.cli",
        "mtl.tasks.token_classification",
        "mtl.tasks.regression",
        "mtl.serving.server",
        "mtl.export.onnx",
    ],
)
def test_prediction_imports_nothing_of_the_workflow(module: str) -> None:
    """Nor does the command line before it knows the command."""
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {WORKFLOW - {"tqdm", "httpx2", "fsspec", "jinja2", "markupsafe"}!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import {module}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_type_checkers_are_told_that_the_package_has_types() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "py.typed" in settings["mtl"]
    assert (ROOT / "src/mtl/py.typed").is_file()
