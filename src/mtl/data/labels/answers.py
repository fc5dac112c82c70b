"""The answers to a question: passages of a text field."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from mtl.config.base import Name
from mtl.config.datasets import LabelSettings
from mtl.data.labels.base import LabelType, is_empty, range_tags
from mtl.data.spans import entities
from mtl.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    np, pa, pc = lazy("numpy"), lazy("pyarrow"), lazy("pyarrow.compute")

BLOCK = "answer"
"""Entity type of the tokens that answers cover, in the tags that augmentation moves."""


class AnswersLabel(LabelSettings):
    """All right answers to a question, each a passage of the text with the offset of its first character; none where it has no answer.

    The column holds ``{text: [...], answer_start: [...]}`` as in SQuAD, or a list of ``{text, answer_start}``. With ``start`` it holds the
    text of the only answer.
    """

    implementation = "mtl.data.labels.answers:Answers"
    positional = True
    interchangeable = False  # other words answer another question
    counts_characters = True

    type: Literal["answers"]
    start: Name | None = None
    """Column with the offset of the answer's first character in the text, counted from 0, for tables with a column of answers. -1: the
    question has no answer."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of answers, and that of offsets."""
        return (self.column, *([self.start] if self.start else []))

    @property
    def relates_fields(self) -> bool:
        """Always: the question is about its context."""
        return True


class Answers(LabelType):
    """Reads the answers to a question, in the order of the source."""

    storage = "objects"

    @classmethod
    def arrow(cls) -> pa.DataType:
        """A list of structs: the text as the source has it, and the tokens ``[start, end)`` that cover it."""
        ends = [pa.field(name, pa.int32(), nullable=False) for name in ("start", "end")]
        return pa.list_(pa.field("element", pa.struct([pa.field("text", pa.string(), nullable=False), *ends]), nullable=False))

    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> list[dict[str, Any]] | None:
        """The answers of a row.

        Raises:
            ValueError: an answer is malformed, or is not at its offset.
        """
        column = self.settings.column
        answers = self._written(row)
        if answers is None:
            return None
        starts = _starts(tokens, text)
        return [{"text": answer, **_tokens(answer, start, text, tokens, starts, column)} for answer, start in answers]

    def _written(self, row: Mapping[str, Any]) -> list[tuple[str, int]] | None:
        """Each answer and its offset; None for no label."""
        column, offsets = self.settings.column, self.settings.start
        value = row.get(column)
        if offsets is not None:
            if is_empty(row.get(offsets)):
                return None
            start = _offset(row[offsets], offsets)
            return [] if start == -1 else [_answer(value, start, column)]
        if value is None:
            return None
        return [_answer(text, _offset(start, column), column) for text, start in _pairs(value, column)]

    @classmethod
    def illegal(cls, column: pa.ChunkedArray, lengths: pa.ChunkedArray) -> tuple[int, str] | None:
        """Ranges inside the text."""
        rows, answers = pc.list_parent_indices(column).to_numpy(), pc.list_flatten(column)
        starts, ends = (pc.struct_field(answers, [name]).to_numpy() for name in ("start", "end"))
        illegal = (starts < 0) | (starts >= ends) | (ends > lengths.to_numpy()[rows])
        return (int(rows[np.argmax(illegal)]), "has an answer outside the text") if illegal.any() else None

    @staticmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Questions with and without an answer."""
        answered = sum(bool(answers) for answers in values)
        return {"answers": {"with an answer": answered, "without an answer": len(values) - answered}}

    @classmethod
    def to_tags(cls, value: Any, length: int) -> list[str] | None:
        """One entity for each block of tokens that overlapping answers cover."""
        return None if value is None else range_tags([(start, end, BLOCK) for start, end in _blocks(value)], length)

    @classmethod
    def from_tags(cls, tags: Sequence[str] | None, value: Any) -> Any:
        """The answers of the original row, moved with their block: its tokens are the same.

        Raises:
            ValueError: a block is missing or has another length.
        """
        if tags is None:
            return None
        before, after = _blocks(value), [(entity.start, entity.end) for entity in entities(tags)]
        if [end - start for start, end in before] != [end - start for start, end in after]:
            raise ValueError("the tokens of an answer are not those of the original row")
        moved = []
        for answer in value:
            block = bisect_right(before, answer["start"], key=itemgetter(0)) - 1
            by = after[block][0] - before[block][0]
            moved.append({"text": answer["text"], "start": answer["start"] + by, "end": answer["end"] + by})
        return moved


def _blocks(answers: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """The tokens that answers cover, as ranges that do not overlap."""
    blocks: list[tuple[int, int]] = []
    for start, end in sorted((answer["start"], answer["end"]) for answer in answers):
        if blocks and start < blocks[-1][1]:
            blocks[-1] = (blocks[-1][0], max(end, blocks[-1][1]))
        else:
            blocks.append((start, end))
    return blocks


def _pairs(value: Any, column: str) -> Iterator[tuple[Any, Any]]:
    """Each answer and its offset, of either form.

    Raises:
        ValueError: the value has another form.
    """
    if isinstance(value, Mapping) and all(isinstance(value.get(key), list) for key in ("text", "answer_start")):
        texts, starts = value["text"], value["answer_start"]
        if len(texts) != len(starts):
            raise ValueError(f"{column}: has {len(texts)} texts, but {len(starts)} offsets")
        return zip(texts, starts, strict=True)
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return ((item.get("text"), item.get("answer_start")) for item in value)
    raise ValueError(f"{column}: must be {{text: [...], answer_start: [...]}} or a list of {{text, answer_start}}, not {str(value)[:40]!r}")


def _offset(value: Any, column: str) -> int:
    try:
        if isinstance(value, bool | float):
            raise ValueError
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{column}: {str(value)[:40]!r} is not an offset in characters") from None


def _answer(text: Any, start: int, column: str) -> tuple[str, int]:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{column}: the answer at {start} is not a text: {str(text)[:40]!r}")
    return text, start


def _starts(tokens: Sequence[str], text: str) -> list[int]:
    """The offset of each token in the text, in which they stand in this order with only white space between them."""
    starts, at = [], 0
    for token in tokens:
        at = text.index(token, at)
        starts.append(at)
        at += len(token)
    return starts


def _tokens(answer: str, start: int, text: str, tokens: Sequence[str], starts: Sequence[int], column: str) -> dict[str, int]:
    """The tokens that cover an answer.

    Raises:
        ValueError: the answer is not at its offset.
    """
    if start < 0 or text[start : start + len(answer)] != answer:
        actual = (
            f"there is {text[start : start + len(answer)][:40]!r}" if 0 <= start < len(text) else f"the text has {len(text)} characters"
        )
        raise ValueError(f"{column}: the answer {answer[:40]!r} is not at its offset {start}, where {actual}")
    begin = start + len(answer) - len(answer.lstrip())
    end = start + len(answer.rstrip())
    first = bisect_right(starts, begin) - 1
    return {"start": first, "end": bisect_left(starts, end)}
