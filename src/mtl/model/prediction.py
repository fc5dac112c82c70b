"""Predictions of a trained model."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mtl.encoders import Encoded
from mtl.errors import ModelError, TrainingError, one_line
from mtl.model.batch import Pair, TokenRow, collate, encode_rows
from mtl.model.device import Precision, choose_device, for_prediction
from mtl.model.folder import load
from mtl.model.joining import Counts, Decoder, Joiner, check_rows, chosen, counts_of, encode
from mtl.model.model import Model
from mtl.tasks.base import Prediction, TaskType

BATCH_TOKENS = {"cpu": 2048, "cuda": 8192}
"""Largest size of a batch by device, in subwords. A CPU spends more time on asking the system for the memory of larger ones."""


LARGEST = float(torch.finfo(torch.float32).max)
"""What counts for a sum that is not a number; times a weight of 0 it is 0, unlike infinity."""
NOTHING: Mapping[str, TaskType] = {}


def beside_name(task: str) -> str:
    """The name of what predicts from a task's head beside it; no task has a name with a space."""
    return f"{task} beside"


def predictions(
    model: Model,
    encoded: Encoded,
    counts: Counts,
    tasks: Iterable[str],
    *,
    batch_tokens: int | None = None,
    precision: Precision | None = None,
    beside: Mapping[str, TaskType] = NOTHING,
) -> dict[str, list[Prediction]]:
    """The predictions of every task for every row, in the order of the rows.

    Args:
        model: on any device; its mode (training or evaluation) is kept.
        encoded: the rows, by the model's own tokenizer; rows that are too long may be cut into windows.
        counts: see ``counts_of``.
        tasks: names of the requested tasks.
        batch_tokens: padded subwords of a batch, at most; chosen for the device if not given.
        precision: of the forward pass; fp32 if not given.
        beside: by the name of a requested task another one, which reads the same head; its predictions are under ``beside_name``.
    """
    device, was_training = model.device, model.training
    requested = {name: model.tasks[name] for name in tasks}
    also = {beside_name(name): task for name, task in beside.items()}
    joiner = Joiner(encoded, counts, {name: _decoder(task) for name, task in (requested | also).items()})
    model.eval()
    with torch.inference_mode(), (precision or Precision("fp32", device)).autocast():
        for rows in model.micro_batches(encoded.lengths, batch_tokens or BATCH_TOKENS[device.type]):
            batch = collate(encoded, rows).to(device)
            for name, logits in model(batch, requested).items():
                # A prediction is always finite: a logit that is NaN counts as 0, one beyond fp16 as the largest float32.
                scores = logits.float().nan_to_num(nan=0.0).cpu().numpy()
                for reader in (name, beside_name(name)):
                    if reader in joiner.decoders:
                        joiner.add(reader, rows, scores, batch.words(model.tasks[name].field))
    model.train(was_training)
    return joiner.predictions()


def _decoder(task: TaskType) -> Decoder:
    """A task type may be of an outside package, whose methods take tensors."""
    return Decoder(
        task,
        lambda scores, words, lengths: task.decode(torch.from_numpy(scores), words, lengths),
        lambda scores, words, best, length: task.join([torch.from_numpy(part) for part in scores], words, best, length),
    )


class Predictor:
    """A trained model on a device. It takes the model over: see ``Model.fuse``."""

    def __init__(self, model: Model, device: str = "auto", precision: str = "fp32") -> None:
        """``precision`` is ``fp32``, ``bf16``, or ``int8``: then the products of the encoder's layers are of 8-bit numbers, and all else is
        float32.

        Raises:
            TrainingError: the device is not there, or it or the encoder lacks the precision.
        """
        self.model = model.to(choose_device(device)).eval()
        self.precision = for_prediction(precision, self.model.device)
        fused = self.model.device.type == "cpu" and model.fuse(self.precision.products)
        if precision == "int8" and not fused:
            raise TrainingError("precision 'int8' needs an encoder like BERT, and torch's 8-bit products; choose fp32 or bf16")

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "fp32") -> "Predictor":
        """From a model folder.

        Raises:
            ModelError: the folder is not a whole model of this version.
            TrainingError: the device is not there, or lacks the precision.
        """
        predictor = cls(load(folder, to_fuse=choose_device(device).type == "cpu"), device, precision)
        with one_line(ModelError, f"{folder}: cannot predict"):
            predictor._try_out()
        return predictor

    def _try_out(self) -> None:
        """Predict a row with each task: some values of ``config.json`` are not used before."""
        for name, task in self.model.tasks.items():
            tokens = ["a", "a"]
            self.predict([tokens if len(task.fields) == 1 else Pair(tokens, tokens)], [name])
            task.describe()

    @property
    def tasks(self) -> Mapping[str, TaskType]:
        """Those of the model, by name."""
        return self.model.tasks

    def chosen(self, tasks: Iterable[str] | None) -> list[str]:
        """The names of the requested tasks, all by default.

        Raises:
            ModelError: the model has no such task.
        """
        return chosen(self.model.tasks, tasks)

    def predict(
        self,
        rows: Sequence[TokenRow],
        tasks: Iterable[str] | None = None,
        batch_tokens: int | None = None,
        beside: Mapping[str, TaskType] = NOTHING,
    ) -> dict[str, list[Prediction]]:
        """Predictions by task, in the order of the rows, each a sequence of tokens or a ``Pair`` of two.

        For ``beside``, see ``predictions``.

        Raises:
            InputError: a row is a string.
            ModelError: the model has no such task.
        """
        wanted = self.chosen(tasks)
        check_rows(rows)
        encoded = encode(self.model.tokenizer, rows, self.model.max_length, [self.model.tasks[name] for name in wanted])
        return predictions(self.model, encoded, counts_of(rows), wanted, batch_tokens=batch_tokens, precision=self.precision, beside=beside)

    def surprise(self, rows: Sequence[TokenRow], task: str, texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """How unexpected texts are to a task that writes, each after the beginning of its row: what perplexity is made of.

        Args:
            rows: the sources, each a sequence of tokens or a ``Pair`` of two.
            task: its name.
            texts: the text of each row, which is cut where the longest prediction ends.

        Returns:
            The summed negative log-probability (nats) of each text's subwords, and their number, ``[rows]``.
        """
        model, own = self.model, self.model.tasks[task]
        encoded = encode_rows(model.tokenizer, rows, model.max_length, windows=False)
        found = np.zeros(len(rows), dtype=np.float64)
        with torch.inference_mode(), self.precision.autocast():
            for places in model.micro_batches(encoded.lengths, BATCH_TOKENS[model.device.type]):
                batch = collate(encoded, places)
                batch.targets[task] = own.targets([texts[place] for place in places])
                found[places] = model.surprise(batch.to(model.device), task).float().nan_to_num(nan=LARGEST).cpu().numpy()
        return found, own.target_lengths(texts)

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
        check_rows(rows)
        encoded = encode_rows(model.tokenizer, rows, model.max_length, windows=False)
        vectors = np.zeros((len(rows), model.encoder.width), dtype=np.float32)
        with torch.inference_mode(), self.precision.autocast():
            for places in model.micro_batches(encoded.lengths, batch_tokens or BATCH_TOKENS[model.device.type]):
                vectors[places] = model.embed(collate(encoded, places).to(model.device), name).float().cpu().numpy()
        return vectors
