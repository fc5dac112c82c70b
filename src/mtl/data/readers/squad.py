"""SQuAD JSON, versions 1.1 and 2.0: articles of paragraphs, each with a context and its questions."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mtl.config import SquadReader
from mtl.data.readers.rows import Malformed, Row, Warn, check_columns, lines
from mtl.errors import DataError


def read(path: Path, settings: SquadReader, encodings: Sequence[str], required: Sequence[str], warn: Warn) -> Iterator[Row | Malformed]:
    """Yield one row per question, whose line is its number in the file. ``answers`` is ``{"text": […], "answer_start": […]}``.

    Raises:
        DataError: the file is not JSON of this form.
    """
    check_columns(path, settings.columns, required)
    number = 0
    for article in _items(_content(path, encodings, warn), "data", path, ""):
        for paragraph in _items(article, "paragraphs", path, "data"):
            for question in _items(paragraph, "qas", path, "paragraphs"):
                number += 1
                yield _row(number, article.get("title"), paragraph.get("context"), question)


def _content(path: Path, encodings: Sequence[str], warn: Warn) -> Any:
    text = "\n".join(line for _, line in lines(path, encodings, warn))
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON: {error}") from None


def _items(value: Any, key: str, path: Path, within: str) -> list[dict[str, Any]]:
    """A list of objects in an object.

    Raises:
        DataError: it is not there.
    """
    items = value.get(key) if isinstance(value, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        where = f"an object in {within!r}" if within else "the file"
        raise DataError(f"{path}: is not SQuAD JSON: {where} has no list of objects {key!r}")
    return items


def _row(number: int, title: Any, context: Any, question: dict[str, Any]) -> Row | Malformed:
    answers = question.get("answers", [])
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        return Malformed(number, f"question {question.get('id')!r}: answers is not a list of objects", str(question))
    columns = {key: [answer.get(key) for answer in answers] for key in ("text", "answer_start")}
    values = {"id": question.get("id"), "title": title, "context": context, "question": question.get("question"), "answers": columns}
    return Row(number, values)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")
