"""A small project for the benchmarks of training and prediction."""

import json
import shutil
from pathlib import Path
from random import Random
from types import ModuleType

import pyarrow as pa
import pytest

from mtl.data import schema

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "a", "friend", "in", "large", "cities"]


LABELS = {"reviews": {"mood": "class"}, "places": {"names": "tags"}}


def table(labels: dict[str, str], random: Random) -> pa.Table:
    found = []
    for i in range(240):
        split = "train" if i < 200 else "validation" if i < 208 else "test"
        tokens = [*random.choices(WORDS, k=random.randint(2, 14)), random.choice(["great", "terrible"]), random.choice(["Paris", "film"])]
        predictions = {"mood": tokens[-2], "names": ["B-city" if token == "Paris" else "O" for token in tokens]}
        row = {"id": str(i), "split": split, "tokens": tokens, "space_after": [True] * len(tokens), "parent_id": None, "augmenter": None}
        found.append(row | {label: predictions[label] for label in labels})
    return pa.Table.from_pylist(found, schema=schema.schema(labels))


@pytest.fixture
def joint_project(tmp_path: Path) -> Path:
    """``params.json`` of two datasets with a task each, and ``examples``."""
    source = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "split": {"train": 0.8, "test": 0.2}}
    labels = {name: {label: {"type": type_, "column": label} for label, type_ in own.items()} for name, own in LABELS.items()}
    settings = {
        "seed": 1,
        "datasets": {name: source | {"labels": own} for name, own in labels.items()},
        "tasks": {"mood": {"type": "classification", "label": "mood"}, "names": {"type": "token_classification", "label": "names"}},
        "augment": {},
        "encoder": {"type": "transformer", "source": {"url": "file:///nowhere"}, "max_length": 32, "word_shape": True},
        "train": {"batch_tokens": 256, "epochs": 1},
        "experiment": {"joint": ["plain"], "single_task": []},
        "evaluate": {},
        "report": {},
    }
    (tmp_path / "params.json").write_text(json.dumps(settings))
    random = Random(1)
    for name, own in LABELS.items():
        schema.write(table(own, random), tmp_path / "examples" / f"{name}.parquet")
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


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark of the service, with one task on a small model; other benchmarks can be imported too."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import serve

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setattr(serve, "SHAPE", small)
    monkeypatch.setattr(serve, "TASKS", {"mood": "text-classification"})
    return serve
