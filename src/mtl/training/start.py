"""Weights to start from: those of a model that was trained before."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from mtl.errors import UnfitError
from mtl.model import folder
from mtl.model.model import Model


def start_from(model: Model, path: Path) -> list[str]:
    """Take over the weights of a model folder: the shared encoder and decoder, and of each task that both have its head and layers.

    A task that has other classes now, or another type, keeps its new head. What only this model has stays as it is.

    Args:
        model: with its whole vocabulary, on the CPU.
        path: of the model folder.

    Returns:
        Warnings: what the other model has too, but of another form, so that it is not taken over.

    Raises:
        ModelError: the folder cannot be read.
        UnfitError: its encoder or vocabulary is another one.
    """
    before = folder.load(path)
    subwords = model.tokenizer.shared_prefix(before.tokenizer)
    if subwords is None:
        raise UnfitError(f"{path}: its vocabulary is not that of the encoder, so no weights can be taken over")
    embedding, old_embedding = model.encoder.embedding.weight, before.encoder.embedding.weight
    shared, old_shared = _shared(model), _shared(before)
    if not _fit(shared, old_shared) or embedding.shape[1] != old_embedding.shape[1]:
        raise UnfitError(f"{path}: its encoder has other layers or another width, so no weights can be taken over")
    with torch.no_grad():
        embedding[:subwords] = old_embedding[:subwords]
        _copy(shared, old_shared)
        decoder = _start_decoder(model, before)
        warnings = []
        if not decoder and model.decoder is not None and before.decoder is not None:
            warnings.append("the decoder is not taken over: its vocabulary or form differs")
        for name, task in model.tasks.items():
            if name not in before.tasks or (task.writes and not decoder):
                continue
            own, old_own, old = _own(model, name), _own(before, name), before.tasks[name]
            if (task.name, task.class_names) == (old.name, old.class_names) and _fit(own, old_own):
                _copy(own, old_own)
            else:
                warnings.append(f"{name}: its head and own layers are not taken over, because its type or classes differ")
    return warnings


def _start_decoder(model: Model, before: Model) -> bool:
    """Take over the decoder, if both models have one of the same vocabulary and form."""
    if model.decoder is None or before.decoder is None:
        return False
    own, old = ([*decoder.parameters()] for decoder in (model.decoder, before.decoder))
    if model.decoder.vocabulary.dump() != before.decoder.vocabulary.dump() or not _fit(own, old):
        return False
    _copy(own, old)
    return True


def _shared(model: Model) -> list[nn.Parameter]:
    """The parameters of the encoder that no task has for itself, but for the embedding of the subwords."""
    apart = {id(parameter) for task in model.tasks for parameter in model.encoder.own(task)}
    apart.add(id(model.encoder.embedding.weight))
    return [parameter for parameter in model.encoder.parameters() if id(parameter) not in apart]


def _own(model: Model, task: str) -> list[nn.Parameter]:
    """The head and the layers of a task."""
    return [*model.heads[task].parameters(), *model.encoder.own(task)]


def _fit(parameters: Sequence[nn.Parameter], others: Sequence[nn.Parameter]) -> bool:
    return [parameter.shape for parameter in parameters] == [parameter.shape for parameter in others]


def _copy(parameters: Sequence[nn.Parameter], others: Sequence[nn.Parameter]) -> None:
    for parameter, other in zip(parameters, others, strict=True):
        parameter.copy_(other)
