"""What ``params.yaml`` names by ``type``: the tables of built-in types, entry points of outside packages, and no other place."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mtl.config
from mtl import plugins
from mtl.errors import ParamsError, PluginError

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/mtl"
MODULE = '''"""An outside module."""
from typing import Literal
from mtl.config import TaskSettings

class Length(TaskSettings):
    """The length of a text."""

    implementation = "outside_length.task:LengthTask"
    label_types = ("number",)
    type: Literal["length"]
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package on the path with entry points, as pip would have installed it; its folder."""
    package, info = tmp_path / "outside_length", tmp_path / "outside_length-1.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text(MODULE)
    (package / "task.py").write_text("class LengthTask:\n    pass\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-length\nVersion: 1\n")
    entries = {"length": "outside_length:Length", "regression": "outside_length:Length", "broken": "outside_length.gone:Gone"}
    (info / "entry_points.txt").write_text("[mtl.tasks]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items()))
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._outside.cache_clear()
    yield package
    plugins._outside.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside_length"]:
        del sys.modules[name]


def content(task_type: str) -> dict[str, Any]:
    return {
        "seed": 1,
        "datasets": {
            "talks": {
                "source": {"url": "talks.csv"},
                "reader": {"format": "csv"},
                "labels": {"length": {"type": "number", "column": "length"}},
                "split": {"train": 0.8, "test": 0.2},
            }
        },
        "tasks": {"length": {"type": task_type, "label": "length"}},
        "encoder": {"type": "fnn"},
        "experiment": {"joint": ["plain"], "single_task": ["plain"]},
    }


@pytest.mark.parametrize("group", [group for group in plugins.BUILT_IN if group not in (plugins.LANGUAGES, plugins.SEGMENTERS)])
def test_every_built_in_type_is_named_as_its_settings_say(group: str) -> None:
    for name in plugins.names(group):
        settings = plugins.settings_of(group, name)
        assert settings.model_fields["type"].annotation.__args__ == (name,)
        implementation = plugins.implementation_of(settings)
        if group == plugins.TASKS:
            assert implementation.name == name
        if group == plugins.ENCODERS:
            assert getattr(implementation, "encoder_type", name) == name


def test_a_type_of_an_outside_package_is_accepted(outside: Path) -> None:
    assert plugins.names(plugins.TASKS) == [*plugins.BUILT_IN[plugins.TASKS], "length", "broken"]
    task = mtl.config.parse(content("length")).tasks["length"]
    assert type(task).__name__ == "Length"
    assert plugins.task_type("length").__name__ == "LengthTask"


def test_a_built_in_type_cannot_be_replaced(outside: Path) -> None:
    assert plugins.settings_of(plugins.TASKS, "regression").__module__ == "mtl.tasks.regression"


def test_an_unknown_type_is_named_with_all_choices(outside: Path) -> None:
    with pytest.raises(KeyError):
        plugins.settings_of(plugins.TASKS, "lenght")
    with pytest.raises(ParamsError, match=r"tasks\.length: 'lenght' is unknown; choose from: .*'length', 'broken'"):
        mtl.config.parse(content("lenght"))


def test_a_package_that_cannot_be_imported_is_one_line(outside: Path) -> None:
    message = r"^mtl\.tasks 'broken' \(outside_length\.gone:Gone\) cannot be imported: No module named 'outside_length\.gone'$"
    with pytest.raises(PluginError, match=message):
        mtl.config.parse(content("broken"))


def test_fingerprints_cover_all_of_an_outside_package_and_nothing_of_this_one(outside: Path) -> None:
    assert plugins.outside_code(mtl.config.parse(content("regression"))) == {}
    tasks = mtl.config.parse(content("length")).tasks
    before = plugins.outside_code(tasks)
    assert list(before) == ["outside_length"]
    assert plugins.outside_code(tasks) == before
    (outside / "task.py").write_text("class LengthTask:\n    other = 1\n")
    assert plugins.outside_code(tasks) != before


# --- nothing outside a task type's module knows it -------------------------------------------------------------------

OWNERS = ("tasks/", "data/labels/", "plugins.py")


def comparisons(file: Path) -> Iterator[str]:
    """Comparisons with the name of a task type, tables by such names, and ``isinstance`` with a class of one."""
    types = set(plugins.BUILT_IN[plugins.TASKS])
    targets = {target.rpartition(":")[2] for target in plugins.BUILT_IN[plugins.TASKS].values()}
    classes = targets | {plugins.task_type(name).__name__ for name in types}
    for node in ast.walk(ast.parse(file.read_text())):
        below = {getattr(inner, "value", None) for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
        names = {getattr(inner, "id", getattr(inner, "attr", None)) for inner in ast.walk(node)}
        compares = isinstance(node, ast.Compare | ast.match_case) and types & {value for value in below if isinstance(value, str)}
        tables = isinstance(node, ast.Dict) and any(isinstance(key, ast.Constant) and key.value in types for key in node.keys)
        asks = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass") and classes & names
        if compares or tables or asks:
            yield f"{file.relative_to(SOURCE).as_posix()}: {ast.unparse(node)}"


def test_only_its_module_asks_for_the_type_of_a_task() -> None:
    files = [file for file in sorted(SOURCE.rglob("*.py")) if not file.relative_to(SOURCE).as_posix().startswith(OWNERS)]
    assert len(files) > 100
    assert [item for file in files for item in comparisons(file)] == []


@pytest.mark.parametrize(
    "code",
    [
        'task.type == "regression"',
        'kind in ("classification", "other")',
        "isinstance(task, Classification)",
        '{"regression": 1}[task.type]',
        'x["type"] != "regression"',
    ],
)
def test_such_questions_are_seen(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    (tmp_path / "module.py").write_text(f"if {code}:\n    pass\n")
    assert [item.partition(": ")[0] for item in comparisons(tmp_path / "module.py")] == ["module.py"]
