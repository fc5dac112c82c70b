"""Predictions of a trained model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.windows import best_windows, encode_windows
from mtl.errors import ModelError
from mtl.model.batch import collate
from mtl.model.device import Precision, choose_device
from mtl.model.folder import load
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.tasks.base import Prediction, TaskType

BATCH_TOKENS = {"cpu": 2048, "cuda": 8192}
"""Largest size of a batch by device, in subwords. A CPU spends more time on asking the system for the memory of larger ones."""


def encode(
    tokenizer: SubwordTokenizer, rows: Sequence[Sequence[str]], max_length: int, tasks: Iterable[TaskType | type[TaskType]]
) -> Encoded:
    """Rows as these tasks look at them: all windows of a long row if one of them is about tokens, else its beginning."""
    windows = any(task.all_windows for task in tasks)
    return encode_windows(tokenizer, rows, max_length) if windows else tokenizer.encode(rows, max_length)


def predictions(
    model: Model,
    encoded: Encoded,
    tokens: Sequence[int],
    tasks: Iterable[str],
    *,
    batch_tokens: int | None = None,
    precision: Precision | None = None,
) -> dict[str, list[Prediction]]:
    """Every task's prediction to every row, in the order of the rows.

    Args:
        model: on any device; its mode (training or evaluation) is kept.
        encoded: the rows, by the model's own tokenizer; those that are too long may be cut into windows.
        tokens: number of tokens of each row, those cut off included.
        tasks: names of the tasks asked.
        batch_tokens: padded subwords of a batch, at most; what suits the device if not given.
        precision: of the forward pass; fp32 if not given.
    """
    device, was_training = model.device, model.training
    wanted = list(tasks)
    owner = np.arange(len(encoded)) if encoded.owner is None else encoded.owner
    first, whole = np.arange(len(encoded)) < len(tokens), np.bincount(owner, minlength=len(tokens))[owner] == 1
    found: dict[str, dict[int, Prediction]] = {name: {} for name in wanted}
    parts: dict[str, dict[int, Tensor]] = {name: {} for name in wanted}
    model.eval()
    with torch.inference_mode(), (precision or Precision("fp32", device)).autocast():
        for rows in model.micro_batches(encoded.lengths, batch_tokens or BATCH_TOKENS[device.type]):
            batch = collate(encoded, rows).to(device)
            for name, logits in model(batch, wanted).items():
                # An prediction is finite always: a logit that is no number counts as 0, one beyond fp16 as the largest float32.
                scores, task = logits.float().nan_to_num(nan=0.0).cpu(), model.tasks[name]
                # A text is judged by its first window: what training shows of a long row is its beginning.
                own = (whole if task.all_windows else first)[rows]
                owners = owner[rows[own]].tolist()
                decoded = task.decode(scores[torch.from_numpy(own)], batch.word_ids[own], [tokens[row] for row in owners])
                found[name].update(zip(owners, decoded, strict=True))
                if task.all_windows:
                    parts[name].update({int(rows[i]): scores[i][torch.from_numpy(batch.word_ids[i] >= 0)] for i in np.flatnonzero(~own)})
    model.train(was_training)
    for name in wanted:
        found[name].update(_merged(model.tasks[name], encoded, owner, parts[name], tokens))
    return {name: [by_row[row] for row in range(len(tokens))] for name, by_row in found.items()}


def _merged(
    task: TaskType, encoded: Encoded, owner: Rows, parts: Mapping[int, Tensor], tokens: Sequence[int]
) -> Iterator[tuple[int, Prediction]]:
    """Predictions to the rows that are cut into windows: each token's scores are those of the window that knows most around it."""
    windows: dict[int, list[int]] = {}
    for window in sorted(parts):
        windows.setdefault(int(owner[window]), []).append(window)
    for row, own in windows.items():
        best, place = best_windows(encoded, own)
        scores = torch.stack([parts[own[i]][p] for i, p in zip(best.tolist(), place.tolist(), strict=True)])
        yield row, task.decode(scores[None], np.arange(len(scores), dtype=np.int32)[None], [tokens[row]])[0]


class Predictor:
    """A trained model on a device. It takes the model over: see ``Encoder.fuse``."""

    def __init__(self, model: Model, device: str = "auto") -> None:
        self.model = model.to(choose_device(device)).eval()
        if self.model.device.type == "cpu":
            self.model.encoder.fuse()

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> "Predictor":
        """From a model folder.

        Raises:
            ModelError: the folder is not a whole model of this version.
            TrainingError: the device is not there.
        """
        return cls(load(folder), device)

    def chosen(self, tasks: Iterable[str] | None) -> list[str]:
        """The names of the tasks that are asked, all if none is named.

        Raises:
            ModelError: the model has no such task.
        """
        wanted = list(self.model.tasks) if tasks is None else list(tasks)
        for name in wanted:
            if name not in self.model.tasks:
                raise ModelError(f"the model has no task {name!r}; choose from: {', '.join(self.model.tasks)}")
        return wanted

    def predict(
        self, rows: Sequence[Sequence[str]], tasks: Iterable[str] | None = None, batch_tokens: int | None = None
    ) -> dict[str, list[Prediction]]:
        """Predictions by task, in the order of the rows, each a sequence of tokens.

        Raises:
            ModelError: the model has no such task.
        """
        wanted = self.chosen(tasks)
        encoded = encode(self.model.tokenizer, rows, self.model.max_length, [self.model.tasks[name] for name in wanted])
        return predictions(self.model, encoded, [len(row) for row in rows], wanted, batch_tokens=batch_tokens)
