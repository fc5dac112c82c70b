"""The report in a real browser: it fits, the keyboard works the error browser, and nothing foreign is run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.report.chromium import PROGRAM, Chromium

from mtl.report.render import render

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")

WIDE = """(() => {
  document.querySelectorAll("details").forEach(box => box.open = true);
  const outside = element => !element.closest(".scroll, pre") && element.getBoundingClientRect().right > innerWidth + 1;
  return [...document.querySelectorAll("main *, header *")].filter(outside).map(element => element.outerHTML.slice(0, 120));
})()"""
SHOWN = """[...document.querySelectorAll("#wrong tr[data-pairs]")].filter(row => row.checkVisibility()).map(row => ({
  task: row.parentElement.dataset.task, model: row.parentElement.dataset.model, pairs: JSON.parse(row.dataset.pairs),
  confidence: row.cells[3].innerText, text: row.cells[0].innerText,
}))"""


@pytest.fixture(scope="module")
def url(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report")
    render(finished.params, finished.data, out)
    return (out / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def wrong(data: Path, task: str, run: str = "joint-augmented-1") -> list[dict[str, Any]]:
    """Wrong rows of the predictions file, the most confident ones first."""
    rows = pq.read_table(data / "predictions" / f"{run}.parquet").to_pylist()
    return sorted((row for row in rows if row["task"] == task and row["gold"] != row["prediction"]), key=lambda row: -row["confidence"])


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_overflows(browser: Chromium, url: str, width: int) -> None:
    browser.open(url, width)
    assert browser.value(WIDE) == []
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_on_a_small_screen_wide_tables_fold(browser: Chromium, url: str) -> None:
    browser.open(url, 400)
    folded = "[...document.querySelectorAll('.scroll:has(> .stack)')].every(box => box.scrollWidth <= box.clientWidth)"
    assert browser.value("document.querySelectorAll('.scroll > .stack').length") >= 4
    assert browser.value(folded)


def test_the_address_chooses_what_is_listed(browser: Chromium, url: str, finished: Any) -> None:
    browser.open(f"{url}#errors?task=sentiment&model=joint&gold=positive")
    expected = [row for row in wrong(finished.data, "sentiment") if row["gold"] == "positive"]
    shown = browser.value(SHOWN)
    assert len(shown) == len(expected) > 2
    assert [float(row["confidence"]) for row in shown] == [row["confidence"] for row in expected]
    assert browser.value("document.getElementById('found').innerText").startswith(f"{len(expected)} of ")
    assert abs(browser.value("document.getElementById('errors').getBoundingClientRect().top")) < 50


def test_the_keyboard_filters_by_task_and_class(browser: Chromium, url: str, finished: Any) -> None:
    browser.open(url)
    assert {row["task"] for row in browser.value(SHOWN)} == {"entities"}
    browser.value("document.querySelector('#predictions a, #predictions .scroll').focus()")
    reach(browser, "by-task")
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("ArrowDown")
    reach(browser, "by-gold")
    for letter in "neg":
        browser.press(letter)
    expected = [row for row in wrong(finished.data, "sentiment") if row["gold"] == "negative"]
    shown = browser.value(SHOWN)
    assert {(row["task"], row["model"]) for row in shown} == {("sentiment", "joint")}
    assert float(shown[0]["confidence"]) == expected[0]["confidence"]
    assert len(shown) == len(expected)
    assert browser.value("location.hash") == "#errors?task=sentiment&model=joint&gold=negative"


def test_a_text_is_found_and_reset_brings_all_back(browser: Chromium, url: str) -> None:
    browser.open(url)
    browser.value("document.getElementById('by-text').focus()")
    for letter in "oslo":
        browser.press(letter)
    found = browser.value(SHOWN)
    assert found
    assert all("oslo" in row["text"].lower() and ["place", "no entity"] in row["pairs"] for row in found)
    reach(browser, "")
    browser.press("Enter")
    browser.value("new Invariant(done => setTimeout(done, 20))")
    assert len(browser.value(SHOWN)) > len(found)


def test_a_class_of_another_task_is_not_offered(browser: Chromium, url: str) -> None:
    browser.open(f"{url}#errors?task=sentiment&gold=place")
    offered = browser.value(
        "[...document.getElementById('by-gold').options].filter(option => !option.disabled).map(option => option.value)"
    )
    assert offered == ["", "negative", "positive"]
    assert browser.value("document.getElementById('by-gold').value") == ""


def test_a_cell_of_the_confusion_matrix_leads_to_its_rows(browser: Chromium, url: str) -> None:
    browser.open(url)
    count = int(browser.value("document.querySelector('.heat td.wrong a').innerText"))
    browser.value("document.querySelector('.heat td.wrong a').focus()")
    browser.press("Enter")
    browser.value("new Invariant(done => setTimeout(done, 50))")
    shown = browser.value(SHOWN)
    assert len(shown) == count > 0
    assert len({json.dumps(row["pairs"]) for row in shown}) == 1


def test_foreign_text_is_not_run(browser: Chromium, url: str) -> None:
    browser.call("Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.harmed = true }")
    browser.open(url)
    assert "alert(" in browser.value("document.body.innerText")
    assert browser.value("window.harmed") is None
    browser.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
    browser.value("new Invariant(done => setTimeout(done, 50))")
    assert browser.value("window.harmed") is None  # nor would it be, were it not escaped


def reach(browser: Chromium, name: str) -> None:
    """Go on by the tab key until the control of an id has the focus."""
    for _ in range(40):
        browser.press("Tab")
        if browser.value("document.activeElement.id") == name:
            return
    raise AssertionError(f"the tab key does not reach {name!r}")
