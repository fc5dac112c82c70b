"""Versions that decide results. No key holds them, so runs of an experiment may have been trained under unlike ones."""

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mtl.pipeline.fingerprint import read_mapping

PACKAGES = ("numpy", "tokenizers", "torch", "transformers")
REBUILD = "python -m mtl prune --other-versions, then snakemake --cores all"

Group = Mapping[str, Any]
"""``versions`` and the ``runs`` that were trained under them."""


def installed() -> dict[str, str]:
    """Python's minor version and those of the packages, as they are here."""
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", **{name: version(name) for name in PACKAGES}}


def of_run(folder: Path) -> dict[str, str]:
    """What a model folder's ``run.json`` says of versions, and the precision that was used."""
    facts = read_mapping(folder / "run.json")
    stated = facts.get("versions", {})
    python = ".".join(str(stated.get("python", "unknown")).split(".")[:2])
    packages = {name: str(stated.get(name, "unknown")) for name in PACKAGES}
    return {"python": python, **packages, "precision": str(facts.get("precision", "unknown"))}


def groups(models: Path, runs: Sequence[str]) -> list[Group]:
    """The runs with a model folder below ``models``, grouped by versions, the largest group first."""
    runs_by_versions: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for run in runs:
        if (models / run).is_dir():
            runs_by_versions.setdefault(tuple(of_run(models / run).items()), []).append(run)
    ordered = sorted(runs_by_versions.items(), key=lambda item: -len(item[1]))
    return [{"versions": dict(versions), "runs": names} for versions, names in ordered]


def unlike(by_versions: Sequence[Group]) -> str:
    """A warning where runs were trained under different versions; else empty."""
    if len(by_versions) < 2:
        return ""
    number = sum(len(group["runs"]) for group in by_versions)
    lists = "; ".join(f"{_differences(group, by_versions)} in {len(group['runs'])} of {number} runs" for group in by_versions)
    return f"Runs trained under different versions are compared, and intervals mix them: {lists}. To train them alike: {REBUILD}."


def others(by_versions: Sequence[Group]) -> list[str]:
    """The runs to train again, so that all are of the versions that are installed."""
    here = installed().items()
    alike = next((group for group in by_versions if here <= group["versions"].items()), None)
    return [run for group in by_versions if group is not alike for run in group["runs"]]


def describe(by_versions: Sequence[Group]) -> str:
    """The installed versions and, line by line, the trained runs that have others."""
    here, again = installed(), set(others(by_versions))
    lines = ["installed: " + ", ".join(f"{name} {value}" for name, value in here.items())]
    for group in by_versions:
        differs = [f"{name} {value}" for name, value in group["versions"].items() if here.get(name, value) != value]
        note = ", ".join(differs) or ("the same" if set(group["runs"]).isdisjoint(again) else f"precision {group['versions']['precision']}")
        lines.append(f"{note}: {', '.join(group['runs'])}")
    return "\n".join([*lines, *([f"train again: {REBUILD}"] if again else [])])


def _differences(group: Group, by_versions: Sequence[Group]) -> str:
    """The versions of a group that are not those of all."""
    return ", ".join(
        f"{name} {value}" for name, value in group["versions"].items() if len({other["versions"].get(name) for other in by_versions}) > 1
    )
