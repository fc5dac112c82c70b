"""A folder that predicts by itself: the graph, the modules that read it, and a lock file of what they need."""

import platform
import shutil
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mtl import plugins
from mtl.errors import ExportError
from mtl.export import onnx
from mtl.export.target import new_folder
from mtl.files import write_text
from mtl.model.folder import read_config

MODULES = (
    *("__init__.py", "errors.py", "files.py", "lazy.py", "names.py", "plugins.py", "predict.py", "seeds.py", "words.py"),
    *("config", "data", "encoders", "export", "model", "tasks"),
)
"""What a prediction imports of this package, or may import."""
NEEDS = ("numpy", "onnxruntime", "pydantic", "regex", "tokenizers")
"""Distributions that these modules import for a prediction."""
LOCK, SCRIPT = "requirements.txt", "predict.py"
README = """\
# {name}

Predicts {tasks}, offline and without torch. In an environment of Python {python} ({system}):

    pip install --no-deps -r {lock}
    python {script} texts.txt        # or JSON lines; standard input without a file

For a machine without a network, `pip download --no-deps -r {lock} -d wheels` on one of the same type, copy `wheels` too,
and add `--no-index --find-links wheels` to `pip install`.
"""


def export(model_folder: Path, out: Path, tasks: Iterable[str] | None = None, int8: Path | None = None) -> list[str]:
    """Write a folder with the graph of ``mtl.export.onnx``, a script, modules and a lock file. Returns the names of its tasks.

    Args:
        model_folder: of a trained model.
        out: a new folder.
        tasks: names of the tasks to export; without it, all.
        int8: see ``mtl.export.onnx.export``.

    Raises:
        ExportError: see ``mtl.export.onnx.export``; or a task type is of an outside package.
        ModelError: the folder is not a complete model, or has no such task.
    """
    requested = None if tasks is None else list(tasks)
    for name, spec in read_config(model_folder)["tasks"].items():
        if spec["type"] not in plugins.BUILT_IN[plugins.TASKS] and (requested is None or name in requested):
            raise ExportError(f"task {name}: the type {spec['type']} is of another package, which a package for one model cannot hold")
    with new_folder(out) as folder:
        names = onnx.export(model_folder, folder / "model", requested, int8)
        _copy_modules(folder / "lib" / "mtl")
        shutil.copyfile(Path(__file__).with_name("standalone.py"), folder / SCRIPT)
        locked = locked_versions(NEEDS)
        write_text(folder / LOCK, "".join(f"{name}=={version}\n" for name, version in sorted(locked.items())))
        python, system = ".".join(platform.python_version_tuple()[:2]), f"{platform.system()} {platform.machine()}"
        text = README.format(name=out.name, tasks=", ".join(names), python=python, system=system, lock=LOCK, script=SCRIPT)
        write_text(folder / "README.md", text)
    return names


def _copy_modules(into: Path) -> None:
    source = Path(__file__).parents[1]
    for name in MODULES:
        for path in [source / name] if name.endswith(".py") else sorted((source / name).rglob("*.py")):
            target = into / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def locked_versions(names: Iterable[str]) -> dict[str, str]:
    """The installed version of distributions and of all that they require here, by name."""
    locked: dict[str, str] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in locked and not requirement.extras:
            continue
        found = distribution(name)
        locked[name] = found.version
        extras = requirement.extras or {""}
        for text in found.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return locked
