"""One encoder with a head for each task, and its folder on disk: safetensors and JSON, nothing that runs code when loaded."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mtl import encoders
from mtl.encoders import Encoder, PieceTokenizer
from mtl.encoders.base import ByTask
from mtl.encoders.cheap import make_cheap
from mtl.errors import ModelError
from mtl.tasks import TASKS, TaskType
from mtl.training.batching import Rows, micro_batches, seed_of
from mtl.training.corpus import Batch
from mtl.training.device import MICRO_BATCH, PACKED_MICRO_BATCH

FORMAT = 1
"""Version of the model folder; raised when an older reader could not read it."""
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


class Model(nn.Module):
    """An encoder and the heads of its tasks."""

    def __init__(
        self, encoder: Encoder, tokenizer: PieceTokenizer, tasks: Mapping[str, TaskType], *, max_length: int, dropout: float, seed: int = 0
    ) -> None:
        """Heads are drawn from the seed and the task's name: alone or joint, a task starts from the same head."""
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.tasks = dict(tasks)
        self.max_length = max_length
        self.dropout = dropout
        heads = {}
        with torch.random.fork_rng(devices=[]):
            for name, task in self.tasks.items():
                torch.manual_seed(seed_of("head", seed, name))
                heads[name] = task.head(encoder.width, dropout)
        self.heads = ByTask(heads)
        make_cheap(self.heads)
        encoder.branch(self.tasks)

    def forward(self, batch: Batch, tasks: Iterable[str]) -> dict[str, Tensor]:
        """Logits by task: ``[rows, outputs]`` of a text-level task, ``[rows, positions, outputs]`` of a token-level one."""
        packs = self.encoder.packs(batch.mask.device)  # elsewhere all positions are computed, whoever asks
        asked = {name: self._asked(batch, name) if packs else batch.mask for name in tasks}
        hidden = self.encoder.by_task(batch.pieces, batch.mask, batch.shapes, asked, batch.rows)
        # Tasks that share all layers share their hidden states too, to be pooled once.
        texts = {id(hidden[name]): hidden[name] for name in asked if self.tasks[name].level == "text"}
        pooled = {key: self.encoder.pool(states, batch.mask) for key, states in texts.items()}
        return {
            name: self.heads[name](pooled[id(states)] if self.tasks[name].level == "text" else states) for name, states in hidden.items()
        }

    def _asked(self, batch: Batch, task: str) -> Tensor:
        """The positions that a head looks at, bool ``[rows, positions]``; of a batch with targets, only for items that have one."""
        asked = self.encoder.pooled(batch.mask) if self.tasks[task].level == "text" else batch.first
        if task not in batch.targets:
            return asked
        known = self.tasks[task].labelled(batch.targets[task])
        return asked & known.unsqueeze(1) if known.ndim == 1 else known

    def own(self, task: str) -> list[nn.Parameter]:
        """What is learnt for one task alone: its head, and what the encoder has for it."""
        return [p for p in (*self.heads[task].parameters(), *self.encoder.own(task)) if p.requires_grad]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def micro_batches(self, lengths: npt.NDArray[np.integer], limit: int | None = None, overhead: int | None = None) -> list[Rows]:
        """Cut rows into micro-batches as suits the encoder and the device; see ``batching.micro_batches``."""
        packed = self.encoder.packs(self.device)
        usual = PACKED_MICRO_BATCH if packed else MICRO_BATCH[self.device.type]
        return micro_batches(lengths, limit or usual[0], usual[1] if overhead is None else overhead, packed=packed)

    def computed(self, batch: Batch) -> int:
        """Positions that the encoder computes for a batch, padding included where it computes that."""
        return batch.real if self.encoder.packs(self.device) else batch.mask.numel()


def write_atomically(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def save(model: Model, folder: Path, extra: Mapping[str, Any]) -> None:
    """Write the model folder. Same model, same bytes.

    Args:
        model: on any device.
        folder: exists.
        extra: JSON-able things for config.json, such as the label and type of each task under ``tasks``.
    """
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, temporary)
    temporary.replace(folder / WEIGHTS)
    model.tokenizer.save(folder / TOKENIZER)
    types = {kind: name for name, kind in TASKS.items()}
    tasks = {name: {"type": types[type(task)], "state": task.state} for name, task in model.tasks.items()}
    for name, more in extra.get("tasks", {}).items():
        tasks[name] |= more
    config = {
        "format": FORMAT,
        "mtl": version("mtl"),
        **extra,
        "encoder": model.encoder.config(),
        "max_length": model.max_length,
        "dropout": model.dropout,
        "tasks": tasks,
    }
    write_atomically(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model folder.

    Raises:
        ModelError: a file of the folder is missing, or of another format version.
    """
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: is no model folder: {name} is missing")
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = config.get("format")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{folder / CONFIG}: is not readable as a model's settings: {error}") from None
    if found != FORMAT:
        raise ModelError(f"{folder / CONFIG}: format is {found!r}; this version reads {FORMAT}: train the model again")
    return config


def load(folder: Path) -> Model:
    """Rebuild a model from its folder alone, on the CPU, in evaluation mode.

    Raises:
        ModelError: a file is missing, damaged or of another version.
    """
    config = read_config(folder)
    try:
        encoder, tokenizer = encoders.restore(config["encoder"], folder / TOKENIZER)
        tasks = {name: TASKS[spec["type"]](spec["state"]) for name, spec in config["tasks"].items()}
        model = Model(encoder, tokenizer, tasks, max_length=config["max_length"], dropout=config["dropout"])
        model.load_state_dict(load_file(folder / WEIGHTS))
    except KeyError as error:
        raise ModelError(f"{folder / CONFIG}: lacks {error}, or names something unknown by it") from None
    except (SafetensorError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder / WEIGHTS}: does not fit {CONFIG}: {error}") from None
    return model.eval()
