"""Texts of other scripts in the report: spaces as in print, direction and language, and nothing overflows in a real browser."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.report.chromium import PROGRAM, Chromium
from tests.report.test_browser import WIDE

from mtl.report.render import render
from mtl.report.text import script

TEXTS = {
    "zh": ("王 小 明 在 北 京 买 iPhone ， 很 好 。", "王小明在北京买iPhone，很好。"),
    "ja": ("山 田 さ ん は 東 京 で 買 っ た 。", "山田さんは東京で買った。"),
    "und-Thai": ("สม ชาย ไป กรุงเทพ มา", "สมชายไปกรุงเทพมา"),
    "und-Arab": ("سافر أحمد إلى القاهرة ، ثم عاد .", "سافر أحمد إلى القاهرة، ثم عاد."),
    "und-Hebr": ("דני נסע לחיפה , נכון ?", "דני נסע לחיפה, נכון?"),
    "ko": ("철수 는 서울 에 갔다 .", "철수 는 서울 에 갔다."),
    "": ("Émile went to Nice .", "Émile went to Nice."),
}
"""Language tag to tokens and the text as one writes it."""
ROWS = """[...document.querySelectorAll("#wrong td.said")].map(cell => ({
  lang: cell.lang, direction: getComputedStyle(cell).direction, font: getComputedStyle(cell).fontFamily,
  text: [...cell.childNodes].map(node => node.nodeType === 3 ? node.textContent : node.querySelector("bdi")?.textContent ?? "").join(""),
}))"""


@pytest.fixture
def url(project: Any, tmp_path: Path) -> str:
    """A report whose first rows with entities are in other scripts, each with a missed entity of two tokens."""
    for path in (project.data / "predictions").iterdir():
        rows = pq.read_table(path).to_pylist()
        tagged = [row for row in rows if row["task"] == "entities"]
        for row, (tokens, _) in zip(tagged, TEXTS.values(), strict=False):
            tags = ["B-place", "I-place"] + ["O"] * (len(tokens.split()) - 2)
            row |= {"text": json.dumps(tokens.split()), "gold": json.dumps(tags), "prediction": json.dumps(["O"] * len(tags))}
        pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    render(project.params, project.data, tmp_path)
    return (tmp_path / "report.html").as_uri()


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")
def test_rows_have_their_direction_language_and_spacing(url: str, tmp_path: Path) -> None:
    with Chromium(tmp_path / "profile") as browser:
        for width in (400, 1280):
            browser.open(url, width)
            rows = {" ".join(row["text"].split()): row for row in browser.value(ROWS)}
            for language, (_, text) in TEXTS.items():
                assert rows[text]["lang"] == language
                assert rows[text]["direction"] == ("rtl" if language in ("und-Arab", "und-Hebr") else "ltr")
            assert "CJK SC" in rows[TEXTS["zh"][1]]["font"]
            assert "CJK JP" in rows[TEXTS["ja"][1]]["font"]
            assert browser.value(WIDE) == []
            assert browser.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_is_told_by_the_script(language: str) -> None:
    assert script(TEXTS[language][1]) == ' dir="auto"' + (f' lang="{language}"' if language else "")


def test_the_report_has_scores_on_raw_text(project: Any, tmp_path: Path) -> None:
    render(project.params, project.data, tmp_path)
    page = (tmp_path / "report.html").read_text()
    start = page.index("<h3>On raw text</h3>")
    section = page[start : page.index("<h3", start + 1)]
    assert section.count("joint-augmented-1") == 1
    assert "entity F1" in section
    assert "sentiment" not in section
