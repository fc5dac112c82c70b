"""A model's folder on disk: safetensors and JSON, nothing that runs code when loaded."""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from mtl import decoders, encoders, plugins
from mtl.data import model_files
from mtl.errors import ModelError, one_line
from mtl.files import replacing, write_text
from mtl.model.model import Model

FORMAT = 2
"""Version of the model folder; raised when an older reader could not read it."""
LONGEST = 8192
"""The most subwords of a row, where the encoder sets no limit: that of ``encoder.max_length``."""
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def save(model: Model, folder: Path, extra: Mapping[str, Any]) -> None:
    """Write the model folder. Same model, same bytes.

    Args:
        model: on any device.
        folder: exists.
        extra: JSON-able things for config.json, such as the label of each task under ``tasks``.
    """
    with replacing(folder / WEIGHTS) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, temporary)
    model.tokenizer.save(folder / TOKENIZER)
    tasks: dict[str, dict[str, Any]] = {name: {"type": task.name, "state": task.state} for name, task in model.tasks.items()}
    for name, more in extra.get("tasks", {}).items():
        tasks[name] |= more
    config = {
        "format": FORMAT,
        "mtl": version("mtl"),
        **extra,
        "encoder": model.encoder.config(),
        **({} if model.decoder is None else {"decoder": model.decoder.config()}),
        "max_length": model.max_length,
        "dropout": model.dropout,
        "tasks": tasks,
    }
    write_text(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model folder.

    Raises:
        ModelError: a file of the folder is missing, or of another format version.
    """
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: is not a model folder: {name} is missing")
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = config.get("format")
    except (ValueError, AttributeError, RecursionError, OSError) as error:
        raise ModelError(f"{folder / CONFIG}: is not readable as a model's settings: {error}") from None
    if found != FORMAT:
        raise ModelError(
            f"{folder / CONFIG}: format is {found!r}; this version reads {FORMAT}: train the model again (snakemake --cores 8)"
        )
    return config


def load(folder: Path, *, to_fuse: bool = False) -> Model:
    """Rebuild a model from its folder alone, on the CPU, in evaluation mode. With ``to_fuse``, the caller must call ``Model.fuse`` next.

    Raises:
        ModelError: a file is missing, damaged or of another version.
    """
    config = read_config(folder)
    with one_line(ModelError, f"{folder / WEIGHTS}: does not fit {CONFIG}"):
        try:
            return _built(config, folder, to_fuse)
        except KeyError as error:
            raise ModelError(f"{folder / CONFIG}: lacks {error}, or names something unknown by it") from None


def _built(config: Mapping[str, Any], folder: Path, to_fuse: bool) -> Model:
    model_files.check_config(config["encoder"], folder / WEIGHTS)
    encoder, tokenizer = encoders.restore(config["encoder"], folder / TOKENIZER, to_fuse=to_fuse)
    max_length, limit = config["max_length"], encoder.positions or LONGEST
    if not isinstance(max_length, int) or not 1 <= max_length <= limit:
        raise ModelError(f"{folder / CONFIG}: max_length is {str(max_length)[:80]!r}; it must be a number of subwords up to {limit}")
    tasks = {name: plugins.task_type(spec["type"])(spec["state"]) for name, spec in config["tasks"].items()}
    for name, task in tasks.items():
        if not 0 < task.temperature < math.inf:
            raise ModelError(f"{folder / CONFIG}: task {name}: temperature is {task.temperature}; it must be a number above 0")
        if task.segmentation not in (known := plugins.names(plugins.SEGMENTERS)):
            choices = ", ".join(known)
            raise ModelError(f"{folder / CONFIG}: task {name}: segmentation is {task.segmentation!r:.80}; choose from: {choices}")
    decoder = None
    if "decoder" in config:
        model_files.check_config(config["decoder"], folder / WEIGHTS)
        decoder = encoder.decoder(config["decoder"]) or decoders.restore(config["decoder"])
    model = Model(encoder, tokenizer, tasks, max_length=max_length, dropout=config["dropout"], decoder=decoder)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval()
