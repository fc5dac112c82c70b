"""Prediction on new texts: texts in, JSON with character offsets out. The command line and the Python API share it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mtl.data.tokens import tokenize
from mtl.errors import DataError
from mtl.model.prediction import Predictor
from mtl.tasks.base import TextRow

CHUNK = 1024  # lines held at a time
Format = Literal["auto", "text", "jsonl"]


class _Line(NamedTuple):
    content: dict[str, Any]
    """The input object, whose keys are carried along."""
    row: TextRow


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


def text_row(content: Any) -> TextRow:
    """A text with its tokens: of a string, or of a mapping with ``text`` (a string) or ``tokens`` (a list of strings).

    Raises:
        ValueError: it has another form.
    """
    text = content.get("text") if isinstance(content, Mapping) else content
    if isinstance(text, str):
        tokens, _, starts = tokenize(text)
        return TextRow(text, tokens, starts)
    words = content.get("tokens") if isinstance(content, Mapping) else None
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise ValueError('needs "text" (a string) or "tokens" (a list of strings that are not empty)')
    starts = [0, *accumulate(len(word) + 1 for word in words)][: len(words)]
    return TextRow(" ".join(words), words, starts)


def predict_rows(
    predictor: Predictor, rows: Sequence[TextRow], tasks: Iterable[str] | None = None, batch_tokens: int | None = None
) -> list[dict[str, Any]]:
    """The JSON of each row's predictions by task, in the order of the rows; None for a text without tokens.

    Raises:
        ModelError: the model has no such task.
    """
    names = predictor.chosen(tasks)
    filled = [row for row in rows if row.tokens]
    predictions = predictor.predict([row.tokens for row in filled], names, batch_tokens)
    by_name = {name: predictor.model.tasks[name] for name in names}
    results = ({name: task.to_json(predictions[name][i], row) for name, task in by_name.items()} for i, row in enumerate(filled))
    return [next(results) if row.tokens else dict.fromkeys(names) for row in rows]


def predict_lines(
    model: Path, lines: Iterable[str], *, tasks: Sequence[str] | None = None, form: Format = "auto"
) -> Iterator[dict[str, Any]]:
    """Predict each line, in order.

    Args:
        model: folder of a trained model.
        lines: texts, or JSON objects with ``text`` (a string) or ``tokens`` (a list of strings); further keys are carried along,
            but for those named as a task. Blank lines among JSON lines are skipped.
        tasks: names of the requested tasks; without it, all.
        form: ``auto`` takes all lines as JSON if the first one is a JSON object.

    Yields:
        The input object (of a text line: ``{"text": …}``) with one key per task: ``{"label", "probability"}``, ``{"value"}`` or
        ``{"entities": [{"type", "text", "start", "end", "confidence"}]}``, where ``text[start:end]`` is the entity. Of an empty text: null.

    Raises:
        ModelError: the folder is not a complete model, or the model has no such task.
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
        parsed = [_line(line.rstrip("\r\n"), number, form) for number, line in chunk]
        predictions = predict_rows(predictor, [line.row for line in parsed], names)
        for line, prediction in zip(parsed, predictions, strict=True):
            yield {**line.content, **prediction}


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _line(line: str, number: int, form: Format) -> _Line:
    if form != "jsonl":
        return _Line({"text": line}, text_row(line))
    try:
        content = json.loads(line)
        line.encode()
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"line {number}: not JSON of valid Unicode: {error}") from None
    try:
        row = text_row(content if isinstance(content, dict) else None)
    except ValueError as error:
        raise DataError(f"line {number}: {error}") from None
    return _Line(content if isinstance(content.get("text"), str) else {"text": row.text, **content}, row)
