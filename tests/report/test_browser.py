"""The report in a real browser: it fits, the keyboard works the error browser, and nothing foreign is run."""

import json
import shutil
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
CENTRE = """(() => { const box = document.querySelector("%s").getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2]; })()"""
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
    drawn(browser)
    assert browser.value(WIDE) == []
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_a_table_that_fits_has_no_scroll_bar(browser: Chromium, url: str) -> None:
    browser.open(url)
    boxes = "[...document.querySelectorAll('.scroll')].filter(box => box.firstElementChild.offsetWidth <= box.clientWidth)"
    assert browser.value(f"{boxes}.length") > 5
    assert browser.value(f"{boxes}.filter(box => box.scrollWidth > box.clientWidth).map(box => box.innerText)") == []


def test_on_a_small_screen_wide_tables_fold(browser: Chromium, url: str) -> None:
    browser.open(url, 400)
    folded = "[...document.querySelectorAll('.scroll:has(> .fold)')].every(box => box.scrollWidth <= box.clientWidth)"
    assert browser.value("document.querySelectorAll('.scroll > .fold').length") >= 4
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
    browser.value("new Promise(done => setTimeout(done, 20))")
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
    browser.value("new Promise(done => setTimeout(done, 50))")
    shown = browser.value(SHOWN)
    assert len(shown) == count > 0
    assert len({json.dumps(row["pairs"]) for row in shown}) == 1


def test_foreign_text_is_not_run(browser: Chromium, url: str) -> None:
    browser.call("Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.harmed = true }")
    browser.open(url)
    assert "alert(" in browser.value("document.body.innerText")
    assert browser.value("window.harmed") is None
    browser.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
    browser.value("new Promise(done => setTimeout(done, 50))")
    assert browser.value("window.harmed") is None  # nor would it be, were it not escaped


CHARTS = 30


def test_charts_are_drawn_offline_and_without_code_made_from_text(browser: Chromium, url: str) -> None:
    browser.open(url)
    drawn(browser)
    assert browser.value("['.chart', '.chart svg'].map(found => document.querySelectorAll(found).length)") == [CHARTS, CHARTS]
    assert browser.value("performance.getEntriesByType('resource').length") == 0


def test_a_chart_tells_values_under_the_pointer(browser: Chromium, url: str) -> None:
    browser.open(url)
    drawn(browser)
    browser.value("document.getElementById('curves').scrollIntoView()")
    x, y = browser.value(CENTRE % "#curves .chart .mark-symbol.role-mark path")
    for across in (0, 2):
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + across, y=y)
    browser.value("new Promise(done => setTimeout(done, 100))")
    shown = browser.value("document.querySelector('#vg-tooltip-element.visible')?.innerText")
    assert "step" in shown
    assert "score" in shown
    assert "joint" in shown or "single" in shown


def test_a_click_on_the_legend_singles_out_a_line(browser: Chromium, url: str) -> None:
    browser.open(url)
    drawn(browser)
    browser.value("document.getElementById('curves').scrollIntoView()")
    faint = "[...document.querySelectorAll('#curves .chart')][0].querySelectorAll('.mark-line path[opacity=\"0.12\"]').length"
    assert browser.value(faint) == 0
    x, y = browser.value(CENTRE % "#curves .chart .role-legend-label text")
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    browser.value("new Promise(done => setTimeout(done, 100))")
    assert browser.value(faint) > 0


def test_charts_follow_the_scheme(browser: Chromium, url: str) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(url)
        drawn(browser)
        colours[scheme] = browser.value("getComputedStyle(document.querySelector('#curves .mark-line path')).stroke")
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    assert colours["light"] != colours["dark"]
    assert all(colour.startswith("rgb") for colour in colours.values())


@pytest.fixture(scope="module")
def many(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a task with 150 classes."""
    folder = tmp_path_factory.mktemp("many")
    shutil.copytree(finished.data, folder / "data")
    path = folder / "data" / "results" / "comparisons.json"
    content = json.loads(path.read_text())
    names = [f"{topic} {number:02d}" for topic in ("card", "account", "transfer") for number in range(50)]
    counts = [[20 if i == j else 9 if (i, j) == (149, 0) else int((i + j) % 40 == 0) for j in range(150)] for i in range(150)]
    scores = {name: {"precision": 0.5, "recall": 0.5, "f1": 0.5 if i else 0.25, "support": 20} for i, name in enumerate(names)}
    task = content["runs"]["joint-augmented-1"]["tasks"]["sentiment"]
    task |= {"confusion": {"classes": names, "counts": counts}, "per_class": scores}
    path.write_text(json.dumps(content))
    render(finished.params, folder / "data", folder)
    return (folder / "report.html").as_uri()


VISIBLE = (
    "[...document.querySelectorAll('.searchable')].map(table => [...table.tBodies[0].rows].filter(row => row.checkVisibility()).length)"
)


@pytest.mark.parametrize("width", [1280, 400])
def test_tables_of_150_classes_are_sorted_and_searched(browser: Chromium, many: str, width: int) -> None:
    browser.open(many, width)
    drawn(browser)
    assert browser.value(WIDE) == []
    first = "document.querySelectorAll('.searchable')[%d].tBodies[0].rows[0].innerText"
    assert "transfer 49" in browser.value(first % 0)  # the most frequent mistake
    assert browser.value(VISIBLE)[1] == 150
    browser.value("document.querySelectorAll('.searchable')[1].tHead.querySelectorAll('button')[4].focus()")
    assert browser.value("document.activeElement.getBoundingClientRect().left > 0")  # to be seen at any width
    browser.press("Enter")
    assert "card 00" in browser.value(first % 1)  # the lowest F1
    browser.value("document.querySelectorAll('input.search')[1].focus()")
    for letter in "fer 07":
        browser.press(letter)
    assert browser.value(VISIBLE)[1] == 1
    boxes = "[...document.querySelectorAll('#predictions .scroll:has(.chart)')].map(box => box.scrollHeight <= box.clientHeight)"
    assert browser.value(boxes) == [True]  # names below the matrix are not cut off


def test_a_matrix_of_six_classes_is_seen_whole(browser: Chromium, finished: Any, tmp_path: Path) -> None:
    shutil.copytree(finished.data, tmp_path / "data")
    path = tmp_path / "data" / "results" / "comparisons.json"
    content = json.loads(path.read_text())
    names = ["card_arrival", "exchange rate", "lost or stolen phone", "refund", "top up failed", "transfer not received by recipient"]
    task = content["runs"]["joint-augmented-1"]["tasks"]["sentiment"]
    task["confusion"] = {"classes": names, "counts": [[10000 if i == j else 10 for j in range(6)] for i in range(6)]}
    path.write_text(json.dumps(content))
    render(finished.params, tmp_path / "data", tmp_path)
    browser.open((tmp_path / "report.html").as_uri())
    whole = (
        "(box => [box.scrollWidth <= box.clientWidth, box.querySelectorAll('td').length])(document.querySelector('.scroll:has(> .heat)'))"
    )
    assert browser.value(whole) == [True, 36]


@pytest.mark.parametrize("width", [400, 1280])
def test_the_confused_pairs_of_many_classes_are_found_by_name(browser: Chromium, finished: Any, tmp_path: Path, width: int) -> None:
    shutil.copytree(finished.data, tmp_path / "data")
    path = tmp_path / "data" / "results" / "comparisons.json"
    content = json.loads(path.read_text())
    names = [f"transfer not received by recipient {i:02}" for i in range(77)]
    counts = [[60 if i == j else max(0, 3 - abs(i - j)) for j in range(77)] for i in range(77)]
    task = content["runs"]["joint-augmented-1"]["tasks"]["sentiment"]
    task["confusion"] = {"classes": names, "counts": counts}
    task["per_class"] = {name: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 60 + i} for i, name in enumerate(names)}
    path.write_text(json.dumps(content))
    render(finished.params, tmp_path / "data", tmp_path)
    browser.open((tmp_path / "report.html").as_uri(), width)
    drawn(browser)
    card = "[...document.querySelectorAll('figure')].find(found => found.innerText.startsWith('Most confused pairs'))"
    main = "document.querySelector('main').clientWidth"
    assert browser.value(f"{card}.clientWidth") > browser.value(main) - 80
    shown = f"[...{card}.querySelectorAll('tbody tr')].filter(row => row.checkVisibility()).map(row => row.innerText)"
    first = browser.value(shown)
    assert len(first) == 300  # of 302
    browser.value(f"{card}.querySelector('input').value = 'recipient 40'; {card}.querySelector('input').dispatchEvent(new Event('input'))")
    found = browser.value(shown)
    assert len(found) == 8
    assert all("recipient 40" in row for row in found)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.querySelectorAll('#predictions table.searchable').length") == 2


def test_a_table_is_sorted_by_its_columns(browser: Chromium, url: str) -> None:
    browser.open(url)
    column = "[...document.querySelector('#evidence .sortable').tBodies[0].rows].map(row => Number(row.cells[5].dataset.sort))"
    button = "document.querySelector('#evidence .sortable thead').rows[0].cells[5].querySelector('button').click()"
    browser.value(button)
    assert browser.value(column) == sorted(browser.value(column))
    browser.value(button)
    assert browser.value(column) == sorted(browser.value(column), reverse=True)
    assert browser.value("document.querySelector('#evidence th[aria-sort]').innerText") == "mean"


def drawn(browser: Chromium) -> None:
    """Wait until the charts are drawn."""
    state = None
    while state is None:
        state = browser.value("document.documentElement.dataset.charts ?? null")
    assert state == "drawn"


def reach(browser: Chromium, name: str) -> None:
    """Go on by the tab key until the control of an id has the focus."""
    for _ in range(40):
        browser.press("Tab")
        if browser.value("document.activeElement.id") == name:
            return
    raise AssertionError(f"the tab key does not reach {name!r}")
