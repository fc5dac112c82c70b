"""Which variants a run learns from, and which labels they carry."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mtl.config import Params
from mtl.data import schema
from mtl.training.texts import read_split, read_variants, variants_of

Table = Callable[[str, list[dict[str, Any]]], pa.Table]
METHODS = {"swap": {"type": "swap", "copies": 2}, "typo": {"type": "typo"}, "mention": {"type": "mention_replace"}}


@pytest.fixture
def folder(tmp_path: Path, make_table: Table) -> Path:
    """Two reviews and a place, with the variants of three methods; the id of one review looks like a variant's."""
    reviews = [
        {"id": name, "split": "train", "tokens": ["good"], "mood": "good", "rating": 1.0 if name == "r" else None}
        for name in ("r", "q~swap~1")
    ]
    places = [{"id": "p", "split": "train", "tokens": ["Oslo"], "names": ["B-city"]}]
    made = {"reviews": (("swap", 0), ("swap", 1), ("typo", 0)), "places": (("swap", 0), ("swap", 1), ("typo", 0), ("mention", 0))}
    for dataset, rows in (("reviews", reviews), ("places", places)):
        variants = [
            {**row, "id": f"{row['id']}~{method}~{copy}", "parent_id": row["id"], "augmenter": method}
            for row in rows
            for method, copy in made[dataset]
        ]
        schema.write(make_table(dataset, rows), tmp_path / "examples" / f"{dataset}.parquet")
        schema.write(make_table(dataset, variants), tmp_path / "shards" / f"{dataset}-00000-of-00001.parquet")
    return tmp_path


def settings(make_settings: Callable[..., Params], **methods: dict[str, int] | None) -> Params:
    """Settings in which these tasks learn from these methods."""
    params = make_settings()
    tasks = {name: task.model_copy(update={"methods": methods.get(name)}) for name, task in params.tasks.items()}
    augment = params.augment.model_copy(update={"methods": params.augment.model_validate({"methods": METHODS}).methods})
    return params.model_copy(update={"tasks": tasks, "augment": augment})


ALL = {"reviews/r~swap~0", "reviews/r~swap~1", "reviews/r~typo~0"}
OTHER = {"reviews/q~swap~1~swap~0", "reviews/q~swap~1~swap~1", "reviews/q~swap~1~typo~0"}


@pytest.mark.parametrize(
    ("methods", "tasks", "labelled"),
    [
        ({}, ["mood", "rating"], {"mood": ALL | OTHER, "rating": ALL}),
        ({"mood": {"swap": 1}}, ["mood", "rating"], {"mood": {"reviews/r~swap~0", "reviews/q~swap~1~swap~0"}, "rating": ALL}),
        ({"mood": {"typo": 9}}, ["mood"], {"mood": {"reviews/r~typo~0", "reviews/q~swap~1~typo~0"}}),
        ({"mood": {}}, ["mood", "rating"], {"mood": set(), "rating": ALL}),
        ({"mood": {}, "rating": {"swap": 2}}, ["mood", "rating"], {"mood": set(), "rating": {"reviews/r~swap~0", "reviews/r~swap~1"}}),
        ({"mood": {"mention": 1}}, ["mood"], {"mood": set()}),
        ({"names": {"mention": 1}}, ["names", "mood"], {"names": {"places/p~mention~0"}, "mood": ALL | OTHER}),
    ],
)
def test_a_variant_carries_the_labels_of_tasks_that_learn_from_it(
    folder: Path, make_settings: Callable[..., Params], methods: dict[str, Any], tasks: list[str], labelled: dict[str, set[str]]
) -> None:
    params = settings(make_settings, **methods)
    variants = read_variants(params, folder / "shards", tasks)
    for task, expected in labelled.items():
        assert {row for row, label in zip(variants.ids, variants.labels[task], strict=True) if label is not None} == expected
    assert set(variants.ids) == set().union(*labelled.values())  # none that teaches the run nothing
    for column in (variants.parents, variants.groups, variants.tokens, *variants.labels.values()):
        assert len(column) == len(variants)


def test_rows_as_written_keep_their_labels_and_find_their_variants(folder: Path, make_settings: Callable[..., Params]) -> None:
    params = settings(make_settings, mood={"typo": 1}, rating={})
    train = read_split(params, "train", folder / "examples", ["mood", "rating"])
    assert {task: list(labels) for task, labels in train.labels.items()} == {"mood": ["good", "good"], "rating": [1.0, None]}
    variants = read_variants(params, folder / "shards", ["mood", "rating"])
    assert [[variants.ids[place] for place in places] for places in variants_of(train, variants)] == [
        ["reviews/r~typo~0"],
        ["reviews/q~swap~1~typo~0"],
    ]


@pytest.mark.parametrize(
    ("methods", "tasks", "datasets"),
    [
        ({}, ["mood", "names"], ("reviews", "places")),
        ({"mood": {}, "rating": {}}, ["mood", "rating", "names"], ("places",)),
        ({"mood": {"mention": 1}}, ["mood"], ()),
        ({"mood": {}}, ["mood", "rating"], ("reviews",)),
    ],
)
def test_augmented_data_sets_have_a_method_that_a_task_of_the_run_learns_from(
    make_settings: Callable[..., Params], methods: dict[str, Any], tasks: list[str], datasets: tuple[str, ...]
) -> None:
    assert settings(make_settings, **methods).augmented_datasets(tasks) == datasets
