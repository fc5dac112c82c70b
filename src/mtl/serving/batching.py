"""Requests that arrive together are predicted together."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mtl.predict import Fields
from mtl.serving.metrics import Metrics
from mtl.serving.served import ServedModel
from mtl.serving.settings import Limits

Predictions = list[dict[str, Any]]


class QueueFullError(Exception):
    """Too many texts wait already."""


@dataclass(slots=True, eq=False)
class _Request:
    model: ServedModel
    rows: Sequence[Fields]
    tasks: tuple[str, ...]
    min_confidence: float
    predictions: "asyncio.Future[Predictions]"

    @property
    def tokens(self) -> int:
        return sum(len(text.tokens) for row in self.rows for texts in row.values() for text in texts.values())


class Batcher:
    """A queue of requests, and one thread that predicts them in batches.

    A request that arrives while nothing else is predicted starts at once. A batch waits for further ones, up to ``wait_seconds``, only
    if the one before it joined several requests: clients then tend to come back together.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._queue: asyncio.Queue[_Request] = asyncio.Queue()
        self._waiting = 0  # texts
        self._joined = False  # whether the last batch had several requests
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._loop = asyncio.create_task(self._run())

    async def predict(self, model: ServedModel, rows: Sequence[Fields], tasks: Sequence[str], min_confidence: float = 0.0) -> Predictions:
        """The predictions of a request.

        Raises:
            QueueFullError: more texts would wait than ``Limits.queue``.
        """
        if not rows:
            return []
        if self._waiting + len(rows) > self._limits.queue:
            raise QueueFullError
        request = _Request(model, rows, tuple(tasks), min_confidence, asyncio.get_running_loop().create_future())
        self._count(len(rows))
        self._queue.put_nowait(request)
        return await request.predictions

    async def close(self) -> None:
        """End the thread; the server has waited for all requests before."""
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
        self._thread.shutdown()

    def _count(self, texts: int) -> None:
        self._waiting += texts
        self._metrics.queue_texts.set(self._waiting)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._collect()
            self._joined = len(batch) > 1
            texts = sum(len(request.rows) for request in batch)
            self._count(-texts)
            results = await loop.run_in_executor(self._thread, _predict, batch)
            for request, result in zip(batch, results, strict=True):
                _settle(request, result)
            self._metrics.batch_texts.observe(texts)
            self._metrics.tokens.inc(sum(request.tokens for request in batch))

    async def _collect(self) -> list[_Request]:
        """The requests of the next batch."""
        batch = [await self._queue.get()]
        tokens = batch[0].tokens
        deadline = asyncio.get_running_loop().time() + self._limits.wait_seconds * self._joined
        while tokens < self._limits.batch_tokens:
            try:
                async with asyncio.timeout_at(None if self._queue.qsize() else deadline):
                    batch.append(await self._queue.get())
            except TimeoutError:
                break
            tokens += batch[-1].tokens
        return batch


def _settle(request: _Request, result: Predictions | Exception) -> None:
    if request.predictions.done():  # the client has gone
        return
    if isinstance(result, Exception):
        request.predictions.set_exception(result)
    else:
        request.predictions.set_result(result)


def _predict(batch: Sequence[_Request]) -> list[Predictions | Exception]:
    """The predictions of each request, or why there are none: one call for all requests that ask for the same."""
    groups: dict[tuple[ServedModel, tuple[str, ...], float], list[int]] = {}
    for number, request in enumerate(batch):
        groups.setdefault((request.model, request.tasks, request.min_confidence), []).append(number)
    results: dict[int, Predictions | Exception] = {}
    for numbers in groups.values():
        results.update(zip(numbers, _predict_alike([batch[number] for number in numbers]), strict=True))
    return [results[number] for number in range(len(batch))]


def _predict_alike(requests: Sequence[_Request]) -> list[Predictions | Exception]:
    """A failure belongs to one request: the others are predicted without it."""
    first = requests[0]
    try:
        rows = [row for request in requests for row in request.rows]
        predictions = iter(first.model.predict(rows, first.tasks, first.min_confidence))
        return [[next(predictions) for _ in request.rows] for request in requests]
    except Exception as error:
        return [error] if len(requests) == 1 else [_predict_alike([request])[0] for request in requests]
