"""What a section of the report is made of: figures, tables and confusion matrices. Task modules return them, the template draws them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode

import pandas as pd
from pandas.api.types import is_float_dtype, is_numeric_dtype

from mtl.report.text import score, whole

Spec = dict[str, Any]
"""A Vega-Lite specification, as ``mtl.report.charts`` makes it."""


@dataclass(frozen=True)
class Figure:
    """A chart with its title and one sentence about it."""

    view: ClassVar[str] = "figure"
    title: str
    note: str
    chart: Spec | None
    """None where nothing was recorded."""
    wide: bool = False
    """Whether the figure needs the full width of the page."""


class Cell(NamedTuple):
    """A cell of a table: its column, its text, and the number that it is sorted by (empty for text)."""

    column: str
    text: str
    sort: str
    numeric: bool


@dataclass(frozen=True)
class Table:
    """A data frame whose first column names the row. Readers can sort it by any column."""

    view: ClassVar[str] = "table"
    title: str
    note: str
    frame: pd.DataFrame
    formats: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    """Text of a value by column; without one floats have three decimals and integers thin spaces."""
    style: str = "fold pairwise"
    """Classes of the style sheet. ``fold``: on a small screen a row becomes a list; ``pairwise``: of two columns."""
    links: Sequence[str] = ()
    """Addresses of the rows' names, one a row."""
    wide: bool = False
    """Whether the table needs the full width of the page."""

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """(name, whether it holds numbers)."""
        return [(name, self._numeric(name)) for name in self.frame.columns]

    def rows(self) -> Iterator[list[Cell]]:
        """The cells of each row."""
        texts = {name: self.formats.get(name, _plain(self.frame[name])) for name in self.frame.columns}
        columns = self.columns
        for values in self.frame.itertuples(index=False, name=None):
            yield [_cell(name, value, texts[name], numeric) for (name, numeric), value in zip(columns, values, strict=True)]

    def _numeric(self, name: str) -> bool:
        return name in self.formats or is_numeric_dtype(self.frame[name])


def _cell(name: str, value: Any, text: Callable[[Any], str], numeric: bool) -> Cell:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return Cell(name, "–", "", numeric)
    return Cell(name, text(value), f"{value:g}" if isinstance(value, int | float) else "", numeric)


def _plain(column: "pd.Series[Any]") -> Callable[[Any], str]:
    if is_float_dtype(column):
        return score
    return whole if is_numeric_dtype(column) else str


class MatrixCell(NamedTuple):
    """A cell of a confusion matrix. ``link`` leads to its rows in the error browser."""

    rows: int
    share: float
    """Of the gold class."""
    right: bool
    link: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: gold classes down, predicted classes across."""

    view: ClassVar[str] = "matrix"
    title: str
    note: str
    task: str
    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    gold: Sequence[int]
    """Rows of each class."""

    def rows(self) -> Iterator[tuple[str, int, list[MatrixCell]]]:
        """(gold class, its number of rows, its cells)."""
        for gold, counts, total in zip(self.classes, self.counts, self.gold, strict=True):
            yield gold, total, [self._cell(gold, name, count, total) for name, count in zip(self.classes, counts, strict=True)]

    def _cell(self, gold: str, predicted: str, count: int, total: int) -> MatrixCell:
        link = error_link(self.task, gold, predicted) if count and gold != predicted else ""
        return MatrixCell(count, count / total if total else 0.0, gold == predicted, link)


Block = Figure | Table | Matrix


def error_link(task: str, gold: str, predicted: str) -> str:
    """The address that lists the joint model's rows of one mistake in the error browser."""
    return "#errors?" + urlencode({"task": task, "model": "joint", "gold": gold, "predicted": predicted})
