"""Weights to start from: those of a model that was trained before."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mtl.errors import TrainingError
from mtl.model import folder
from mtl.model.model import Model


def start_from(model: Model, path: Path) -> list[str]:
    """Take over the weights of a model folder: the shared encoder and decoder, and of each task that both have its head and layers.

    A task that has other classes now, or another type, gets a new head. What only this model has stays as it is.

    Args:
        model: with its whole vocabulary, on the CPU.
        path: of the model folder.

    Returns:
        Warnings: which parts of the other model do not fit, and are not taken over.

    Raises:
        ModelError: the folder cannot be read.
        TrainingError: its encoder or vocabulary is another one.
    """
    before = folder.load(path)
    same = model.tokenizer.in_common(before.tokenizer)
    if same is None:
        raise TrainingError(f"{path}: its vocabulary is not that of the encoder, so no weights can be taken over")
    embedding, old_embedding = model.encoder.embedding.weight, before.encoder.embedding.weight
    ours, theirs = _shared(model), _shared(before)
    if not _fit(ours, theirs) or embedding.shape[1] != old_embedding.shape[1]:
        raise TrainingError(f"{path}: its encoder has other layers or another width, so no weights can be taken over")
    warnings = []
    with torch.no_grad():
        embedding[:same] = old_embedding[:same]
        _copy(ours, theirs)
        if model.decoder is not None and before.decoder is not None:
            if model.decoder.config() == before.decoder.config():
                _copy([*model.decoder.parameters()], [*before.decoder.parameters()])
            else:
                warnings.append(f"the decoder starts anew: that of {path} has other settings or another vocabulary")
        for name, task in model.tasks.items():
            if name not in before.tasks:
                continue
            ours, theirs = _own(model, name), _own(before, name)
            old = before.tasks[name]
            if (task.name, task.class_names) == (old.name, old.class_names) and _fit(ours, theirs):
                _copy(ours, theirs)
            else:
                warnings.append(f"{name} starts with a new head: in {path} it has other classes")
    return warnings


def _shared(model: Model) -> list[nn.Parameter]:
    """The parameters of the encoder that no task has for itself, but for the embedding of the subwords."""
    apart = {id(parameter) for task in model.tasks for parameter in model.encoder.own(task)}
    apart.add(id(model.encoder.embedding.weight))
    return [parameter for parameter in model.encoder.parameters() if id(parameter) not in apart]


def _own(model: Model, task: str) -> list[nn.Parameter]:
    return [*model.heads[task].parameters(), *model.encoder.own(task)]


def _fit(ours: Sequence[nn.Parameter], theirs: Sequence[nn.Parameter]) -> bool:
    return [parameter.shape for parameter in ours] == [parameter.shape for parameter in theirs]


def _copy(ours: Sequence[nn.Parameter], theirs: Sequence[nn.Parameter]) -> None:
    for parameter, other in zip(ours, theirs, strict=True):
        parameter.copy_(other)
