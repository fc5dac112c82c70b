"""Predictions of a trained model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.windows import best_windows
from mtl.errors import InputError, ModelError, one_line
from mtl.model.batch import Pair, TokenRow, collate, encode_rows, words_of
from mtl.model.device import Precision, choose_device
from mtl.model.folder import load
from mtl.model.micro_batches import Rows
from mtl.model.model import Model
from mtl.tasks.base import Prediction, TaskType

BATCH_TOKENS = {"cpu": 2048, "cuda": 8192}
"""Largest size of a batch by device, in subwords. A CPU spends more time on asking the system for the memory of larger ones."""


Window = tuple[Tensor, npt.NDArray[np.int32]]
"""Scores of a window of a row, and the index of the token that starts at each position, -1 elsewhere; both ``[positions, …]``."""
Counts = Sequence[Sequence[int]]
"""Number of tokens by text field and row, those cut off included."""


def encode(tokenizer: SubwordTokenizer, rows: Sequence[TokenRow], max_length: int, tasks: Iterable[TaskType | type[TaskType]]) -> Encoded:
    """Rows as these tasks need them: all windows of a long row if one of the tasks wants them, else its beginning."""
    joined = [task for task in tasks if task.all_windows]
    stride = min((task.stride for task in joined if task.stride), default=None)
    return encode_rows(tokenizer, rows, max_length, windows=bool(joined), stride=stride)


def counts_of(rows: Sequence[TokenRow]) -> Counts:
    """Number of tokens by text field and row."""
    return [[len(words_of(row, field)) for row in rows] for field in (0, 1)]


def predictions(
    model: Model,
    encoded: Encoded,
    counts: Counts,
    tasks: Iterable[str],
    *,
    batch_tokens: int | None = None,
    precision: Precision | None = None,
) -> dict[str, list[Prediction]]:
    """The predictions of every task for every row, in the order of the rows.

    Args:
        model: on any device; its mode (training or evaluation) is kept.
        encoded: the rows, by the model's own tokenizer; rows that are too long may be cut into windows.
        counts: see ``counts_of``.
        tasks: names of the requested tasks.
        batch_tokens: padded subwords of a batch, at most; chosen for the device if not given.
        precision: of the forward pass; fp32 if not given.
    """
    device, was_training = model.device, model.training
    names, size = list(tasks), len(counts[0])
    owner = np.arange(len(encoded)) if encoded.owner is None else encoded.owner
    first, whole = np.arange(len(encoded)) < size, np.bincount(owner, minlength=size)[owner] == 1
    result: dict[str, dict[int, Prediction]] = {name: {} for name in names}
    parts: dict[str, dict[int, Window]] = {name: {} for name in names}
    joined_of = {name: _joined(model.tasks[name], encoded) for name in names}
    model.eval()
    with torch.inference_mode(), (precision or Precision("fp32", device)).autocast():
        for rows in model.micro_batches(encoded.lengths, batch_tokens or BATCH_TOKENS[device.type]):
            batch = collate(encoded, rows).to(device)
            for name, logits in model(batch, names).items():
                # A prediction is always finite: a logit that is NaN counts as 0, one beyond fp16 as the largest float32.
                scores, task = logits.float().nan_to_num(nan=0.0).cpu(), model.tasks[name]
                words, joined = batch.words(task.field), joined_of[name][rows]
                own = np.where(joined, whole[rows], first[rows])
                decoded = task.decode(scores[torch.from_numpy(own)], words[own], [counts[task.field][row] for row in owner[rows[own]]])
                result[name].update(zip(owner[rows[own]].tolist(), decoded, strict=True))
                for i in np.flatnonzero(joined & ~own):
                    real = slice(int(encoded.lengths[rows[i]]))
                    parts[name][int(rows[i])] = scores[i][real].clone(), words[i][real]
    model.train(was_training)
    for name in names:
        result[name].update(_merged(model.tasks[name], encoded, owner, parts[name], counts))
    return {name: [by_row[row] for row in range(size)] for name, by_row in result.items()}


def _joined(task: TaskType, encoded: Encoded) -> npt.NDArray[np.bool_]:
    """Whether the windows of a row are joined, ``[windows]``. Windows of two fields repeat the left one: the first will do."""
    if not task.all_windows:
        return np.zeros(len(encoded), dtype=np.bool_)
    return np.ones(len(encoded), dtype=np.bool_) if task.field else ~encoded.pairs


def _merged(task: TaskType, encoded: Encoded, owner: Rows, parts: Mapping[int, Window], counts: Counts) -> Iterator[tuple[int, Prediction]]:
    """Predictions for rows that are cut into windows."""
    windows: dict[int, list[int]] = {}
    for window in sorted(parts):
        windows.setdefault(int(owner[window]), []).append(window)
    for row, own in windows.items():
        scores, words = zip(*(parts[window] for window in own), strict=True)
        yield row, task.join(scores, words, best_windows(encoded, own), counts[task.field][row])


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
        predictor = cls(load(folder), device)
        with one_line(ModelError, f"{folder}: cannot predict"):
            predictor._try_out()
        return predictor

    def _try_out(self) -> None:
        """Predict a row with each task: some values of ``config.json`` are not used before."""
        for name, task in self.model.tasks.items():
            tokens = ["a", "a"]
            self.predict([tokens if len(task.fields) == 1 else Pair(tokens, tokens)], [name])
            task.describe()

    def chosen(self, tasks: Iterable[str] | None) -> list[str]:
        """The names of the requested tasks, all by default.

        Raises:
            ModelError: the model has no such task.
        """
        wanted = list(self.model.tasks) if tasks is None else list(tasks)
        for name in wanted:
            if name not in self.model.tasks:
                raise ModelError(f"the model has no task {name!r}; choose from: {', '.join(self.model.tasks)}")
        return wanted

    def predict(
        self, rows: Sequence[TokenRow], tasks: Iterable[str] | None = None, batch_tokens: int | None = None
    ) -> dict[str, list[Prediction]]:
        """Predictions by task, in the order of the rows, each a sequence of tokens or a ``Pair`` of two.

        Raises:
            InputError: a row is a string.
            ModelError: the model has no such task.
        """
        wanted = self.chosen(tasks)
        _check_rows(rows)
        encoded = encode(self.model.tokenizer, rows, self.model.max_length, [self.model.tasks[name] for name in wanted])
        return predictions(self.model, encoded, counts_of(rows), wanted, batch_tokens=batch_tokens)

    def embed(self, rows: Sequence[TokenRow], task: str | None = None, batch_tokens: int | None = None) -> npt.NDArray[np.float32]:
        """The pooled hidden states of each row's beginning, ``[rows, width]``.

        Args:
            rows: each a sequence of tokens or a ``Pair`` of two.
            task: the task whose layers compute the states; required where tasks have layers of their own.
            batch_tokens: see ``predictions``.

        Raises:
            InputError: a row is a string.
            ModelError: the model has no such task, or tasks have layers of their own and none is named.
        """
        model, (name, *_) = self.model, self.chosen(None if task is None else [task])
        if task is None and model.encoder.own(name):
            raise ModelError(f"each task has layers of its own, so that hidden states differ: name a task of {', '.join(model.tasks)}")
        _check_rows(rows)
        encoded = encode_rows(model.tokenizer, rows, model.max_length, windows=False)
        vectors = np.zeros((len(rows), model.encoder.width), dtype=np.float32)
        with torch.inference_mode():
            for places in model.micro_batches(encoded.lengths, batch_tokens or BATCH_TOKENS[model.device.type]):
                vectors[places] = model.embed(collate(encoded, places).to(model.device), name).float().cpu().numpy()
        return vectors


def _check_rows(rows: Sequence[TokenRow]) -> None:
    """Python would take the characters of a string for tokens."""
    for number, row in enumerate(rows):
        if isinstance(row, str) or (isinstance(row, Pair) and any(isinstance(field, str) for field in row)):
            raise InputError(f"row {number} is a string, not a list of tokens; texts are for mtl.load(…).predict")
