"""Answers of a trained model."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from mtl.encoders import Encoded
from mtl.errors import ModelError
from mtl.tasks import Answer
from mtl.training import model as models
from mtl.training.corpus import collate
from mtl.training.device import Precision, choose_device
from mtl.training.model import Model

BATCH_TOKENS = 8192


def answers(
    model: Model,
    encoded: Encoded,
    tokens: Sequence[int],
    tasks: Iterable[str],
    *,
    batch_tokens: int = BATCH_TOKENS,
    precision: Precision | None = None,
) -> dict[str, list[Answer]]:
    """Every task's answer to every row, in the order of the rows.

    Args:
        model: on any device; its mode (training or evaluation) is kept.
        encoded: the rows, by the model's own tokenizer.
        tokens: number of tokens of each row, those cut off included.
        tasks: names of the tasks asked.
        batch_tokens: padded pieces of a batch, at most.
        precision: of the forward pass; fp32 if not given.
    """
    device, was_training = model.device, model.training
    wanted = list(tasks)
    found: dict[str, dict[int, Answer]] = {name: {} for name in wanted}
    lengths = encoded.offsets[1:] - encoded.offsets[:-1]
    model.eval()
    with torch.inference_mode(), (precision or Precision("fp32", device)).autocast():
        for rows in model.micro_batches(lengths, batch_tokens):
            batch = collate(encoded, rows).to(device)
            for name, logits in model(batch, wanted).items():
                batch_answers = model.tasks[name].decode(logits.float().cpu(), batch.word, [tokens[row] for row in rows])
                found[name].update(zip(rows.tolist(), batch_answers, strict=True))
    model.train(was_training)
    return {name: [by_row[row] for row in range(len(tokens))] for name, by_row in found.items()}


class Predictor:
    """A trained model on a device."""

    def __init__(self, model: Model, device: str = "auto") -> None:
        self.model = model.to(choose_device(device)).eval()

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> "Predictor":
        """From a model folder.

        Raises:
            ModelError: the folder is not a whole model of this version.
            TrainingError: the device is not there.
        """
        return cls(models.load(folder), device)

    def predict(
        self, rows: Sequence[Sequence[str]], tasks: Iterable[str] | None = None, batch_tokens: int = BATCH_TOKENS
    ) -> dict[str, list[Answer]]:
        """Answers by task, in the order of the rows, each a sequence of tokens.

        Raises:
            ModelError: the model has no such task.
        """
        wanted = list(self.model.tasks) if tasks is None else list(tasks)
        for name in wanted:
            if name not in self.model.tasks:
                raise ModelError(f"the model has no task {name!r}; choose from: {', '.join(self.model.tasks)}")
        encoded = self.model.tokenizer.encode(rows, self.model.max_length)
        return answers(self.model, encoded, [len(row) for row in rows], wanted, batch_tokens=batch_tokens)
