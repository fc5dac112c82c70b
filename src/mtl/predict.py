"""Prediction on new texts: lines in, predictions with character offsets out."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mtl.data.tokens import tokenize
from mtl.errors import DataError
from mtl.model.prediction import Predictor
from mtl.tasks.base import TextRow

CHUNK = 1024  # lines held at a time
Format = Literal["auto", "text", "jsonl"]


class _Row(NamedTuple):
    content: dict[str, Any]
    """The input object, whose keys are carried along."""
    text: TextRow


def decoded(lines: Iterable[bytes], source: str) -> Iterator[str]:
    """Lines of UTF-8; a line ends with a line feed and nothing else.

    Raises:
        DataError: a line is not UTF-8; names the source and the line.
    """
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{source}: line {number}: not UTF-8: byte 0x{line[error.start]:02x} at {error.start}") from None


def predict_lines(
    model: Path, lines: Iterable[str], *, tasks: Sequence[str] | None = None, form: Format = "auto"
) -> Iterator[dict[str, Any]]:
    """Predict each line, in order.

    Args:
        model: folder of a trained model.
        lines: texts, or JSON objects with ``text`` (a string) or ``tokens`` (a list of strings); further keys are carried along,
            but for those named as a task. Blank lines among them are skipped.
        tasks: names of the tasks to prediction; without it, all.
        form: ``auto`` takes all lines as JSON if the first one is a JSON object.

    Yields:
        The given object (of a text line: ``{"text": …}``) with one key per task: ``{"label", "probability"}``, ``{"value"}`` or
        ``{"entities": [{"type", "text", "start", "end", "confidence"}]}``, where ``text[start:end]`` is the entity. Of an empty text: null.

    Raises:
        ModelError: the folder holds no whole model, or the model has no such task.
        DataError: a line is not JSON of that form; names the line.
    """
    predictor = Predictor.load(model)
    names = predictor.chosen(tasks)
    numbered = enumerate(lines, start=1)
    while chunk := list(islice(numbered, CHUNK)):
        if chunk[0][0] == 1:
            chunk[0] = (1, chunk[0][1].removeprefix("\ufeff"))
        if form == "auto" and (filled := [line for _, line in chunk if line.strip()]):
            form = "jsonl" if _is_object(filled[0]) else "text"
        if form == "jsonl":
            chunk = [(number, line) for number, line in chunk if line.strip()]
        rows = [_row(line.rstrip("\r\n"), number, form) for number, line in chunk]
        full = [row for row in rows if row.text.tokens]
        predictions = predictor.predict([row.text.tokens for row in full], names)
        by_row = iter(zip(*(predictions[name] for name in names), strict=True))
        for row in rows:
            own = next(by_row) if row.text.tokens else (None,) * len(names)
            values = zip(names, own, strict=True)
            yield {**row.content, **{name: one and predictor.model.tasks[name].to_json(one, row.text) for name, one in values}}


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _row(line: str, number: int, form: Format) -> _Row:
    if form != "jsonl":
        tokens, _, starts = tokenize(line)
        return _Row({"text": line}, TextRow(line, tokens, starts))
    try:
        content = json.loads(line)
        line.encode()
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"line {number}: not JSON of valid Unicode: {error}") from None
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        tokens, _, starts = tokenize(content["text"])
        return _Row(content, TextRow(content["text"], tokens, starts))
    words = content.get("tokens") if isinstance(content, dict) else None
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise DataError(f'line {number}: needs "text" (a string) or "tokens" (a list of strings that are not empty)')
    starts = [0, *accumulate(len(word) + 1 for word in words)][: len(words)]
    return _Row({"text": " ".join(words), **content}, TextRow(" ".join(words), words, starts))
