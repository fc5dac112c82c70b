"""Tables for other programs: what they hold is only text there."""

import csv
from pathlib import Path

import pandas as pd
import pytest

from mtl.evaluation.tables import write_csv

CELLS = {
    "glad": "glad",
    "a=b, 'c'": "a=b, 'c'",
    "'": "'",
    "</script><script>alert(1)</script>": "‹/script>‹script>alert(1)‹/script>",
    "<!--": "‹!--",
    '=HYPERLINK("http://a")': '\'=HYPERLINK("http://a")',
    "+1": "'+1",
    "-1": "'-1",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1": "'\t=1",
    "\r=1": "' =1",
    "a\r=1": "a =1",
    "a\n=1": "a\n=1",
}


@pytest.mark.parametrize("text", CELLS)
def test_texts_start_no_formula_and_end_no_script(text: str, tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"actual": [text], "loss": [-0.5], "step": [-1], "none": [None]}), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row == {"actual": CELLS[text], "loss": "-0.5", "step": "-1", "none": "nan"}


def test_a_table_without_rows_has_its_header(tmp_path: Path) -> None:
    write_csv(pd.DataFrame(columns=["task", "actual"]), tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == "task,actual\n"
