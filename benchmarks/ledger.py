"""Results in a CSV file that grows, so finished runs are not repeated."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

Line = TypeVar("Line", bound=NamedTuple)


def read(path: Path, line_type: type[Line]) -> list[Line]:
    """The lines so far."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        types = line_type.__annotations__.values()
        return [line_type(*(type_(text) for type_, text in zip(types, row, strict=True))) for row in list(csv.reader(file))[1:]]


def append(lines: Sequence[Line], path: Path) -> None:
    """Add lines in one write, so an interrupted run leaves all of them or none."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([lines[0]._fields, *lines] if new else lines)
