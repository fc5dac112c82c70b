"""The whole workflow on more and more rows: CPU seconds, rows per second and peak memory of each stage.

    python benchmarks/scale.py --rows 1000000 [--stages download prepare] [--json]

Makes so many texts with a class and a number as CSV, and a fifth as many tagged sentences as CoNLL, and runs all jobs of all stages one
after the other, each in a process of its own on one thread: at 50,000 rows, at 250,000 and at the given number. A small encoder is trained
for a tenth of an epoch, on rows that are augmented.

peak_memory_mib  the most that any job held
time_growth      seconds per row at the most rows, over that at the next smaller number: the greatest of all stages

With --json the last line is one JSON object.
"""

import argparse
import csv
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from baselines import show
from project import place, review

import mtl.config
from mtl.files import checksum
from mtl.pipeline.stages import STAGES

SIZES = (50_000, 250_000)
"""Rows of the smaller runs."""
SENTENCES = 5
"""Texts to one tagged sentence."""


JOB = """
import sys, time
from mtl.cli import main
status = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time(), peak.split()[1])
sys.exit(status)
"""
"""One job as the workflow starts it; then its CPU seconds and its peak memory in KiB."""


class Cost(NamedTuple):
    """Of all jobs of a stage, one after the other."""

    seconds: float
    """CPU time."""
    rows_per_second: int
    memory_mib: int
    """Of the job that held most."""


def settings(folder: Path) -> dict[str, Any]:
    """Two datasets with three tasks, one joint run on augmented rows."""
    shared = {"split": {"train": 0.8, "validation": 0.1, "test": 0.1}, "language": "en"}  # made-up words, which look like many languages
    rating = {"mood": {"type": "class", "column": "mood"}, "rating": {"type": "number", "column": "rating"}}
    return {
        "seed": 1,
        "datasets": {
            "reviews": {"source": _source(folder / "reviews.csv"), "reader": {"format": "csv"}, "labels": rating, **shared},
            "places": {
                "source": _source(folder / "places.conll"),
                "reader": {"format": "conll"},
                "labels": {"names": {"type": "tags", "column": "tags"}},
                **shared,
            },
        },
        "tasks": {
            "mood": {"type": "classification", "label": "mood"},
            "rating": {"type": "regression", "label": "rating"},
            "names": {"type": "token_classification", "label": "names"},
        },
        "augment": {"shards": 1, "methods": {"swap": {"type": "swap", "copies": 1}}},
        "encoder": {"type": "fnn", "width": 32, "layers": 1, "vocabulary": 4_000, "max_length": 64},
        "train": {"epochs": 0.1, "batch_tokens": 16_384, "eval_every": 1_000_000},
        "experiment": {"joint": ["augmented"], "single_task": []},
    }


def _source(path: Path) -> dict[str, str]:
    return {"url": str(path), "sha256": checksum(path)}


def write_sources(folder: Path, rows: int) -> None:
    """Write ``reviews.csv`` and ``places.conll``, the same for the same number of rows."""
    draw = np.random.default_rng(1)
    with (folder / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "mood", "rating"))
        for _ in range(rows):
            row = review(draw)
            writer.writerow((" ".join(row["tokens"]), row["mood"], round(row["rating"], 3)))
    with (folder / "places.conll").open("w") as file:
        for _ in range(rows // SENTENCES):
            row = place(draw)
            file.write("".join(f"{token} {tag}\n" for token, tag in zip(row["tokens"], row["names"], strict=True)) + "\n")


def run_job(folder: Path, rule: str, name: str) -> tuple[float, float]:
    """Run one job; its CPU seconds and its peak memory in MiB.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-c", JOB, rule, "--settings", "params.json", "--job", name]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{rule} {name}:\n{done.stderr}")
    seconds, kibibytes = done.stdout.splitlines()[-1].split()
    return float(seconds), int(kibibytes) / 1024


def measure(rows: int, stages: Sequence[str]) -> dict[str, Cost]:
    """Run some stages on new data; what each costs."""
    with TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        write_sources(folder, rows)
        params = mtl.config.parse(settings(folder))
        (folder / "params.json").write_text(mtl.config.dump(params))
        return {stage: _cost(rows, [run_job(folder, job.rule, job.name) for job in STAGES[stage].jobs(params)]) for stage in stages}


def _cost(rows: int, jobs: Sequence[tuple[float, float]]) -> Cost:
    seconds = sum(job[0] for job in jobs)
    return Cost(round(seconds, 2), round((rows + rows // SENTENCES) / seconds), round(max(job[1] for job in jobs)))


def summary(results: dict[int, dict[str, Cost]]) -> dict[str, Any]:
    """All figures, with the two that bound the others."""
    content: dict[str, Any] = {str(rows): {stage: cost._asdict() for stage, cost in costs.items()} for rows, costs in results.items()}
    content["peak_memory_mib"] = max(cost.memory_mib for costs in results.values() for cost in costs.values())
    content["time_growth"] = max(growths(results).values(), default=None)
    return content


def growths(results: dict[int, dict[str, Cost]]) -> dict[str, float]:
    """By stage, the seconds per row at the most rows over those at the next smaller number; nothing for a single number."""
    sizes = sorted(results)[-2:]
    if len(sizes) < 2:
        return {}
    smaller, most = ({stage: cost.seconds / rows for stage, cost in results[rows].items()} for rows in sizes)
    return {stage: round(most[stage] / smaller[stage], 2) for stage in most}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, required=True, help="texts with a class and a number, at most")
    parser.add_argument("--stages", nargs="+", choices=tuple(STAGES), default=list(STAGES), help="the first ones; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    results = {}
    for rows in sorted({*(size for size in SIZES if size < options.rows), options.rows}):
        results[rows] = measure(rows, options.stages)
        for stage, cost in results[rows].items():
            print(
                f"{rows:>11,} {stage:10} {cost.seconds:9.1f} s {cost.rows_per_second:9,.0f} rows/s {cost.memory_mib:7,.0f} MiB", flush=True
            )
    show(summary(results), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
