"""The interface of label types, and how cell values become labels. A null or empty cell means no label, which masks the loss."""

from __future__ import annotations

import math
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from mtl.config.datasets import LabelSettings
from mtl.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")

MISSING_MARKS = frozenset({"na", "n/a", "#n/a", "<na>", "nan", "null", "none", "-1", "?"})
"""What people write where there is no label, in lower case."""

Storage = Literal["codes", "numbers", "code_lists", "objects"]


class RenamedLabel(LabelSettings):
    """Settings of labels that are classes, whose values can be renamed."""

    values: Annotated[dict[str, str], Field(min_length=1)] | None = None
    """Renames values, such as ``{"0": negative, "1": positive}``; a value that is not named makes a row malformed."""
    names: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of classes that the column numbers from 0, in order, such as ``[negative, positive]``."""

    @model_validator(mode="after")
    def _check_names(self) -> RenamedLabel:
        if self.values is not None and self.names is not None:
            raise ValueError("give values or names, not both")
        return self

    @property
    def renamed(self) -> dict[str, str] | None:
        """Value to class, if values are renamed."""
        return self.values if self.names is None else numbered(self.names)


class LabelType(ABC):
    """Reads and checks the labels of one type. Stateless but for its settings."""

    storage: ClassVar[Storage]
    """How training stores a column: codes of strings, numbers, lists of codes, or plain objects."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def label_of(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> Any:
        """What ``read`` makes of a row whose cell was normalised, and emptied if it is marked as missing.

        Raises:
            ValueError: the value is not a label of this type; the message names the column.
        """
        settings = self.settings
        if settings.normalize or settings.missing:
            value = normalized(row.get(settings.column), settings.normalize)
            row = {**row, settings.column: None if _is_missing(value, settings.missing) else value}
        return self.read(row, tokens, text)

    @classmethod
    @abstractmethod
    def arrow(cls) -> pa.DataType:
        """Type of the label's column in the canonical table."""

    @abstractmethod
    def read(self, row: Mapping[str, Any], tokens: Sequence[str], text: str = "") -> Any:
        """The label of a row, or None if it has none.

        Args:
            row: values by column.
            tokens: of the text field that the label is about.
            text: of that field, as the source has it; of a list of tokens, with spaces between them.

        Raises:
            ValueError: the value is not a label of this type; the message names the column.
        """

    @classmethod
    def illegal(cls, column: pa.ChunkedArray, lengths: pa.ChunkedArray) -> tuple[int, str] | None:
        """The first row of a column with an illegal label, and the reason; None if all are legal.

        Args:
            column: labels, ``[rows]``.
            lengths: number of tokens of each row's text field, ``[rows]``.
        """
        return None

    @staticmethod
    @abstractmethod
    def summary(values: Sequence[Any]) -> dict[str, Any]:
        """Statistics of all labels of a split for the data card, JSON-able."""

    @classmethod
    def to_tags(cls, value: Any, length: int) -> list[str] | None:
        """A positional label as IOB2 tags of its field's tokens, with which augmentation protects and moves it.

        Args:
            value: the label; None for no label.
            length: number of tokens.
        """
        raise NotImplementedError(f"{cls.__name__} does not refer to positions")

    @classmethod
    def from_tags(cls, tags: Sequence[str] | None, value: Any) -> Any:
        """The positional label of a variant, from its tags.

        Args:
            tags: of the variant; None for no label.
            value: label of the original row, for what tags do not express.
        """
        raise NotImplementedError(f"{cls.__name__} does not refer to positions")


def is_empty(value: Any) -> bool:
    """Whether a cell holds no label: null, white space or NaN."""
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))


def normalized(value: Any, form: Literal["nfc", "nfkc"] | None) -> Any:
    """All strings of a cell in a Unicode form and without invisible characters at their ends; without a form, the cell itself."""
    if form is None:
        return value
    if isinstance(value, str):
        return stripped(unicodedata.normalize("NFKC" if form == "nfkc" else "NFC", value))
    if isinstance(value, list):
        return [normalized(item, form) for item in value]
    return {key: normalized(item, form) for key, item in value.items()} if isinstance(value, dict) else value


def stripped(text: str) -> str:
    """A text without white space and format characters, such as a zero-width space, at its ends."""
    visible = [place for place, character in enumerate(text) if not (character.isspace() or unicodedata.category(character) == "Cf")]
    return text[visible[0] : visible[-1] + 1] if visible else ""


def _is_missing(value: Any, marks: Sequence[str]) -> bool:
    """Whether a cell, or each item of its list, is one of the marks."""
    if isinstance(value, list):
        return bool(value) and all(_is_missing(item, marks) for item in value)
    return isinstance(value, str | int | float) and class_name(value, "") in marks


def missing_advice(value: Any) -> str:
    """What to set if a value that is not a label looks like a mark of a missing one."""
    text = str(value).strip()
    return f'; if it means that there is no label, write missing: ["{text}"]' if text.casefold() in MISSING_MARKS else ""


def known_name(name: str, names: Mapping[str, str], column: str) -> str:
    """The new name of a value.

    Raises:
        ValueError: it has none.
    """
    if name not in names:
        raise ValueError(f"{column}: {name!r} is not a known value; choose from: {', '.join(names)}{missing_advice(name)}")
    return names[name]


def numbered(names: Sequence[str]) -> dict[str, str]:
    """Names by the numbers that stand for them, from 0."""
    return {str(number): name for number, name in enumerate(names)}


def number(value: Any, column: str) -> float:
    """A finite number.

    Raises:
        ValueError: the value is not one.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, str) and "_" in value):  # Python would take True and 1_0
            raise ValueError
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{column}: {str(value)[:40]!r} is not a number{missing_advice(value)}") from None
    if not math.isfinite(result):
        raise ValueError(f"{column}: {value!r} is not finite")
    return result


def class_name(value: Any, column: str) -> str:
    """The name of a class: text without surrounding white space, true and false as in JSON, whole numbers without a point.

    Raises:
        ValueError: the value is a list or an object.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise ValueError(f"{column}: a {type(value).__name__} is not a class")


def range_of(value: Any, column: str, length: int) -> tuple[int, int]:
    """A range of tokens ``[start, end)``.

    Raises:
        ValueError: it is not a pair of integers inside the text.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2 or not all(type(end) is int for end in value):
        raise ValueError(f"{column}: must be [start, end) in tokens, not {str(value)[:40]!r}")
    start, end = value
    if not 0 <= start < end <= length:
        raise ValueError(f"{column}: [{start}, {end}) is not a range inside the text, whose tokens are [0, {length})")
    return start, end


def range_tags(ranges: Sequence[tuple[int, int, str]], length: int) -> list[str]:
    """IOB2 tags of ranges (start, end, type) that do not overlap."""
    tags = ["O"] * length
    for start, end, name in ranges:
        tags[start:end] = [f"B-{name}", *[f"I-{name}"] * (end - start - 1)]
    return tags
