"""Model folders from outside: whatever they hold, `mtl.load` and `mtl predict` end with one line."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

import mtl
from encoders.test_encoders import settings_of
from encoders.test_hostile import PIECE, split, wrong_outcomes
from mtl import encoders
from mtl.cli import main
from mtl.errors import MtlError
from mtl.model import folder as models
from mtl.model.model import Model
from mtl.tasks.base import TaskType
from mtl.tasks.classification import Classification
from mtl.tasks.regression import Regression
from mtl.tasks.token_classification import TokenClassification

ENCODERS: dict[str, dict[str, Any]] = {
    "transformer": {"type": "transformer", "source": {"url": "unused"}},
    "fnn": {"type": "fnn", "width": 16, "window": 1, "layers": 1, "vocabulary": 300},
}


@pytest.fixture(scope="module")
def saved(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A model folder by the type of its encoder."""
    tasks: dict[str, TaskType] = {
        "mood": Classification(Classification.fit(["bad", "good"])),
        "rating": Regression({"mean": 0.5, "std": 2.0}),
        "names": TokenClassification(TokenClassification.fit([["B-person", "I-person", "O"]])),
    }
    folders = {}
    for name, spec in ENCODERS.items():
        with torch.random.fork_rng():
            encoder, tokenizer = encoders.build(settings_of(**spec), tiny_bert, [["Ann", "laughed"]])
            folders[name] = tmp_path_factory.mktemp(name)
            models.save(Model(encoder, tokenizer, tasks, max_length=32, dropout=0.1), folders[name], {})
    return folders


def setting(*path: str, value: Any) -> Callable[[Path], None]:
    """Change one value of config.json."""

    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        node = content
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
        (folder / "config.json").write_text(json.dumps(content))

    return change


def template(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content | {"post_processor": PIECE}))


FOLDERS: dict[str, Callable[[Path], Any]] = {
    "max length": setting("max_length", value="x"),
    "max length of 0": setting("max_length", value=0),
    "max length beyond the positions": setting("max_length", value=10**6),
    "mean": setting("tasks", "rating", "state", "mean", value="x"),
    "std": setting("tasks", "rating", "state", "std", value=None),
    "classes": setting("tasks", "mood", "state", "classes", value=7),
    "class": setting("tasks", "mood", "state", "classes", value=[["a"], {}]),
    "tags": setting("tasks", "names", "state", "tags", value=["O", "I-x", "I-y"]),
    "state": setting("tasks", "names", "state", value=[]),
    "task": setting("tasks", "names", value="x"),
    "type": setting("tasks", "names", "type", value=["x"]),
    "tasks": setting("tasks", value=[]),
    "no task": setting("tasks", value={}),
    "temperature of 0": setting("tasks", "mood", "state", "temperature", value=0),
    "temperature": setting("tasks", "names", "state", "temperature", value="x"),
    "segmentation": setting("tasks", "names", "state", "segmentation", value=["x"]),
    "hidden size": setting("encoder", "model", "hidden_size", value="x"),
    "epsilon": setting("encoder", "model", "layer_norm_eps", value="x"),
    "layers": setting("encoder", "model", "num_hidden_layers", value=10**9),
    "width": setting("encoder", "model", "intermediate_size", value=10**8),
    "model type": setting("encoder", "model", "model_type", value="vit"),
    "kernel": setting("encoder", "model", "_attn_implementation", value="owner/kernel"),
    "encoder": setting("encoder", value="x"),
    "deep": lambda folder: (folder / "config.json").write_text('{"format": 2, "x": ' + "[" * 1000 + "]" * 1000 + "}"),
    "regex": split("("),
    "slow regex": split("((a+)+)+$|(?<!b)c"),
    "template": template,
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_model_is_one_line(saved: Mapping[str, Path], name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(saved["transformer"], tmp_path / "model")
    FOLDERS[name](folder)
    (tmp_path / "texts.txt").write_text("Ann laughed\n" + "a" * 60 + "c\n")
    status = main(["predict", "--model", str(folder), str(tmp_path / "texts.txt")])
    lines = capfd.readouterr().err.splitlines()
    assert (status, len(lines)) == (2, 1) or (name == "slow regex" and status == 2), lines
    assert str(folder) in lines[-1] or name == "slow regex"


@pytest.mark.parametrize("kind", ENCODERS)
def test_any_value_of_a_model_may_be_wrong(saved: Mapping[str, Path], kind: str, tmp_path: Path) -> None:
    source = shutil.copytree(saved[kind], tmp_path / "whole")
    assert list(wrong_outcomes(source, ["config.json", "config.json", "tokenizer.json"], 60, Random(f"{kind} 0"), outcome)) == []


def outcome(folder: Path) -> str:
    try:
        mtl.load(folder, device="cpu").predict(["Ann laughed", "hello"])
    except MtlError as error:
        return "one line" if "\n" not in str(error) else str(error)
    except BaseException as error:  # a panic in Rust is one
        return repr(error)
    return ""


def test_a_card_that_is_not_utf8_is_still_shown(saved: Mapping[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(saved["fnn"], tmp_path / "model")
    (folder / "README.md").write_bytes(b"# Mod\xe8le")
    assert mtl.load(folder, device="cpu").card == "# Mod\N{REPLACEMENT CHARACTER}le"
