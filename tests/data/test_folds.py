"""Folds keep together what belongs together."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from mtl.data import schema
from mtl.data.folds import folds_of

LONG = "the film was really great and we laughed a lot in it , so that our neighbours came to see what made all that noise"
LETTERS = str.maketrans("0123456789", "abcdefghij")  # numbers do not tell texts apart
NEAR = LONG.replace("laughed", "smiled")


def write(folder: Path, name: str, texts: list[str], splits: list[str] | None = None) -> Path:
    rows = [
        {"id": f"all-{i}", "split": split, "tokens": text.split(), "space_after": [True] * len(text.split()), "mood": "good"}
        for i, (text, split) in enumerate(zip(texts, splits or ["train"] * len(texts), strict=True))
    ]
    path = folder / f"{name}.parquet"
    table = pa.Table.from_pylist([row | {"parent_id": None, "augmenter": None} for row in rows], schema=schema.schema({"mood": "class"}))
    schema.write(table, path)
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    texts = [" ".join(letters * times for times in (1, 2, 3, 4)) for i in range(400) if (letters := f"{i:03}".translate(LETTERS))]
    splits = ["train"] * 400 + ["train", "train", "test"]
    return {"one": write(folder, "one", [*texts, LONG, LONG, LONG], splits), "two": write(folder, "two", [NEAR])}


def test_equal_and_near_texts_share_a_fold_across_datasets(tables: dict[str, Path]) -> None:
    for seed in range(5):
        folds = folds_of(tables, {}, 5, seed)
        assert folds["one", "all-400"] == folds["one", "all-401"] == folds["two", "all-0"]


def test_rows_of_a_group_share_a_fold(tables: dict[str, Path]) -> None:
    groups = {("one", f"all-{i}"): f"group {i % 40}" for i in range(400)}
    folds = folds_of(tables, groups, 5, 1)
    assert all(len({folds["one", f"all-{i}"] for i in range(start, 400, 40)}) == 1 for start in range(40))
    assert len({folds["one", f"all-{i}"] for i in range(40)}) == 5


def test_only_train_rows_are_assigned_evenly_and_by_the_seed(tables: dict[str, Path]) -> None:
    folds = folds_of(tables, {}, 5, 1)
    assert len(folds) == 403
    assert ("one", "all-402") not in folds
    assert min(Counter(folds.values()).values()) > 50
    assert folds == folds_of(dict(reversed(tables.items())), {}, 5, 1) != folds_of(tables, {}, 5, 2)
