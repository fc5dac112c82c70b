"""The benchmark of augmentation: it runs and resumes, its parts are nested, and its table is right."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from mtl.data import schema

FOLDER = Path(__file__).parents[2] / "benchmarks"
WORDS = ["great", "lovely", "awful", "boring", "film", "story", "really", "saw", "night", "friend"]


@pytest.fixture
def gain(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import augment_gain

    return augment_gain


def settings() -> dict[str, Any]:
    source = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "split": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    return {
        "seed": 1,
        "datasets": {
            "reviews": {**source, "labels": {"mood": {"type": "class", "column": "mood"}}},
            "places": {**source, "labels": {"names": {"type": "tags", "column": "names"}}},
        },
        "tasks": {
            "mood": {"type": "classification", "label": "mood", "methods": {"words": 1}},
            "names": {"type": "token_classification", "label": "names"},
        },
        "augment": {
            "methods": {
                "words": {"type": "synonym", "copies": 3},
                "mentions": {"type": "mention_replace"},
                "others": {"type": "synonym", "rate": 0.1, "datasets": ["places"]},
            }
        },
        "encoder": {"type": "cnn", "width": 16, "vocabulary": 300, "layers": 1, "max_length": 32},
        "train": {},
        "experiment": {},
        "evaluate": {},
        "report": {},
    }


def reviews() -> pa.Table:
    draw = np.random.default_rng(1)
    rows = []
    for i in range(90):
        tokens = [str(word) for word in draw.choice(WORDS, 8, replace=False)]
        mood = None if i % 10 == 0 else "good" if "great" in tokens[:5] else "bad"
        rows.append({"id": f"all-{i}", "split": ("train", "validation", "test")[i % 3], "tokens": tokens, "mood": mood})
    full = [{**row, "space_after": [True] * 8, "parent_id": None, "augmenter": None} for row in rows]
    return pa.Table.from_pylist(full, schema=schema.schema({"mood": "class"}))


def test_it_runs_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps(settings()))
    schema.write(reviews(), tmp_path / "examples" / "reviews.parquet")
    options = {"data": tmp_path, "params": tmp_path / "params.json", "results": tmp_path / "gain.csv"}
    command = [sys.executable, str(FOLDER / "augment_gain.py"), *(f"--{name}={value}" for name, value in options.items())]
    command += ["--tasks", "mood", "--sizes", "20", "--seeds", "3", "--only", "synonym"]

    first = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    content = (tmp_path / "gain.csv").read_bytes()
    none, synonym = csv.DictReader(content.decode().splitlines())
    assert (none["setting"], none["variants"], synonym["setting"]) == ("none", "0", "synonym")
    assert none["steps"] == synonym["steps"]
    assert 20 <= int(synonym["variants"]) <= 40
    assert 0 <= float(none["score"]) <= 1
    assert f"| mood | none | {float(none['score']):.3f} (1) |" in first.stdout
    assert f"| mood | synonym | {float(synonym['score']) - float(none['score']):+.3f} (1) |" in first.stdout

    # A run would fail now: of the old seed none is begun, and of the new one both fail, the second although the first did.
    schema.write(reviews().slice(0, 0), tmp_path / "examples" / "reviews.parquet")
    again = subprocess.run([*command, "--seeds", "3", "4"], capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (1, first.stdout)
    assert again.stderr.count("Job(seed=4") == again.stderr.count("only 0 train rows have the label mood") == 2, again.stderr
    assert (tmp_path / "gain.csv").read_bytes() == content


def test_parts_are_nested_and_leave_the_other_splits_alone(gain: ModuleType) -> None:
    table = reviews()

    def ids(size: int, seed: int, split: str = "train") -> set[str]:
        rows = gain.subset(table, gain.Job(seed, size, "mood", "none"), "mood").to_pylist()
        return {row["id"] for row in rows if row["split"] == split}

    assert (len(ids(5, 1)), len(ids(20, 1))) == (5, 20)
    assert ids(5, 1) < ids(20, 1)
    assert ids(20, 1) != ids(20, 2)
    assert ids(5, 1, "test") == ids(20, 2, "test") == {f"all-{i}" for i in range(2, 90, 3)}
    assert not ids(20, 1) & {f"all-{i}" for i in range(0, 90, 10)}, "rows without the label"


def test_each_setting_makes_its_own_methods_and_mix_what_the_task_learns_from(gain: ModuleType) -> None:
    params = gain.mtl.config.parse(settings())
    assert not {"mention_replace", "label_token_replace", "shuffle_within_segments"} & set(gain.settings(params, "mood"))
    assert set(gain.settings(params, "names")) == set(gain.SETTINGS)
    assert {name: spec.copies for name, spec in gain.settings(params, "mood")["mix"].items()} == {"words": 1}
    assert {name: spec.copies for name, spec in gain.settings(params, "names")["mix"].items()} == {"words": 3, "mentions": 1, "others": 1}
    for setting in gain.settings(params, "names"):
        single = gain.job_params(params, gain.Job(2, 50, "names", setting))
        assert gain.mtl.config.parse(json.loads(gain.mtl.config.dump(single))) == single
        (run,) = single.runs().values()
        assert (run.tasks, run.data, run.seed) == (("names",), "plain" if setting == "none" else "augmented", 2)


def test_differences_are_paired_by_seed_with_a_t_interval(gain: ModuleType) -> None:
    draw = np.random.default_rng(2)
    none, swap = draw.uniform(0.4, 0.6, 5), draw.uniform(0.4, 0.6, 5)

    def result(setting: str, size: int, seed: int, score: float) -> Any:
        return gain.Result("mood", size, seed, setting, score, 50 + seed, 40, 1.0)

    results = [result("none", 50, seed, score) for seed, score in enumerate(none)]
    results += [result("swap", 50, seed, score) for seed, score in reversed(list(enumerate(swap)))]
    results += [result("typo", 50, seed, score + 0.02 + seed / 1000) for seed, score in enumerate(none[:3])]
    results += [result("none", 150, 1, 0.5), result("swap", 150, 1, 0.25), result("swap", 150, 2, 0.9)]
    expected = stats.ttest_rel(swap, none).confidence_interval(0.95)
    mean, half = gain.interval([a - b for a, b in zip(swap, none, strict=True)])
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))
    assert gain.table(results).splitlines() == [
        "| task | setting | 50 rows | 150 rows |",
        "|---|---|---|---|",
        f"| mood | none | {none.mean():.3f} (5) | 0.500 (1) |",
        f"| mood | swap | {mean:+.3f} ± {half:.3f} (5) | -0.250 (1) |",
        f"| mood | typo | **+0.021 ± {stats.t.ppf(0.975, 2) * 0.001 / 3**0.5:.3f}** (3) | – |",
    ]


def test_another_number_of_updates_is_an_error(gain: ModuleType) -> None:
    results = [gain.Result("mood", 50, 1, setting, 0.5, steps, 0, 1.0) for setting, steps in (("none", 50), ("swap", 51))]
    with pytest.raises(ValueError, match="51 updates, and another setting made 50"):
        gain.table(results)
