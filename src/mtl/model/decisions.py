"""The decisions of a model on labelled rows: their logits beside the right choices."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from mtl.encoders import Encoded
from mtl.model.batch import collate
from mtl.model.device import Precision
from mtl.model.joining import first_or_joined
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.model.prediction import BATCH_TOKENS
from mtl.tasks.base import Label, TaskType


class Decisions(NamedTuple):
    """Some decisions of one task; see ``TaskType.decisions``."""

    logits: npt.NDArray[np.float64]
    """``[decisions, choices]``, minus infinity for a choice that a decision does not have."""
    right: Rows
    """Places of the labelled choices, ``[decisions]``."""
    rows: Rows
    """Row of each, ``[decisions]``."""
    places: Rows
    """Which decision of its row each is, ``[decisions]``: its token where tokens are labelled, else its number."""


def decisions(
    model: Model,
    encoded: Encoded,
    labels: Mapping[str, Sequence[Label | None]],
    precision: Precision,
    *,
    batch_tokens: int | None = None,
) -> Iterator[tuple[str, Decisions]]:
    """The decisions of each batch, with the name of their task. A token that is in two windows comes twice.

    Args:
        model: on any device; its mode (training or evaluation) is kept.
        encoded: the rows; those that are too long may be cut into windows.
        labels: by requested task, the label of each row.
        precision: of the forward pass.
        batch_tokens: padded subwords of a batch, at most; chosen for the device if not given.
    """
    owners, was_training = encoded.owner if encoded.owner is not None else np.arange(len(encoded)), model.training
    used = {name: first_or_joined(model.tasks[name], encoded) for name in labels}
    model.eval()
    with torch.inference_mode(), precision.autocast():
        for windows in model.micro_batches(encoded.lengths, batch_tokens or BATCH_TOKENS[model.device.type]):
            batch = collate(encoded, windows).to(model.device)
            for name, logits in model(batch, labels).items():
                task, rows = model.tasks[name], owners[windows]
                own = [labels[name][row] if read else None for row, read in zip(rows.tolist(), used[name][windows].tolist(), strict=True)]
                words = batch.words(task.field)
                targets = task.targets(own, words)
                scores, right = task.decisions(logits.float().nan_to_num(nan=0.0).cpu(), targets)
                places = _places(task, targets, words, len(right))
                yield name, Decisions(scores.double().numpy(), right.numpy(), rows[places[0]], places[1])
    model.train(was_training)


def _places(task: TaskType, targets: torch.Tensor, words: npt.NDArray[np.int32], count: int) -> tuple[Rows, Rows]:
    """The place of each decision: its row in the batch, and which one of the row it is."""
    labelled = task.labelled(targets).numpy()
    if labelled.ndim == 2:
        rows, positions = np.nonzero(labelled)
        return rows, words[rows, positions].astype(np.int64)
    rows = np.flatnonzero(labelled)
    each = count // max(len(rows), 1)
    return np.repeat(rows, each), np.tile(np.arange(each), len(rows))
