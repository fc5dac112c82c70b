"""Prediction on new texts: texts in, JSON with character offsets out. The command line and the Python API share it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mtl.config import TEXT
from mtl.data.segmentation import segment
from mtl.errors import DataError
from mtl.model.batch import Pair, TokenRow, with_markers
from mtl.model.joining import RowPredictor, chosen
from mtl.tasks.base import TaskType, TextRow

_JSON_START = re.compile(r"\s*(\{|\[\s*(\{|$))")
CHUNK = 1024  # lines held at a time
Format = Literal["auto", "text", "jsonl"]
Fields = dict[str, dict[str, TextRow]]
"""The text fields of a row by name, each by the segmentations of the tasks that read it."""


class Line(NamedTuple):
    """A row to predict."""

    content: dict[str, Any]
    """The input object, whose keys are carried along."""
    fields: Fields
    """See ``fields_of``."""


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


def fields_of(content: Any, tasks: Mapping[str, TaskType]) -> Fields:
    """The text fields of an input that some task reads, with at least those of one task.

    Args:
        content: a string, for tasks that read a single field; or a mapping from the names of fields to strings. ``tokens`` (a list of
            strings) may stand for ``text``.
        tasks: those to predict, by name.

    Raises:
        ValueError: it has another form, or lacks the fields of each task.
    """
    read = list(dict.fromkeys(task.fields for task in tasks.values()))
    markers: dict[str, tuple[str, ...]] = {name: () for names in read for name in names}
    markers |= {task.fields[task.field]: task.markers for task in tasks.values() if task.markers}
    fields: Fields = {}
    for name in markers:
        single = (name,) in read and isinstance(content, str)
        text = content if single else content.get(name) if isinstance(content, Mapping) else None
        given = _token_row(content.get("tokens")) if name == TEXT and isinstance(content, Mapping) else None
        own = dict.fromkeys(task.segmentation for task in tasks.values() if name in task.fields)
        if isinstance(text, str):
            fields[name] = {segmentation: _text_row(text, segmentation, markers[name]) for segmentation in own}
        elif given is not None:
            fields[name] = dict.fromkeys(own, given)
    if not any(fields.keys() >= set(names) for names in read):
        raise ValueError(
            f"needs {', or '.join(f'{_needed(names)} for {_readers(names, tasks)}' for names in read)}{_missing(content, read)}"
        )
    return fields


def _text_row(text: str, segmentation: str, markers: Sequence[str]) -> TextRow:
    marked = segment(text, segmentation, markers)
    return TextRow(text, marked.tokens, marked.starts, marked.places)


def _token_row(words: Any) -> TextRow | None:
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        return None
    starts = [0, *accumulate(len(word) + 1 for word in words)][: len(words)]
    return TextRow(" ".join(words), words, starts)


def _readers(fields: tuple[str, ...], tasks: Mapping[str, TaskType]) -> str:
    """The names of the tasks that read these fields."""
    return " and ".join(name for name, task in tasks.items() if task.fields == fields)


def _missing(content: Any, read: Iterable[Sequence[str]]) -> str:
    """The fields that a mapping has some of, but not all."""
    if not isinstance(content, Mapping):
        return ""
    lacking = [name for fields in read if set(fields) & content.keys() for name in fields if not isinstance(content.get(name), str)]
    return f"; {', '.join(map(repr, lacking))} is missing or not a string" if lacking else ""


def _needed(fields: Sequence[str]) -> str:
    if list(fields) == [TEXT]:
        return '"text" (a string) or "tokens" (a list of strings that are not empty)'
    names = " and ".join(f'"{name}"' for name in fields)
    return f"{names} ({'a string' if len(fields) == 1 else 'strings'})"


def token_row(row: Fields, task: TaskType) -> TokenRow:
    """The tokens of the fields that a task reads, and the markers between them."""
    texts = [row[name][task.segmentation] for name in task.fields]
    tokens = [with_markers(text.tokens, text.markers) for text in texts]
    return tokens[0] if len(tokens) == 1 else Pair(*tokens)


def predict_rows(
    predictor: RowPredictor,
    rows: Sequence[Fields],
    tasks: Iterable[str] | None = None,
    batch_tokens: int | None = None,
    min_confidence: float = 0.0,
) -> list[dict[str, Any]]:
    """The JSON of each row's predictions by task, in the order of the rows.

    None where a text of the task is empty or not there, or lacks a marker of the task, or where the confidence is below the least one.

    Raises:
        ModelError: the model has no such task.
    """
    requested = {name: predictor.tasks[name] for name in chosen(predictor.tasks, tasks)}
    results: list[dict[str, Any]] = [dict.fromkeys(requested) for _ in rows]
    for fields, split in dict.fromkeys((task.fields, task.segmentation) for task in requested.values()):
        names = [name for name, task in requested.items() if (task.fields, task.segmentation) == (fields, split)]
        places = [i for i, row in enumerate(rows) if all(name in row and row[name][split].tokens for name in fields)]
        predictions = predictor.predict([token_row(rows[i], requested[names[0]]) for i in places], names, batch_tokens)
        for name in names:
            for place, prediction in zip(places, predictions[name], strict=True):
                row = rows[place][fields[requested[name].field]][split]
                kept = requested[name].confident(prediction, min_confidence)
                if kept and row.markers.keys() >= set(requested[name].markers):
                    results[place][name] = requested[name].to_json(kept, row)
    return results


def predict_lines(
    model: Path | RowPredictor,
    lines: Iterable[str],
    *,
    tasks: Sequence[str] | None = None,
    form: Format = "auto",
    min_confidence: float = 0.0,
    precision: str = "fp32",
) -> Iterator[dict[str, Any]]:
    """Predict each line, in order.

    Args:
        model: folder of a trained model, or what predicts in its place.
        lines: texts, or JSON objects with the text fields that the tasks read: ``text`` (a string) or ``tokens`` (a list of strings), or
            of a pair of texts the names of both. Further keys are carried along, except those named as a task. Blank lines among JSON
            lines are skipped.
        tasks: names of the requested tasks; without it, all.
        form: ``auto`` takes all lines as JSON if the first one that is not blank is a JSON object, else as text. A first line that
            begins like JSON but is not an object is an error, and so is a JSON object among lines of text.
        min_confidence: in 0..1; a task with less confidence is null for the line, and entities with less are left out.
        precision: of a model folder, ``fp32``, ``bf16`` or ``int8``.

    Yields:
        The input object (of a text line: ``{"text": …}``) with one key per task: ``{"label", "probability"}``, ``{"value"}`` or
        ``{"entities": [{"type", "text", "start", "end", "confidence"}]}``, where ``text[start:end]`` is the entity.
        Null where a text of the task is empty or not there, or where the confidence is below ``min_confidence``.

    Raises:
        ModelError: the folder is not a complete model, or the model has no such task.
        DataError: a line is not JSON of that form; names the line.
    """
    predictor = _loaded(model, precision) if isinstance(model, Path) else model
    requested = {name: predictor.tasks[name] for name in chosen(predictor.tasks, tasks)}
    for chunk in read_lines(lines, requested, form):
        predictions = predict_rows(predictor, [line.fields for line in chunk], requested, min_confidence=min_confidence)
        for line, prediction in zip(chunk, predictions, strict=True):
            yield {**line.content, **prediction}


def read_lines(lines: Iterable[str], tasks: Mapping[str, TaskType], form: Format = "auto") -> Iterator[list[Line]]:
    """The rows of texts or JSON lines, ``CHUNK`` at a time; see ``predict_lines``.

    Args:
        lines: texts or JSON objects.
        tasks: those whose text fields are read, by name.
        form: see ``predict_lines``.

    Raises:
        DataError: a line is not JSON of that form; names the line.
    """
    numbered, guess = enumerate(lines, start=1), form == "auto"
    while chunk := list(islice(numbered, CHUNK)):
        if chunk[0][0] == 1:
            chunk[0] = (1, chunk[0][1].lstrip("\ufeff"))
        if form == "auto" and (filled := [(number, line) for number, line in chunk if line.strip()]):
            form = _form(*filled[0])
        if guess and form == "text":
            _refuse_objects(chunk)
        if form == "jsonl":
            chunk = [(number, line) for number, line in chunk if line.strip()]
        yield [_line(line.rstrip("\r\n"), number, form, tasks) for number, line in chunk]


def _loaded(model: Path, precision: str) -> RowPredictor:
    from mtl.model.prediction import Predictor  # imports torch, which an exported model does without

    return Predictor.load(model, precision=precision)


def _form(number: int, line: str) -> Format:
    """What all lines are, by the first one.

    Raises:
        DataError: it begins like JSON but is not an object.
    """
    if not _JSON_START.match(line):
        return "text"
    try:
        content, reason = json.loads(line), "an object per line is needed"
    except (ValueError, RecursionError) as error:
        content, reason = None, str(error)
    if not isinstance(content, dict):
        raise DataError(f"line {number}: begins like JSON, but is not a JSON object: {reason}; if the lines are texts, use --format text")
    return "jsonl"


def _refuse_objects(chunk: Iterable[tuple[int, str]]) -> None:
    """Lines of text were guessed by the first one; JSON objects among them are not texts to predict."""
    for number, line in chunk:
        if _JSON_START.match(line) and _is_object(line):
            raise DataError(f"line {number}: a JSON object among lines of text; name the form: --format text or --format jsonl")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _line(line: str, number: int, form: Format, tasks: Mapping[str, TaskType]) -> Line:
    content = _json(line, number) if form == "jsonl" else line
    try:
        fields = fields_of(content, tasks)
    except ValueError as error:
        raise DataError(f"line {number}: {error}") from None
    if isinstance(content, str):
        return Line({"text": content}, fields)
    if TEXT in fields and TEXT not in content:
        return Line({"text": next(iter(fields[TEXT].values())).text, **content}, fields)
    return Line(content, fields)


def _json(line: str, number: int) -> Any:
    """The value of a JSON line, None for one that is not an object."""
    try:
        content = json.loads(line)
        line.encode()
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"line {number}: not JSON of valid Unicode: {error}") from None
    return content if isinstance(content, dict) else None
