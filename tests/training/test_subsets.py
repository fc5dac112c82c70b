"""Runs of fewer rows: which rows they learn from, and that all else is as in the whole."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mtl.config import MentionReplace, Params, Run, Size
from mtl.data import schema
from mtl.errors import TrainingError
from mtl.training.run import train
from mtl.training.subsets import subset, variants_within
from mtl.training.texts import Texts, read_split, read_variants

Settings = Callable[..., Params]
TASKS = ("names", "mood", "rating")


def run_of(size: Size, seed: int = 1, **changes: Any) -> Run:
    return Run(tasks=TASKS, model="joint", data="augmented", seed=seed, size=size).model_copy(update=changes)


def labelled(texts: Texts) -> set[str]:
    return {texts.ids[row] for row in texts.labelled(texts.tasks).nonzero()[0]}


@pytest.fixture
def rows(project: Path, make_settings: Settings) -> Texts:
    return read_split(make_settings(), "train", project / "examples", TASKS)


def test_smaller_parts_lie_within_larger_ones(rows: Texts) -> None:
    parts = [labelled(subset(rows, run_of(size))) for size in (5, 12, 50, "all")]
    assert all(small < large for small, large in itertools.pairwise(parts))
    assert [len(part) for part in parts] == [5 + 5, 12 + 12, 50 + 40, 80 + 40]
    assert sum(row.startswith("reviews/") for row in parts[0]) == 5


def test_the_seed_decides_and_nothing_else_of_the_run(rows: Texts) -> None:
    first = labelled(subset(rows, run_of(12)))
    assert labelled(subset(rows, run_of(12, tasks=("mood",), model="mood", data="plain"))) == first
    assert labelled(subset(rows, run_of(12, seed=2))) != first


def test_what_is_left_out_keeps_its_text_and_nothing_is_changed_in_place(rows: Texts) -> None:
    before = labelled(rows)
    part = subset(rows, run_of(5))
    assert (part.ids, part.tokens) == (rows.ids, rows.tokens)
    assert labelled(rows) == before
    assert set(part.ids) - labelled(part) == {row for row, *labels in zip(part.ids, *part.labels.values(), strict=True) if not any(labels)}


def test_variants_are_those_of_the_rows_drawn(project: Path, make_settings: Settings, rows: Texts) -> None:
    params = make_settings()
    variants = read_variants(params, project / "shards", TASKS)
    part = subset(rows, run_of(5))
    result = variants_within(params, run_of(5), part, variants)
    assert len(result) == 2 * 10
    assert set(result.parents) == labelled(part)
    borrowed = params.augment.model_copy(update={"methods": {"swap": MentionReplace(type="mention_replace")}})
    other = params.model_copy(update={"augment": borrowed})
    assert len(variants_within(other, run_of(5), part, variants)) == 0
    assert len(variants_within(other, run_of("all"), rows, variants)) == len(variants)


def test_every_size_has_the_same_budget_of_updates(project: Path, make_settings: Settings, tmp_path: Path) -> None:
    params = make_settings(patience=100)
    facts = {}
    for run in (
        run_of("all", data="plain"),
        run_of(6, data="plain"),
        run_of(6),
        run_of(6, tasks=("names",), model="names", data="plain"),
        run_of(60, data="plain"),
    ):
        out = tmp_path / run.name
        out.mkdir()
        train(params, run, project / "examples", project / "shards", None, out)
        facts[run.name] = json.loads((out / "run.json").read_text())
    assert len({result["budget"] for result in facts.values()}) == 1
    assert all(result["steps"] == result["budget"] > 10 for result in facts.values())
    assert facts["joint-plain-1-6"]["rows"] == {"reviews": 6, "places": 6}
    assert (facts["joint-plain-1-6"]["size"], facts["joint-plain-1"]["size"]) == (6, "all")
    assert facts["joint-plain-1-6"]["epochs"]["reviews"] >= 8 * facts["joint-plain-1"]["epochs"]["reviews"]
    assert facts["joint-plain-1-60"]["warnings"] == ["places: the size is 60, but only 40 train rows have a label"]
    assert len({(tmp_path / name / "tokenizer.json").read_bytes() for name in facts}) == 1  # one vocabulary


def test_a_task_without_a_label_among_the_rows_drawn_is_named(project: Path, make_settings: Settings, tmp_path: Path, rows: Texts) -> None:
    run = next(run for run in (run_of(3, seed) for seed in range(9)) if "reviews/all-0" not in labelled(subset(rows, run)))
    (tmp_path / "examples").mkdir()
    for path in (project / "examples").glob("*.parquet"):
        table = schema.read(path)
        if path.stem == "reviews":
            kept = [row | {"rating": row["rating"] if row["id"] == "all-0" else None} for row in table.to_pylist()]
            table = pa.Table.from_pylist(kept, schema=table.schema)
        schema.write(table, tmp_path / "examples" / path.name)
    with pytest.raises(TrainingError, match="task 'rating': no train row of reviews has a label 'rating' among the 3 drawn"):
        train(make_settings(), run, tmp_path / "examples", project / "shards", None, tmp_path)
