"""Rows as tasks need them, and predictions for rows from those for their windows; without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.windows import best_windows
from mtl.errors import InputError, ModelError
from mtl.model.batch import Pair, TokenRow, encode_rows, words_of
from mtl.model.micro_batches import Rows
from mtl.tasks.base import Prediction, TaskType

if TYPE_CHECKING:
    from mtl.tasks.base import Outputs, Places, WordIds

Counts = Sequence[Sequence[int]]
"""Number of tokens by text field and row, those cut off included."""


class RowPredictor(Protocol):
    """What predicts rows of tokens."""

    @property
    def tasks(self) -> Mapping[str, TaskType]:
        """By name."""

    def predict(
        self, rows: Sequence[TokenRow], tasks: Iterable[str] | None = None, batch_tokens: int | None = None
    ) -> dict[str, list[Prediction]]:
        """See ``mtl.model.prediction.Predictor.predict``."""


class Decoder(NamedTuple):
    """How the outputs of a head become predictions."""

    task: TaskType
    decode: Callable[[Outputs, WordIds, Sequence[int]], list[Prediction]]
    """See ``TaskType.decode``."""
    join: Callable[[Sequence[Outputs], Sequence[WordIds], tuple[Places, Places], int], Prediction]
    """See ``TaskType.join``."""


class Joiner:
    """Predictions in the order of the rows, from the batches of their windows in any order."""

    def __init__(self, encoded: Encoded, counts: Counts, decoders: Mapping[str, Decoder]) -> None:
        """For rows that are encoded by ``encode``; ``decoders`` by task."""
        size = len(counts[0])
        self.encoded, self.counts, self.decoders = encoded, counts, decoders
        self.owner = np.arange(len(encoded)) if encoded.owner is None else encoded.owner
        self.first, self.whole = np.arange(len(encoded)) < size, np.bincount(self.owner, minlength=size)[self.owner] == 1
        self.joined = {name: _joined(decoder.task, encoded) for name, decoder in decoders.items()}
        self.results: dict[str, dict[int, Prediction]] = {name: {} for name in decoders}
        self.parts: dict[str, dict[int, tuple[Outputs, WordIds]]] = {name: {} for name in decoders}
        """By task and window, what the head gives and the words, both ``[positions, …]``."""

    def add(self, name: str, rows: Rows, outputs: Outputs, words: WordIds) -> None:
        """The outputs of a task's head for a batch of windows ``rows``; ``words`` as ``Batch.words`` gives them for the task's field."""
        decoder, joined = self.decoders[name], self.joined[name][rows]
        own = np.where(joined, self.whole[rows], self.first[rows])
        owners, counts = self.owner[rows[own]], self.counts[decoder.task.field]
        decoded = decoder.decode(outputs[own], words[own], [counts[row] for row in owners])
        self.results[name].update(zip(owners.tolist(), decoded, strict=True))
        for i in np.flatnonzero(joined & ~own):
            real = slice(int(self.encoded.lengths[rows[i]]))
            self.parts[name][int(rows[i])] = outputs[i][real].copy(), words[i][real]

    def predictions(self) -> dict[str, list[Prediction]]:
        """By task, of all rows."""
        for name in self.decoders:
            self.results[name].update(self._merged(name))
        return {name: [by_row[row] for row in range(len(self.counts[0]))] for name, by_row in self.results.items()}

    def _merged(self, name: str) -> Iterator[tuple[int, Prediction]]:
        """Predictions for rows that are cut into windows."""
        decoder, parts = self.decoders[name], self.parts[name]
        windows: dict[int, list[int]] = {}
        for window in sorted(parts):
            windows.setdefault(int(self.owner[window]), []).append(window)
        for row, own in windows.items():
            outputs, words = zip(*(parts[window] for window in own), strict=True)
            yield row, decoder.join(outputs, words, best_windows(self.encoded, own), self.counts[decoder.task.field][row])


def encode(tokenizer: SubwordTokenizer, rows: Sequence[TokenRow], max_length: int, tasks: Iterable[TaskType | type[TaskType]]) -> Encoded:
    """Rows as these tasks need them: all windows of a long row if one of the tasks wants them, else its beginning."""
    joined, stride = wanted_windows(tasks)
    return encode_rows(tokenizer, rows, max_length, windows=joined, stride=stride)


def wanted_windows(tasks: Iterable[TaskType | type[TaskType]]) -> tuple[bool, int | None]:
    """Whether one of the tasks wants all windows of long rows, and their stride."""
    joined = [task for task in tasks if task.all_windows]
    return bool(joined), min((task.stride for task in joined if task.stride), default=None)


def counts_of(rows: Sequence[TokenRow]) -> Counts:
    """Number of tokens by text field and row."""
    return [[len(words_of(row, field)) for row in rows] for field in (0, 1)]


def chosen(tasks: Mapping[str, TaskType], names: Iterable[str] | None) -> list[str]:
    """The names of the requested tasks, all by default.

    Raises:
        ModelError: the model has no such task.
    """
    requested = list(tasks) if names is None else list(names)
    for name in requested:
        if name not in tasks:
            raise ModelError(f"the model has no task {name!r}; choose from: {', '.join(tasks)}")
    return requested


def check_rows(rows: Sequence[TokenRow]) -> None:
    """Python would take the characters of a string for tokens.

    Raises:
        InputError: a row is a string.
    """
    for number, row in enumerate(rows):
        if isinstance(row, str) or (isinstance(row, Pair) and any(isinstance(field, str) for field in row)):
            raise InputError(f"row {number} is a string, not a list of tokens; texts are for mtl.load(…).predict")


def first_or_joined(task: TaskType, encoded: Encoded) -> npt.NDArray[np.bool_]:
    """Whether a task reads each window of rows that are encoded by ``encode``, ``[windows]``: all of a row, or the first one."""
    owner = np.arange(len(encoded)) if encoded.owner is None else encoded.owner
    first: npt.NDArray[np.bool_] = np.arange(len(encoded)) <= owner.max(initial=-1)
    return first | _joined(task, encoded)


def _joined(task: TaskType, encoded: Encoded) -> npt.NDArray[np.bool_]:
    """Whether the windows of a row are joined, ``[windows]``. Windows of two fields repeat the left one: the first will do."""
    if not task.all_windows:
        return np.zeros(len(encoded), dtype=np.bool_)
    return np.ones(len(encoded), dtype=np.bool_) if task.field else ~encoded.pairs
