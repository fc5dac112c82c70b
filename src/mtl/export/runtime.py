"""Predictions by ONNX Runtime from an exported folder; torch is not imported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl import plugins
from mtl.encoders import Encoded, SubwordTokenizer
from mtl.errors import ModelError, one_line
from mtl.lazy import lazy
from mtl.model.batch import Padded, TokenRow, pad
from mtl.model.joining import Decoder, Joiner, check_rows, chosen, counts_of, encode
from mtl.model.micro_batches import Rows, micro_batches
from mtl.tasks.base import Prediction, TaskType

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

    from mtl.tasks.base import Outputs
else:
    np, onnxruntime = lazy("numpy"), lazy("onnxruntime")

FORMAT = 1
"""Version of the exported folder; raised when an older reader could not read it."""
GRAPH, CONFIG, TOKENIZER = "model.onnx", "config.json", "tokenizer.json"
INPUTS = ("subwords", "mask", "word_shape_ids", "segment_ids")
"""Inputs of the graph, ``[rows, positions]``: int64, but ``mask`` bool; see ``mtl.model.batch.Batch``."""
BATCH = (2048, 64)
"""Largest size of a batch and the cost of starting one, both in subwords; padding counts."""


def output_name(task: str) -> str:
    """The output of the graph for a task."""
    return f"task.{task}"


def labels_name(task: str) -> str:
    """The output of the graph that says which classes reach their threshold, for a task that has thresholds."""
    return f"{output_name(task)}.labels"


class OnnxPredictor:
    """An exported model. Its predictions are those of ``mtl.model.prediction.Predictor``."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Load a folder that ``mtl export --to onnx`` wrote.

        Args:
            folder: with the graph, the tokenizer and the settings.
            threads: of one prediction; as many as there are cores if not given.

        Raises:
            ModelError: a file is missing, damaged or of another version.
        """
        config, options = _read_config(folder), onnxruntime.SessionOptions()
        with one_line(ModelError, f"{folder}: cannot predict"):
            self.tokenizer = SubwordTokenizer.load(folder / TOKENIZER)
            self.max_length = int(config["max_length"])
            self._tasks = {name: plugins.task_type(spec["type"])(spec["state"]) for name, spec in config["tasks"].items()}
            options.intra_op_num_threads = threads or 0
            self._session = onnxruntime.InferenceSession(folder / GRAPH, options, providers=["CPUExecutionProvider"])

    @property
    def tasks(self) -> Mapping[str, TaskType]:
        """By name."""
        return self._tasks

    def predict(
        self, rows: Sequence[TokenRow], tasks: Iterable[str] | None = None, batch_tokens: int | None = None
    ) -> dict[str, list[Prediction]]:
        """Predictions by task, in the order of the rows, each a sequence of tokens or a ``Pair`` of two.

        Raises:
            InputError: a row is a string.
            ModelError: the model has no such task.
        """
        requested = {name: self.tasks[name] for name in chosen(self.tasks, tasks)}
        check_rows(rows)
        encoded = encode(self.tokenizer, rows, self.max_length, requested.values())
        decoders = {name: Decoder(task, task.predict, task.predict_windows) for name, task in requested.items()}
        joiner = Joiner(encoded, counts_of(rows), decoders)
        for places in micro_batches(encoded.lengths, batch_tokens or BATCH[0], BATCH[1]):
            for name, (outputs, batch) in self.outputs(encoded, places, requested).items():
                joiner.add(name, places, outputs, batch.words(requested[name].field))
        return joiner.predictions()

    def outputs(self, encoded: Encoded, rows: Rows, tasks: Iterable[str]) -> dict[str, tuple[Outputs, Padded]]:
        """What the graph computes for a batch, by task, and the batch."""
        names, batch = list(tasks), pad(encoded, rows)
        segment_ids = np.zeros_like(batch.subwords) if batch.segment_ids is None else batch.segment_ids
        feed = dict(zip(INPUTS, (batch.subwords, batch.mask, batch.word_shape_ids, segment_ids), strict=True))
        results = self._session.run([output_name(name) for name in names], feed)
        return {name: (result, batch) for name, result in zip(names, results, strict=True)}


def is_exported(folder: Path) -> bool:
    """Whether a folder holds a graph for ONNX Runtime."""
    return (folder / GRAPH).is_file()


def _read_config(folder: Path) -> dict[str, Any]:
    for name in (GRAPH, CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: is not a model exported to ONNX: {name} is missing")
    with one_line(ModelError, f"{folder / CONFIG}: is not readable"):
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if (found := config.get("format")) != FORMAT:
        raise ModelError(f"{folder / CONFIG}: format is {found!r}; this version reads {FORMAT}: export the model again")
    return config
