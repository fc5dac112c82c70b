"""Every check and benchmark that needs a GPU, one after the other; called by ``gpu.sh``.

Makes a synthetic project and an encoder of BERT-base's size with random weights, then runs the steps. Each has a time limit, and one
that fails does not stop the others. ``gpu.json`` and ``gpu.md`` are written after each step, so an interrupted call leaves what it has.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pyarrow", "huggingface_hub", "accelerate", "torchjd")
MODULES = (
    *("torch", "transformers", "tokenizers", "safetensors", "numpy", "pydantic", "pydantic_core", "annotated_types", "typing_inspection"),
    *("huggingface_hub", "filelock", "pyarrow", "scipy", "xxhash", "tqdm", "ruamel.yaml", "torchjd", "accelerate"),
    *("psutil", "pytest", "pluggy", "iniconfig", "packaging", "pygments", "hypothesis", "sortedcontainers"),
)
"""Modules that the steps import; their distributions have the same names."""
STEPS = ("tests", "train", "predict", "precision", "two_processes")
OUT_OF_TIME: dict[str, Any] = {"status": "no time left", "seconds": 0, "results": None}


class Size(NamedTuple):
    """How much is done."""

    rows: int
    """Train rows of each dataset."""
    width: int
    layers: int
    train: list[str]
    """Options of the steps with these names."""
    predict: list[str]
    precision: list[str]
    two_processes: list[str]


SIZES = {
    "full": Size(
        rows=12_000,
        width=768,
        layers=12,
        train=["--batch-tokens", "16384", "--turns", "3"],
        predict=["--turns", "3"],
        precision=["--batch-tokens", "16384", "--epochs", "1.5", "--seeds", "1", "2"],
        two_processes=["--epochs", "0.15"],
    ),
    "rehearse": Size(
        rows=100,
        width=32,
        layers=2,
        train=["--batch-tokens", "1024", "--quick"],
        predict=["--quick"],
        precision=["--batch-tokens", "1024", "--epochs", "0.5", "--seeds", "1", "2", "--device", "cpu", "--formats", "fp32", "bf16"],
        two_processes=["--batch-tokens", "512"],
    ),
}


class Step(NamedTuple):
    """A command, and what it leaves."""

    command: list[str]
    limit: int
    """Seconds."""
    read: Callable[[str], dict[str, Any]]
    """The results, from the output."""
    environment: dict[str, str]


def last_line(output: str) -> dict[str, Any]:
    """The JSON object in the last line."""
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def counts(report: Path) -> dict[str, Any]:
    """Numbers of tests, and the first line of what is said of each that failed."""
    suite = next(iter(ET.parse(report).getroot()))
    bad = {
        case.get("name"): (part.get("message") or "").partition("\n")[0]
        for case in suite
        for part in case
        if part.tag in ("failure", "error")
    }
    numbers = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    return numbers | {"failed": bad}


def steps(folder: Path, size: Size, *, rehearse: bool) -> dict[str, Step]:
    """All steps by name, on a project in the folder that the first one makes."""
    project = ["--params", str(folder / "params.json"), "--data", str(folder), "--encoder", str(folder / "sized")]
    model = ["--model", str(folder / "model"), "--data", str(folder), "--precision", "bf16", "--pipelines"]
    report = folder / "tests.xml"
    tests = ["-m", "pytest", "-m", "gpu", "tests/training/test_gpu.py", "-p", "no:cacheprovider", f"--junitxml={report}"]

    def benchmark(name: str, limit: int, arguments: list[str]) -> Step:
        return Step([sys.executable, f"benchmarks/{name}.py", *arguments, *getattr(size, name), "--json"], limit, last_line, {})

    make = ["benchmarks/gpu.py", "--make", str(folder), *(["--rehearse"] if rehearse else [])]
    return {
        "project": Step([sys.executable, *make], 60, last_line, {}),
        "tests": Step([sys.executable, *tests], 200, lambda output: counts(report), {"MTL_GPU_TESTS_ON": "cpu"} if rehearse else {}),
        "train": benchmark("train", 280, project),
        "predict": benchmark("predict", 80, model),
        "precision": benchmark("precision", 180, project),
        "two_processes": benchmark("two_processes", 90, ["--project", str(folder)]),
    }


def make_project(folder: Path, size: Size) -> None:
    """Write the project, the encoder (``sized``), and a model that was not trained (``model``)."""
    from baselines import make_loop
    from project import write_project
    from train import resized

    from mtl.model import folder as models

    write_project(folder, size.rows)
    resized(folder / "encoder", size.width, size.layers, folder / "sized")
    loop = make_loop(folder / "params.json", folder, folder / "sized", whole=True)
    (folder / "model").mkdir()
    models.save(loop.model, folder / "model", {"tasks": {task: {"label": task} for task in loop.model.tasks}})
    print(json.dumps({"parameters": sum(p.numel() for p in loop.model.parameters()), "steps_per_epoch": loop.feed.plan.epoch_steps}))


def run(step: Step, limit: float, log: Path) -> dict[str, Any]:
    """Run a step, its output going to the log; its status, seconds and results."""
    began = time.monotonic()
    with log.open("w") as errors:
        environment = os.environ | step.environment
        child = subprocess.Popen(step.command, cwd=ROOT, stdout=errors, stderr=subprocess.STDOUT, env=environment, start_new_session=True)
        try:
            code = child.wait(limit)
            status = "ok" if code == 0 else f"exit status {code}"
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # with the processes that it started
            child.wait()
            status = f"stopped after {limit:.0f} s"
    result = {"status": status, "seconds": round(time.monotonic() - began, 1)}
    try:
        return result | {"results": step.read(log.read_text(errors="replace"))}
    except (OSError, ValueError, IndexError, ET.ParseError, StopIteration):
        return result | {"results": None}


def about() -> dict[str, Any]:
    """Device and versions."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {"device": name, "python": platform.python_version(), **{package: found_version(package) for package in PACKAGES}}


def found_version(package: str) -> str:
    """The version of an installed package, or a dash."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "–"


def missing() -> list[str]:
    """Distributions that a step needs and that are not installed."""
    return [module for module in MODULES if not importable(module)]


def importable(module: str) -> bool:
    """Whether a module is there."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that it is in
        return False


# --- results ----------------------------------------------------------------------------------------------------------


def flat(results: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted names and values."""
    if not isinstance(results, dict):
        return [(prefix, results)]
    return [pair for name, value in results.items() for pair in flat(value, f"{prefix}.{name}" if prefix else str(name))]


def markdown(results: dict[str, Any]) -> str:
    """The results as a table that names the device."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in machine.items() if name != "device")
    lines = [f"# {machine['device']}", "", versions, ""]
    lines += ["| step | status | seconds |", "|---|---|---|"]
    lines += [f"| {name} | {step['status']} | {step['seconds']} |" for name, step in results["steps"].items()]
    lines += ["", f"| step | figure | {machine['device']} |", "|---|---|---|"]
    lines += [
        f"| {name} | {key} | {cell(value)} |" for name, step in results["steps"].items() for key, value in flat(step["results"] or {})
    ]
    return "\n".join(lines) + "\n"


def cell(value: Any) -> str:
    """A value as a cell of a table."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def write(results: dict[str, Any], out: Path) -> None:
    """Write both files."""
    (out / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "gpu.md").write_text(markdown(results))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; the exit status is 1 if one of them failed or had no time."""
    options = _parser().parse_args(arguments)
    if options.rehearse:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    size = SIZES["rehearse" if options.rehearse else "full"]
    if options.wheels:
        print("\n".join(missing()))
        return 0
    if options.make:
        make_project(options.make, size)
        return 0
    end = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"machine": about(), "rehearsal": options.rehearse, "missing": missing(), "steps": {}}
    with TemporaryDirectory(prefix="gpu-") as folder:
        for name, step in steps(Path(folder), size, rehearse=options.rehearse).items():
            if name != "project" and name not in options.only:
                continue
            left = end - time.monotonic()
            results["steps"][name] = run(step, min(left, step.limit), options.out / f"{name}.log") if left > 0 else OUT_OF_TIME
            print(f"{name}: {results['steps'][name]['status']}, {results['steps'][name]['seconds']} s", flush=True)
            write(results, options.out)
    print(markdown(results))
    return int(any(step["status"] != "ok" for step in results["steps"].values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on a CPU: shows that it works")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS, metavar="STEP", help=f"some of {', '.join(STEPS)}")
    parser.add_argument("--minutes", type=float, default=14, help="limit of the whole call (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT") or ROOT / "work" / "gpu"))
    parser.add_argument("--wheels", action="store_true", help="only list the modules that are missing")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
