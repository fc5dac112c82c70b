"""The Python API: a trained model that takes texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.errors import InputError, ModelError
from mtl.model.folder import CONFIG, TOKENIZER, WEIGHTS, read_config
from mtl.model.prediction import Predictor
from mtl.predict import Fields, fields_of, predict_rows, token_row
from mtl.tasks.base import TaskType

HUB = "hf://"
"""Beginning of the address of a model on the Hugging Face hub."""
CARD = "README.md"

Text = str | Mapping[str, Any]
"""A text, or a mapping from the names of text fields to strings; ``tokens`` (a list of strings) may stand for ``text``."""


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What a model predicts for one task."""

    type: str
    """Task type, such as ``classification``."""
    label: str
    """The label of the datasets that it learned."""
    fields: tuple[str, ...]
    """Names of the text fields that it reads: ``("text",)``, or of a pair such as ``("premise", "hypothesis")``."""
    description: str
    """What it can predict, in Markdown: its classes, its entity types, the range of its numbers."""


class TrainedModel:
    """A trained model on a device; ``mtl.load`` makes it. It is ready for prediction only: it cannot be trained further, or saved."""

    def __init__(self, folder: Path, device: str = "auto", precision: str = "fp32") -> None:
        self._predictor = Predictor.load(folder, device, precision)
        specs, tasks = read_config(folder)["tasks"], self._predictor.model.tasks
        card = folder / CARD
        self.tasks: dict[str, TaskInfo] = {
            name: TaskInfo(task.name, specs[name].get("label", ""), task.fields, task.describe()) for name, task in tasks.items()
        }
        """By name, in the order of training."""
        self.card: str | None = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
        """The model card (Markdown with YAML front matter), or None if the folder has none."""

    def __repr__(self) -> str:
        return f"<TrainedModel on {self._predictor.model.device}, tasks: {', '.join(self.tasks)}>"

    @property
    def predictor(self) -> Predictor:
        """What computes on tokens, below ``predict`` and ``embed``."""
        return self._predictor

    def predict(
        self,
        texts: Sequence[Text],
        *,
        tasks: Iterable[str] | None = None,
        batch_tokens: int | None = None,
        min_confidence: float = 0.0,
    ) -> list[dict[str, Any]]:
        """Predict texts, all tasks in one pass over the encoder.

        Args:
            texts: a list of strings, or of mappings with ``text`` (a string) or ``tokens`` (a list of strings). For tasks that read two
                texts, mappings with both, such as ``{"premise": …, "hypothesis": …}``.
            tasks: names of the requested tasks; without it, all.
            batch_tokens: size of a batch in subword tokens, at most; without it, what suits the device. A lower value needs less memory.
            min_confidence: in 0..1. A task with less confidence is None for the text; of entities, those with less are left out. Numbers
                have no confidence and stay.

        Returns:
            One dict per text with one key per task; its values are those of ``mtl predict``, such as ``{"label", "probability"}``,
            ``{"value"}`` or ``{"entities": [{"type", "text", "start", "end", "confidence"}]}``. Where a text of the task is empty or not
            there, or the confidence is below ``min_confidence``, they are None.

        Raises:
            InputError: ``texts`` is a single string, an item has another form or lacks the fields of each task, or ``min_confidence`` is
                not in 0..1.
            ModelError: the model has no such task.
        """
        if not 0 <= min_confidence <= 1:
            raise InputError(f"min_confidence is {min_confidence}; it must be in 0..1")
        names = self._predictor.chosen(tasks)
        return predict_rows(self._predictor, self._rows(texts, names), names, batch_tokens, min_confidence)

    def embed(self, texts: Sequence[Text], *, task: str | None = None, batch_tokens: int | None = None) -> npt.NDArray[np.float32]:
        """The encoder's pooled hidden states of each text, float32 ``[texts, width]``: what a head on the whole text receives.

        Of a long text, the first ``encoder.max_length`` subword tokens count. An empty text has the states of its special tokens.

        Args:
            texts: as in ``predict``.
            task: the task whose text fields are read and whose layers compute the states; the first one if not given. It is required
                where tasks have layers of their own (``encoder.task_layers``).
            batch_tokens: as in ``predict``.

        Raises:
            InputError: ``texts`` is a single string, or an item has another form.
            ModelError: the model has no such task, or tasks have layers of their own and none is named.
        """
        name = self._predictor.chosen(None if task is None else [task])[0]
        rows = [token_row(row, self._predictor.model.tasks[name]) for row in self._rows(texts, [name])]
        return self._predictor.embed(rows, task, batch_tokens)

    def _rows(self, texts: Sequence[Text], tasks: Iterable[str]) -> list[Fields]:
        if isinstance(texts, str | bytes | Mapping):
            raise InputError(f"texts is a single {type(texts).__name__}; pass a list, such as [{texts!r:.40}]")
        requested = {name: self._predictor.model.tasks[name] for name in tasks}
        return [_row(number, text, requested) for number, text in enumerate(texts)]


def load(source: str | Path, device: str = "auto", precision: str = "fp32") -> TrainedModel:
    """Load a trained model.

    Args:
        source: a model folder, or ``hf://owner/name`` (``hf://owner/name@revision``) on the Hugging Face hub. Of the latter, the weights,
            the two JSON files and the card are downloaded into the cache of ``huggingface_hub``, and nothing in them runs code.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``; ``auto`` takes a GPU where there is one.
        precision: ``fp32``, or ``bf16``, which is faster on GPUs and on CPUs with instructions for it, and rounds.

    Raises:
        ModelError: the source is not a complete model of this version, or cannot be downloaded.
        PluginError: a task type or encoder of another package cannot be imported.
        TrainingError: the device is not available, or lacks the precision.
    """
    remote = isinstance(source, str) and source.startswith(HUB)
    return TrainedModel(_downloaded(str(source)) if remote else Path(source), device, precision)


def _row(number: int, text: Text, tasks: Mapping[str, TaskType]) -> Fields:
    try:
        return fields_of(text, tasks)
    except ValueError as error:
        raise InputError(f"texts[{number}]: {error}") from None


def _downloaded(source: str) -> Path:
    """The local folder of a model on the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name, _, revision = source.removeprefix(HUB).partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=[WEIGHTS, CONFIG, TOKENIZER, CARD]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(f"{source}: cannot be downloaded: {' '.join(str(error).split())}") from None
