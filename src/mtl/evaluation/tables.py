"""Training histories and predictions as data frames in long form: for the plots that DVC draws and for the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mtl.files import write_text

FORMULAS = ("=", "+", "-", "@")
"""Beginnings of a cell that a spreadsheet computes, after blanks too."""
Histories = Mapping[str, Sequence[Mapping[str, Any]]]
"""Records of training and validation by run."""


def by_task(histories: Histories, key: str, name: str | None = None, of: str = "task") -> pd.DataFrame:
    """Columns ``step``, ``run``, ``of`` and ``name``: a row for each entry of the mapping that a record has under ``key``."""
    rows = [
        (record["step"], run, entry, value)
        for run, records in histories.items()
        for record in records
        for entry, value in record.get(key, {}).items()
    ]
    return pd.DataFrame(rows, columns=["step", "run", of, name or key])


def main_scores(histories: Histories, metrics: Mapping[str, str]) -> pd.DataFrame:
    """Columns ``step``, ``run``, ``task`` and ``score``: the main metric of each task at each validation."""
    frame = by_task(histories, "metrics", "score")
    frame["score"] = [by_metric.get(metrics.get(task)) for task, by_metric in zip(frame["task"], frame["score"], strict=True)]
    return frame.dropna(subset="score").astype({"score": float})


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame under a header line, as ``harmless`` makes it."""
    write_text(path, harmless(frame).to_csv(index=False, lineterminator="\n", na_rep="nan"))


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose texts, such as names of classes, are only text in the programs that read tables.

    ``<`` becomes ``‹``: DVC puts the cells into a script of its page of plots. A text that a spreadsheet would compute gets an apostrophe
    before it, as one types it there.
    """
    return frame.map(_harmless)


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = cell.replace("<", "‹").replace("\r", " ")  # a carriage return would end the row
    return f"'{text}" if text.startswith("\t") or text.lstrip().startswith(FORMULAS) else text
