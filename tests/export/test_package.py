"""A package predicts in an environment that holds nothing but what its lock file names."""

import json
import subprocess
import venv
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from tests.export.values import largest_difference

pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")

TASKS = ["mood", "stars", "names"]


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Path]) -> Path:
    return make_model()


@pytest.fixture(scope="module")
def package(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mtl.export.package import export

    out = tmp_path_factory.mktemp("exported") / "joint-package"
    assert export(model, out, TASKS) == TASKS
    return out


@pytest.fixture(scope="module")
def python(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a fresh environment with the distributions of the lock file, linked from here instead of installed."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for line in (package / "requirements.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        found = distribution(name)
        assert found.version == version
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__", "bin")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())
    return folder / "bin/python"


def run(python: Path, package: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(python), "-I", str(package / "predict.py"), *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_predictions_are_those_of_the_model(model: Path, package: Path, python: Path, lines: list[str]) -> None:
    from mtl.predict import predict_lines

    lines = [line for line in lines if '"text"' in line]
    done = run(python, package, text="\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert (
        largest_difference(list(predict_lines(model, lines, tasks=TASKS)), [json.loads(line) for line in done.stdout.splitlines()]) < 1e-4
    )


def test_an_error_is_one_line(package: Path, python: Path) -> None:
    done = run(python, package, "--task", "cause", text="a text")
    assert (done.returncode, done.stderr) == (2, "the model has no task 'cause'; choose from: mood, stars, names\n")


def test_its_files_are_these(package: Path) -> None:
    assert sorted(path.name for path in package.iterdir()) == ["README.md", "lib", "model", "predict.py", "requirements.txt"]
    locked = (package / "requirements.txt").read_text()
    assert "onnxruntime==" in locked
    assert "torch" not in locked
    assert "Predicts mood, stars, names" in (package / "README.md").read_text()
