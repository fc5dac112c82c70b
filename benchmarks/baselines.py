"""The same model and data as in common training loops: padded, with torch's own dropout and the whole vocabulary."""

import copy
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl import config
from mtl.encoders.cheap import CHEAP
from mtl.model.batch import Batch
from mtl.model.device import choose_device, choose_precision
from mtl.model.model import Model
from mtl.tasks.base import TaskType
from mtl.training.corpus import Corpus, labelled_batch
from mtl.training.loop import Loop
from mtl.training.prepare import prepare
from mtl.training.splits import read_splits


class Clock:
    """Seconds of CPU time, or of wall time on a GPU. Other processes of the machine disturb CPU time less."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self) -> float:
        if self.device.type != "cuda":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()


def make_loop(settings: Path, data: Path, encoder: Path, *, whole: bool = False, **train: Any) -> Loop:
    """The loop of the plain joint run on a project's prepared data, before its first step.

    Args:
        settings: a ``params.yaml``.
        data: folder with ``examples``.
        encoder: folder of the transformer.
        whole: keep the whole vocabulary in the embedding.
        **train: overrides of the section ``train``.
    """
    loaded = config.load(settings)
    loaded = loaded.model_copy(update={"train": config.Train.model_validate(loaded.train.model_dump() | train)})
    run = next(run for run in loaded.runs().values() if run.model == "joint")
    run = run.model_copy(update={"data": "plain"})
    device = choose_device()
    precision = choose_precision(loaded.train.precision, device)
    splits = read_splits(loaded, run, data / "examples", data / "shards")
    loop = prepare(loaded, run, splits, encoder, precision)[0]
    loop.model.train()
    return with_whole_vocabulary(loop) if whole else loop


def with_whole_vocabulary(loop: Loop) -> Loop:
    """The loop with the whole vocabulary, before its first step."""
    loop.model.encoder.restore_vocabulary()
    before = loop.feed.data
    train, validation = (replace(corpus, encoded=replace(corpus.encoded, numbers=None)) for corpus in (before.train, before.validation))
    data = replace(before, train=train, validation=validation)
    return Loop(loop.model, data, loop.settings, loop.gradients.balancer.weights, loop.feed.plan.seed, loop.precision)


def padded(model: Model) -> Model:
    """A copy that computes padding, with the linear layers and dropout of torch."""
    same, plain = copy.deepcopy(model), {cheap: usual for usual, cheap in CHEAP.items()}
    same.encoder.packs = lambda device: False  # type: ignore[method-assign]
    for module in same.modules():
        module.__class__ = plain.get(type(module), type(module))
    return same


class Padded(nn.Module):
    """The model with the interface of Trainer: tensors in, the sum of the tasks' mean losses out. Counts its input subwords.

    ``real`` may be a tensor on the device: reading it at every pass would make the host wait, and slow down the sides that are not ours.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.real: int | Tensor = 0
        self.computed = 0

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        batch = batch_of(inputs)
        self.real = self.real + batch.mask.sum()
        self.computed += batch.mask.numel()
        losses = self.losses(batch)
        return {"loss": torch.stack(list(losses.values())).sum()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        tasks = self.model.tasks
        logits = self.model(batch, batch.targets)
        return {task: tasks[task].loss(logits[task], target) for task, target in batch.targets.items()}


def inputs_of(corpus: Corpus, rows: Iterable[int], tasks: Mapping[str, TaskType], width: int | None = None) -> dict[str, Tensor]:
    """The tensors of a batch, padded to its longest row or to ``width`` subwords."""
    batch = labelled_batch(corpus, np.array(list(rows)), tasks)
    more = 0 if width is None else width - batch.mask.shape[1]
    pad = nn.functional.pad
    targets = {f"target_{task}": pad(t, (0, more), value=-100) if t.ndim > 1 else t for task, t in batch.targets.items()}
    targets |= {f"rows_{task}": rows for task, rows in batch.rows.items()}
    return {
        "input_ids": pad(batch.subwords, (0, more)),
        "attention_mask": pad(batch.mask, (0, more)),
        "word_shape_ids": pad(batch.word_shape_ids, (0, more)),
        **targets,
    }


def batch_of(inputs: Mapping[str, Tensor]) -> Batch:
    targets, rows = (
        {name.removeprefix(prefix): value for name, value in inputs.items() if name.startswith(prefix)} for prefix in ("target_", "rows_")
    )
    mask = inputs["attention_mask"].bool()
    return Batch(inputs["input_ids"], mask, inputs["word_shape_ids"], np.zeros((0, 0), np.int32), targets, dict.fromkeys(targets, 1), rows)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    extensions = torch.backends.cpu.get_cpu_capability()
    threads = torch.get_num_threads()
    return f"cpu, {extensions}, {threads} thread{'s' if threads != 1 else ''}"


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the ratios of paired measurements."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def show(results: Mapping[str, Any], as_json: bool) -> None:
    """Print a line per result, and with ``as_json`` one JSON object as the last line."""
    for name, value in results.items():
        print(f"{name:28} {value}")
    if as_json:
        print(json.dumps(results))
