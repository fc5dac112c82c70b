"""The guide to a task type of one's own: its code blocks are a package that is installed, trained, reported and predicted with."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from random import Random

import pytest
from ruamel.yaml import YAML

from workflow.make_project import ROOT, Project

pytestmark = pytest.mark.workflow

PAGE, ENCODER_PAGE = (ROOT / f"docs/how-to/{name}.md" for name in ("add-a-task", "add-an-encoder"))
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


def files(page: Path) -> dict[str, str]:
    """The files that a page shows in blocks marked ``<!-- file: NAME -->``; blocks of one file follow each other."""
    marked = re.findall(r"^<!-- file: (\S+) -->\n(?:<!-- [^\n]* -->\n)?```\w+\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    for name, content in marked:
        found[name] = f"{found[name]}\n\n{content}" if name in found else content
    return found


def write_package(page: Path, folder: Path) -> Path:
    """Write the package of a page into a new folder; returns it."""
    folder.mkdir()
    for name, content in files(page).items():
        if name.endswith((".py", ".toml")):
            (folder / name).write_text(content)
    return folder


def bookings(rows: int) -> str:
    """A CSV of requests that say how many adults and children come."""
    random = Random(0)
    lines = ["guests,text"]
    for number in range(rows):
        adults, children = random.randrange(1, 7), random.randrange(0, 4)
        lines.append(f"{adults + children},request {number} : a table for {NUMBERS[adults]} with {NUMBERS[children]} children please")
    return "\n".join(lines) + "\n"


def environment(folder: Path) -> Path:
    """A virtual environment of its own that sees the packages of this one; returns its interpreter."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin/python"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page's package."""
    return write_package(PAGE, tmp_path_factory.mktemp("outside") / "mtl-count")


@pytest.fixture(scope="module")
def python(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the page's package, and with that of the guide to an encoder."""
    interpreter = environment(tmp_path_factory.mktemp("environment") / "venv")
    install = [str(interpreter), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    encoder = write_package(ENCODER_PAGE, package.parent / "mtl-gated")
    for installed in (["--editable", str(package)], [str(encoder)]):
        subprocess.run([*install, *installed], check=True, capture_output=True, text=True)
    return interpreter


@pytest.fixture(scope="module")
def finished(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that trained the page's task beside a built-in one, on the encoder of another package."""
    project = Project.make(tmp_path_factory.mktemp("toy") / "project")
    project.environment["PATH"] = f"{python.parent}:{project.environment['PATH']}"
    (project.folder / "input/bookings.csv").write_text(bookings(80))
    yaml = YAML()
    params, added = yaml.load(project.folder / "params.yaml"), yaml.load(files(PAGE)["params.yaml"])
    for section in ("datasets", "tasks"):
        del params[section]["names"]
        params[section] |= added[section]
    params["encoder"] = {"type": "gated", "width": 16, "vocabulary": 300, "max_length": 32}
    yaml.dump(params, project.folder / "params.yaml")
    project.run("python", "-m", "mtl", "checksums", "--write")
    plan = project.run("python", "-m", "mtl", "check")
    assert "guests (count)" in plan
    project.run("python", "-m", "snakemake", "--cores", "2")
    return project


def test_the_page_names_what_it_shows() -> None:
    assert list(files(PAGE)) == ["pyproject.toml", "mtl_count.py", "params.yaml"]


def test_the_package_passes_the_checks_of_this_project(package: Path) -> None:
    settings = str(ROOT / "pyproject.toml")
    checks = (
        ["ruff", "check", "--config", settings],
        ["ruff", "format", "--check", "--config", settings],
        ["mypy", "--config-file", settings],
    )
    for check in checks:
        command = [sys.executable, "-m", *check, "mtl_count.py"]
        environment = os.environ | {"MYPYPATH": str(ROOT / "src")}
        done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_task_is_trained_scored_and_reported_without_an_edit_of_the_package(finished: Project) -> None:
    data = finished.folder / "data"
    scores = json.loads((data / "results/comparisons.json").read_text())
    assert scores["tasks"]["guests"]["metric"] == "d2"
    (run,) = [name for name in scores["runs"] if name.startswith("joint")]
    assert set(scores["runs"][run]["tasks"]["guests"]["metrics"]) >= {"d2", "mae"}
    report = (data / "report/report.html").read_text()
    for words in ("guests", "d2", "mae"):
        assert words in report
    card = (data / f"models/{run}/README.md").read_text()
    assert "a count; in training" in card
    assert json.loads((data / f"models/{run}/config.json").read_text())["encoder"]["type"] == "gated"
    for path in (finished.folder / "src/mtl").rglob("*.py"):
        assert path.read_bytes() == (ROOT / "src/mtl" / path.relative_to(finished.folder / "src/mtl")).read_bytes()


def test_the_trained_model_predicts_counts(finished: Project) -> None:
    code = """
import json, mtl
model = mtl.load("data/models/joint-augmented-1", device="cpu")
print(json.dumps([model.predict(["a table for two with one children please", ""]), model.tasks["guests"].type]))
"""
    (full, empty), type_ = json.loads(finished.run("python", "-c", code).splitlines()[-1])
    assert type_ == "count"
    assert empty["guests"] is None
    assert full["guests"]["count"] == int(full["guests"]["mean"])
    line = json.loads(finished.run("bash", "-c", "echo 'a table for two' | python -m mtl predict --model data/models/joint-augmented-1"))
    assert set(line) == {"text", "mood", "guests"}


def test_an_error_of_the_package_is_one_line(finished: Project, package: Path, tmp_path: Path) -> None:
    shutil.copytree(package, tmp_path / "mtl-count")
    (tmp_path / "mtl-count/mtl_count.py").write_text("import a_package_that_is_not_installed\n")
    broken = Project(finished.folder)
    broken.environment = finished.environment | {"PYTHONPATH": f"{tmp_path / 'mtl-count'}:{finished.environment['PYTHONPATH']}"}
    told = broken.run("python", "-m", "mtl", "check", check=False)
    assert "'count' (mtl_count:CountLabel) cannot be imported: No module named 'a_package_that_is_not_installed'" in told
    assert "Traceback" not in told


def test_an_edit_of_the_package_builds_its_jobs_again(finished: Project, package: Path) -> None:
    module = package / "mtl_count.py"
    before = module.read_text()
    module.write_text(before.replace('"""Counts: ', '"""Numbers of guests: '))
    try:
        output = finished.run("python", "-m", "snakemake", "--cores", "2", "train")
    finally:
        module.write_text(before)
    jobs = re.findall(r"built (?:prepare|train)\S* (\S+) in", output)
    assert jobs == ["bookings", "joint-augmented-1"]
