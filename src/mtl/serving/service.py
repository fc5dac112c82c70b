"""The service apart from its routes: checks, batches, and the model that is served."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException

from mtl.errors import MtlError
from mtl.serving.batching import Batcher, Predictions, QueueFullError
from mtl.serving.metrics import Metrics
from mtl.serving.served import ServedModel, TextError
from mtl.serving.settings import Settings

LOG = logging.getLogger("uvicorn.error")
RETRY_SECONDS = 1
Text = str | Mapping[str, Any]


class Service:
    """One model behind a queue."""

    def __init__(self, settings: Settings, model: ServedModel) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.batcher: Batcher
        """Made when the server starts, in its event loop."""
        self._loading = asyncio.Lock()
        self._serve(model)

    def _serve(self, model: ServedModel) -> None:
        self.model = model
        self.metrics.model.info({"version": model.version})

    async def predict(
        self, texts: Sequence[Text], tasks: Sequence[str] | None = None, min_confidence: float = 0.0
    ) -> tuple[ServedModel, Predictions]:
        """Predictions of texts, null below a confidence, and the model that made them.

        Raises:
            HTTPException: 422, a text or task cannot be predicted; 503, the queue is full.
        """
        model = self.model  # another one may take over meanwhile
        names = _known_tasks(model, tasks)
        self._check_size(texts)
        try:
            rows = await asyncio.to_thread(model.rows, texts, names)
            return model, await self.batcher.predict(model, rows, names, min_confidence)
        except TextError as error:
            raise refusal(("texts", error.number), str(error)) from None
        except QueueFullError:
            raise HTTPException(503, "the queue is full; try again", {"Retry-After": str(RETRY_SECONDS)}) from None

    def _check_size(self, texts: Sequence[Text]) -> None:
        limits = self.settings.limits
        if len(texts) > limits.texts:
            raise refusal(("texts",), f"{len(texts):,} texts; a request may have {limits.texts:,}")
        for number, text in enumerate(texts):
            if (size := _characters(text)) > limits.characters:
                raise refusal(("texts", number), f"{size:,} characters; a text may have {limits.characters:,}")

    async def reload(self) -> str:
        """Load the model folder again. The old model predicts until then, and what it has accepted; returns the new version.

        Raises:
            HTTPException: 409, the folder cannot be loaded; the old model stays.
        """
        async with self._loading:
            try:
                model = await asyncio.to_thread(ServedModel, self.settings.model, self.settings.device, self.settings.precision)
            except (MtlError, OSError) as error:
                self.metrics.reloads.labels("failed").inc()
                LOG.error("the old model stays: %s", error)
                raise HTTPException(409, f"the old model stays: {error}") from None
            self._serve(model)
        self.metrics.reloads.labels("loaded").inc()
        LOG.info("the model is now %s", model.version)
        return model.version


def refusal(location: Sequence[str | int], reason: str) -> HTTPException:
    """Status 422 in the form in which FastAPI refuses a request."""
    return HTTPException(422, [{"loc": ["body", *location], "msg": reason, "type": "value_error"}])


def _known_tasks(model: ServedModel, tasks: Sequence[str] | None) -> list[str]:
    """The names of the requested tasks, in the order of training.

    Raises:
        HTTPException: the model does not have one of them.
    """
    requested = list(model.tasks) if tasks is None else tasks
    for number, name in enumerate(requested):
        if name not in model.tasks:
            raise refusal(("tasks", number), f"the model has no task {name!r}; choose from: {', '.join(model.tasks)}")
    return [name for name in model.tasks if name in requested]


def _characters(text: Any) -> int:
    """Characters of a text, or of all its fields and tokens."""
    if isinstance(text, str):
        return len(text)
    return sum(map(_characters, text.values() if isinstance(text, dict) else text))
