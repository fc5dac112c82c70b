"""Folders of encoders from outside: whatever they hold, the error is one line, and nothing is unpickled."""

import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import ViTConfig, ViTModel

import mtl.augment.similarity
from encoders.test_encoders import settings_of
from mtl.augment.neural import RoundTrip, TransformersModel
from mtl.augment.randomness import Stream
from mtl.config import Source
from mtl.encoders import build
from mtl.errors import AugmentError, EncoderError, MtlError

HOSTILE: list[Any] = ["x", None, -1, 0, 1.5, True, [], {}, ["x"], {"x": {}}, "", 10**30, "\ud800"]


def encode(folder: Path) -> None:
    """Use a folder as a run does."""
    encoder, tokenizer = build(settings_of(type="transformer", source={"url": "unused"}), folder, [])
    subwords = torch.from_numpy(tokenizer.encode([["hello", "Ann", "a" * 60 + "c"]], 32).subwords).long()[None]
    with torch.no_grad():
        encoder.eval()(subwords, torch.ones_like(subwords, dtype=torch.bool), torch.zeros_like(subwords))


def changed(file: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | values))

    return change


def deep(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert", "x": ' + "[" * 1000 + "]" * 1000 + "}")


def vision(folder: Path) -> None:
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ViTModel(config).save_pretrained(folder)


def index(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "other.safetensors")
        weights = {"weight_map": {"embeddings.word_embeddings.weight": name}, "metadata": {"total_size": 1}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(weights))
        for place in (folder / "pickle.bin", folder.parent / "outside.safetensors"):
            place.write_bytes(pickle.dumps({}))

    return change


def split(regex: str) -> Callable[[Path], None]:
    return changed("tokenizer.json", pre_tokenizer={"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False})


PIECE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}], "pair": [], "special_tokens": {}}
FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "hidden size": (changed("config.json", hidden_size="x"), "hidden_size"),
    "epsilon": (changed("config.json", layer_norm_eps="x"), "layer_norm_eps"),
    "layers": (changed("config.json", num_hidden_layers=10**9), "num_hidden_layers is 1000000000, more than 1000"),
    "deep": (deep, "recursion"),
    "list": (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
    "vision": (vision, "model_type 'vit' does not read text"),
    "outside": (index("../outside.safetensors"), "names '../outside.safetensors'; weights must be"),
    "absolute": (index("/outside.safetensors"), "names '/outside.safetensors'; weights must be"),
    "pickle": (index("pickle.bin"), "names 'pickle.bin'; weights must be"),
    "no name": (index(7), "names '7'; weights must be"),  # type: ignore[arg-type]
    "other weights": (changed("config.json", transformers_weights="adapter_model.bin"), "transformers_weights is 'adapter_model.bin'"),
    "kernel": (changed("config.json", attn_implementation="owner/kernel"), "names code of the hub"),
    "adapter": (lambda folder: (folder / "adapter_config.json").write_text("{}"), "merge the adapter"),
    "regex": (split("("), "Oniguruma error"),
    "slow regex": (split("((a+)+)+$|(?<!b)c"), "cannot encode a text: Onig"),
    "template": (changed("tokenizer.json", post_processor=PIECE), "is not a tokenizer: no entry found"),
    "index": (changed("tokenizer.json", model={"type": "WordLevel", "unk_token": "a", "vocab": {"a": 2**31}}), "has the index 2147483648"),
    "no vocabulary": (changed("tokenizer.json", model={"type": "WordPiece", "vocab": {}}), "is not a tokenizer"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_hostile_encoder_is_one_line(name: str, tiny_bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, words = FOLDERS[name]
    folder = shutil.copytree(tiny_bert, tmp_path / "hostile")
    change(folder)
    with pytest.raises(EncoderError) as caught:
        encode(folder)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "panicked" not in capfd.readouterr().err or name == "slow regex"


@pytest.mark.parametrize("name", ["outside", "pickle", "kernel", "hidden size"])
def test_other_readers_of_such_folders_refuse_them_too(name: str, tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "hostile" / "forward")
    FOLDERS[name][0](folder)
    with pytest.raises(AugmentError, match="cannot be loaded as an encoder"):
        mtl.augment.similarity.embeddings(folder, ["a"])
    translate = RoundTrip(TransformersModel, {"forward": Source(url="x")}, Stream(1, "d", "m"), folder.parent)
    with pytest.raises(AugmentError, match="cannot be loaded as a translation model"):
        translate(["a"], 0)


def test_an_index_of_pickles_beside_safetensors_is_not_read(tiny_bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bert, tmp_path / "folder")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}))
    encode(folder)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in nested JSON: the container and the key; of a long one only the first few."""
    keys = list(value)[:12] if isinstance(value, dict) else range(min(len(value), 3)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def wrong_outcomes(source: Path, files: Sequence[str], number: int, random: Random, outcome: Callable[[Path], str]) -> Iterator[str]:
    """Copies of a folder, each with a hostile value somewhere in one of its JSON files: what was wrong where it was not one line."""
    for _ in range(number):
        folder = shutil.copytree(source, source.parent / "mutated")
        file = folder / random.choice(files)
        content = json.loads(file.read_text())
        container, key = random.choice(list(places(content)))
        container[key] = random.choice(HOSTILE)
        file.write_text(json.dumps(content))
        if (found := outcome(folder)) not in ("", "one line"):
            yield f"{file.name}: {key} = {container[key]!r}: {found}"
        shutil.rmtree(folder)


def test_any_value_of_a_folder_may_be_wrong(tiny_bert: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny_bert, tmp_path / "whole")
    assert list(wrong_outcomes(source, ["config.json", "tokenizer.json"], 120, Random(0), outcome)) == []


def outcome(folder: Path) -> str:
    try:
        encode(folder)
    except MtlError as error:
        return "one line" if "\n" not in str(error) else str(error)
    except BaseException as error:  # a panic in Rust is one
        return repr(error)
    return ""
