"""Imports flow one way, and what the Snakefile loads stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "mtl"
LAYERS = [
    {"words"},
    {"errors", "lazy"},
    {"files", "names", "plugins", "seeds", "progress"},
    {"config"},
    {"pipeline"},
    {"data"},
    {"augment", "encoders"},
    {"decoders"},
    {"tasks"},
    {"model"},
    {"training"},
    {"evaluation"},
    {"report"},
    {"tuning"},
    {"jobs", "plan", "predict"},
    {"api"},
    {"export", "monitoring", "serving"},
    {"cli"},
    {"__main__"},
]


def imports(file: Path) -> set[str]:
    """The parts of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mtl":
            found |= {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("mtl.")}
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_flow_one_way(file: Path) -> None:
    part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        assert imports(file) <= {"api"}  # for type checkers: see tests/test_api.py
        return
    (level,) = (number for number, names in enumerate(LAYERS) if part in names)
    below = set().union(*LAYERS[:level]) | {part}
    assert imports(file) <= below


@pytest.mark.parametrize(
    "module", ["mtl.config", "mtl.pipeline.flow", "mtl.data.prepare", "mtl.augment.shards", "mtl.augment.synonym", "mtl.cli", "mtl.jobs"]
)
def test_light_modules_stay_light(module: str) -> None:
    heavy = ["torch", "transformers", "nlpaug", "pandas", "altair", "dvc"]
    if module.startswith("mtl.augment"):
        heavy += ["mtl.data.sources", "lemminflect"]  # a worker starts for each shard
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pyarrow may lack it")
def test_the_job_of_a_shard_has_an_allocator_that_gives_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    code = "import mtl.cli; mtl.cli._slim_arrow(); import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("jemalloc", "")


def test_pyarrow_leaves_pandas_single_in_the_job_of_a_shard() -> None:
    code = "import sys, pyarrow, mtl.cli; mtl.cli._slim_arrow(); pyarrow.array(['a']); print('pandas' in sys.modules)"
    code += "; import pandas; pandas.Series([1])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
