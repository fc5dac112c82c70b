"""A loaded model with its version."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mtl.api import TrainedModel
from mtl.files import checksum
from mtl.model.folder import CONFIG, TOKENIZER, WEIGHTS, read_config
from mtl.predict import Fields, fields_of, predict_rows
from mtl.tasks.base import TaskType

DIGITS = 12
"""Hexadecimal digits of the fingerprint in a version."""


class ServedModel:
    """A model and what the service says of it. It stays as it is when another version takes over."""

    def __init__(self, folder: Path, device: str = "auto", precision: str = "fp32") -> None:
        """Load a model.

        Raises:
            ModelError: the folder is not a complete model of this version.
            TrainingError: the device is not available, or lacks the precision.
        """
        folder = folder.resolve()  # all files come from one folder, also if a link is switched meanwhile
        self._model = TrainedModel(folder, device, precision)
        self.config = read_config(folder)
        self.card = self._model.card
        self.checksums = {name: checksum(folder / name) for name in (CONFIG, TOKENIZER, WEIGHTS)}
        digest = hashlib.sha256("".join(self.checksums.values()).encode()).hexdigest()
        self.version = f"{quote(folder.name)}@{digest[:DIGITS]}"
        """Name of the folder, and a fingerprint of the content of its files."""
        self.info = self._model.tasks
        self.labels = {name: info.label or name for name, info in self.info.items()}
        """Name of the label that each task learned."""

    @property
    def tasks(self) -> Mapping[str, TaskType]:
        """By name, in the order of training."""
        return self._model.predictor.model.tasks

    def rows(self, texts: Sequence[str | Mapping[str, Any]], tasks: Sequence[str]) -> list[Fields]:
        """The texts in tokens.

        Raises:
            TextError: a text lacks the fields of each task.
        """
        requested = {name: self.tasks[name] for name in tasks}
        rows = []
        for number, text in enumerate(texts):
            try:
                rows.append(fields_of(text, requested))
            except ValueError as error:
                raise TextError(number, str(error)) from None
        return rows

    def predict(self, rows: Sequence[Fields], tasks: Sequence[str], min_confidence: float = 0.0) -> list[dict[str, Any]]:
        """The JSON of each row's predictions by task; null below a confidence."""
        return predict_rows(self._model.predictor, rows, tasks, min_confidence=min_confidence)


class TextError(ValueError):
    """A text cannot be predicted."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
        """Its place in the list of texts."""
