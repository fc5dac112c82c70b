"""Runs trained under different versions are named, with the way to train them alike."""

import json
from pathlib import Path

from mtl.pipeline import versions


def trained(models: Path, run: str, **changes: str) -> None:
    stated = {**versions.installed(), "python": f"{versions.installed()['python']}.99", **changes}
    (models / run).mkdir()
    precision = stated.pop("precision", "fp32")
    (models / run / "run.json").write_text(json.dumps({"versions": stated, "precision": precision}))


def test_runs_of_the_same_versions_are_one_group(tmp_path: Path) -> None:
    for run in ("a", "b"):
        trained(tmp_path, run)
    found = versions.groups(tmp_path, ["a", "b", "not-trained"])
    assert [group["runs"] for group in found] == [["a", "b"]]
    assert versions.unlike(found) == ""
    assert versions.others(found) == []
    assert versions.describe(found).endswith("\nthe same: a, b")


def test_runs_of_unlike_versions_are_named(tmp_path: Path) -> None:
    for run, changes in {"a": {}, "b": {"torch": "1.0"}, "c": {}, "d": {"precision": "bf16"}}.items():
        trained(tmp_path, run, **changes)
    here = versions.installed()["torch"]
    found = versions.groups(tmp_path, ["a", "b", "c", "d"])
    assert versions.unlike(found) == (
        "Runs trained under different versions are compared, and intervals mix them: "
        f"torch {here}, precision fp32 in 2 of 4 runs; torch 1.0, precision fp32 in 1 of 4 runs; "
        f"torch {here}, precision bf16 in 1 of 4 runs. "
        "To train them alike: python -m mtl prune --other-versions, then snakemake --cores all."
    )
    assert versions.others(found) == ["b", "d"]
    assert versions.describe(found).splitlines()[1:] == [
        "the same: a, c",
        "torch 1.0: b",
        "precision bf16: d",
        "train again: python -m mtl prune --other-versions, then snakemake --cores all",
    ]


def test_a_run_json_without_versions_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert set(versions.of_run(tmp_path / "a").values()) == {"unknown"}
