"""A small project: two datasets, three tasks, variants and settings, made from a seed; training on one thread."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mtl.config import Params
from mtl.data import schema
from mtl.model.device import Precision
from mtl.training.loop import Loop
from mtl.training.prepare import prepare
from mtl.training.splits import read_splits

LABELS = {"reviews": {"mood": "class", "rating": "number"}, "places": {"names": "tags"}}
GOOD, BAD, FILLER = (
    ("great", "lovely", "superb"),
    ("awful", "boring", "dreadful"),
    ("the", "film", "was", "really", "and", "we", "saw", "it"),
)
CITIES = ("Oslo", "Lima", "Cairo", "Quito")


def settings(**train: Any) -> Params:
    """Settings of the small project; ``train`` overrides that section, ``encoder__…`` the encoder."""
    encoder = {key.removeprefix("encoder__"): train.pop(key) for key in list(train) if key.startswith("encoder__")}
    source = {"url": "file:///nowhere"}
    split = {"train": 0.8, "validation": 0.1, "test": 0.1}
    reader = {"format": "jsonl"}
    labels = {data: {label: {"type": kind, "column": label} for label, kind in kinds.items()} for data, kinds in LABELS.items()}
    return Params.model_validate(
        {
            "datasets": {name: {"source": source, "reader": reader, "labels": labels[name], "split": split} for name in LABELS},
            "tasks": {
                "names": {"type": "token_classification", "label": "names"},
                "mood": {"type": "classification", "label": "mood"},
                "rating": {"type": "regression", "label": "rating"},
            },
            "augment": {"shards": 1, "share": 0.5, "methods": {"swap": {"type": "synonym"}}},
            "seed": 1,
            "experiment": {},
            "evaluate": {},
            "report": {},
            "encoder": {"type": "fnn", "width": 16, "vocabulary": 300, "window": 1, "layers": 1, "max_length": 32} | encoder,
            "train": {"epochs": 2, "batch_tokens": 150, "learning_rate": 5e-3, "head_learning_rate": 1e-2, "eval_every": 4} | train,
        }
    )


def review(random: np.random.Generator) -> dict[str, Any]:
    good = bool(random.integers(2))
    words = [*random.choice(FILLER, random.integers(3, 9)), random.choice(GOOD if good else BAD)]
    return {
        "tokens": [str(w) for w in random.permutation(words)],
        "mood": "good" if good else "bad",
        "rating": 2.0 * good + random.random(),
    }


def place(random: np.random.Generator) -> dict[str, Any]:
    words = [str(w) for w in random.permutation([*random.choice(FILLER, random.integers(2, 6)), random.choice(CITIES)])]
    return {"tokens": words, "names": ["B-city" if word in CITIES else "O" for word in words]}


def table(dataset: str, rows: list[dict[str, Any]]) -> pa.Table:
    kinds = LABELS[dataset]
    full = [
        {"space_after": [True] * len(row["tokens"]), "parent_id": None, "augmenter": None, **dict.fromkeys(kinds), **row} for row in rows
    ]
    return pa.Table.from_pylist(full, schema=schema.schema(kinds))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``examples`` and ``shards``."""
    folder, random = tmp_path_factory.mktemp("project"), np.random.default_rng(5)
    for dataset, make, count in (("reviews", review, 120), ("places", place, 60)):
        splits = ["train"] * (count * 2 // 3) + ["validation"] * (count // 6) + ["test"] * (count // 6)
        rows = [{"id": f"all-{i}", "split": split, **make(random)} for i, split in enumerate(splits)]
        schema.write(table(dataset, rows), folder / "examples" / f"{dataset}.parquet")
        variants = [
            {**row, "id": f"{row['id']}~swap~{copy}", "parent_id": row["id"], "augmenter": "swap", "tokens": row["tokens"][::-1]}
            | ({"names": row["names"][::-1]} if "names" in row else {})
            for row in rows
            if row["split"] == "train"
            for copy in range(2)
        ]
        schema.write(table(dataset, variants), folder / "shards" / f"{dataset}-00000-of-00001.parquet")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def empty(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an empty output folder of that name."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    return make


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., Params]:
    return settings


@pytest.fixture(scope="session")
def make_table() -> Callable[[str, list[dict[str, Any]]], pa.Table]:
    return table


@pytest.fixture
def make_loop(project: Path, make_settings: Callable[..., Params]) -> Callable[..., Loop]:
    """Makes the loop of a plain joint run of the small project, without dropout unless asked for."""

    def make(precision: str = "fp32", **options: Any) -> Loop:
        params = make_settings(**{"encoder__dropout": 0.0, **options})
        run = params.runs()["joint-plain-1"]
        splits = read_splits(params, run, project / "examples", project / "shards")
        return prepare(params, run, splits, None, Precision(precision, torch.device("cpu")))[0]

    return make
