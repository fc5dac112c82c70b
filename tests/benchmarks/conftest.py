"""A small project for the benchmarks of training and prediction."""

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from mtl.data import schema

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "a", "friend", "in", "large", "cities"]


def rows(split: str, count: int, random: Random) -> list[dict[str, Any]]:
    found = []
    for i in range(count):
        good = random.random() < 0.5
        tokens = [*random.choices(WORDS, k=random.randint(2, 14)), "great" if good else "terrible", random.choice(["Paris", "film"])]
        names = ["B-city" if token == "Paris" else "O" for token in tokens]
        labels = {"mood": "good" if good else "bad", "names": names}
        empty = {"parent_id": None, "augmenter": None}
        found.append({"id": f"{split}-{i}", "split": split, "tokens": tokens, "space_after": [True] * len(tokens), **labels, **empty})
    return found


@pytest.fixture
def joint_project(tmp_path: Path) -> Path:
    """``params.json`` of two tasks on one data set, and ``examples``."""
    source = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "split": {"train": 0.8, "test": 0.2}}
    labels = {"mood": {"kind": "class", "column": "mood"}, "names": {"kind": "tags", "column": "names"}}
    settings = {
        "seed": 1,
        "datasets": {"reviews": {**source, "labels": labels}},
        "tasks": {"mood": {"type": "classification", "label": "mood"}, "names": {"type": "token_classification", "label": "names"}},
        "augment": {},
        "encoder": {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "word_shape": True},
        "train": {"batch_tokens": 256, "epochs": 1},
        "experiment": {"joint": ["plain"], "alone": []},
        "evaluate": {},
        "report": {},
    }
    (tmp_path / "params.json").write_text(json.dumps(settings))
    random = Random(1)
    found = [row for split, count in (("train", 400), ("validation", 8), ("test", 60)) for row in rows(split, count, random)]
    table = pa.Table.from_pylist(found, schema=schema.schema({"mood": "class", "names": "tags"}))
    schema.write(table, tmp_path / "examples" / "reviews.parquet")
    return tmp_path


@pytest.fixture(scope="session")
def wide_bert(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny_bert`` with the 128 positions that the usual loops pad to."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("wide_bert")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(BertConfig.from_pretrained(tiny_bert, max_position_embeddings=128)).save_pretrained(folder)
    shutil.copy(tiny_bert / "tokenizer.json", folder)
    return folder
