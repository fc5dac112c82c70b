"""The page in a real browser: predictions are shown, corrected by keyboard, and fit a small screen."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.report.chromium import PROGRAM, Chromium
from tests.serving.process import Serving
from tests.serving.test_server import wait_for

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")

TEXTS = 'Angela 😀 visited <b>Paris</b>\\n{"premise": "a film", "hypothesis": "great"}'
WIDE = """[...document.querySelectorAll("body *")].filter(element => element.getBoundingClientRect().right > innerWidth + 1)
  .map(element => element.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


def opened(browser: Chromium, serving: Serving, width: int = 1280) -> None:
    browser.open(serving.url + "/", width)
    wait_for(lambda: browser.value("document.querySelectorAll('[name=task]').length") == 6)


def predicted(browser: Chromium, texts: str = TEXTS) -> None:
    browser.value(f"document.querySelector('#texts').value = '{texts}'; document.querySelector('#texts').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, modifiers=2)
    wait_for(lambda: browser.value("document.querySelector('#status').textContent") in ("1 text", "2 texts"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_predictions_are_shown_and_fit(browser: Chromium, serving: Serving, width: int, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.call("Emulation.setEmulatedMedia", features=features)
    opened(browser, serving, width)
    predicted(browser)
    assert browser.value("[...document.querySelectorAll('blockquote')].map(each => each.textContent)") == [
        "Angela 😀 visited <b>Paris</b>",
        "premise: a film",
        "hypothesis: great",
    ]
    assert browser.value(
        "[...document.querySelectorAll('article')].map(each => [...each.querySelectorAll('h2')].map(h => h.textContent))"
    ) == [
        ["mood", "topics", "stars", "names"],
        ["follows"],
    ]
    assert browser.value("document.querySelectorAll('meter').length") >= 2
    browser.value("document.querySelectorAll('article button').forEach(each => each.textContent === 'Correct' && each.click())")
    assert browser.value(WIDE) == []
    colours = browser.value("['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])")
    assert colours == (["rgb(28, 33, 39)", "rgb(251, 250, 247)"] if scheme == "light" else ["rgb(232, 234, 236)", "rgb(20, 24, 28)"])


def test_entities_are_marked_by_characters(browser: Chromium, serving: Serving) -> None:
    """Offsets count characters; those of JavaScript's strings count an emoji twice."""
    opened(browser, serving)
    marked = browser.value(
        """marked("😀 Ann in Rome", [{type: "person", start: 2, end: 5, confidence: 1}, {type: "place", start: 9, end: 13, confidence: 1}])
        .map(each => each.textContent ?? each)"""
    )
    assert marked == ["😀 ", "Annperson", " in ", "Romeplace", ""]


def test_a_class_is_corrected_by_keyboard(browser: Chromium, serving: Serving, corrections: Path) -> None:
    opened(browser, serving)
    predicted(browser, "a wonderful film")
    shown = "getComputedStyle(document.querySelector('article .task form')).display !== 'none'"
    assert browser.value(shown) is False
    browser.value("document.querySelector('article .task button').focus()")
    browser.press("Enter")
    assert browser.value(shown) is True
    browser.press("Tab")
    other = browser.value("document.activeElement.value")
    browser.press("b" if other == "good" else "g")
    browser.press("Tab")
    browser.press("Enter")
    wait_for(lambda: browser.value("document.querySelector('#status').textContent") == "saved: mood")
    row = json.loads(corrections.read_text().splitlines()[-1])
    assert (row["text"], row["mood"]) == ("a wonderful film", "bad" if other == "good" else "good")


def test_an_entity_is_added_by_selection(browser: Chromium, serving: Serving, corrections: Path) -> None:
    opened(browser, serving)
    predicted(browser, "😀 saw Paris")
    browser.value(
        """(() => {
        const row = [...document.querySelectorAll(".task")].find(row => row.querySelector("h2").textContent === "names");
        const form = row.querySelector("form");
        form.hidden = false;
        form.querySelectorAll("span button").forEach(remove => remove.click());
        const area = form.querySelector("textarea");
        area.setSelectionRange(area.value.indexOf("Paris"), area.value.length);
        [...form.querySelectorAll("button")].find(button => button.textContent === "Add selected").click();
        form.querySelector("select").value = "place";
        form.requestSubmit();
    })()"""
    )
    wait_for(lambda: browser.value("document.querySelector('#status').textContent") == "saved: names")
    assert json.loads(corrections.read_text().splitlines()[-1])["tags"] == ["O", "O", "B-place"]


def test_a_csv_file_fills_the_texts(browser: Chromium, serving: Serving) -> None:
    opened(browser, serving)
    content = 'id,text\\r\\n1,"Ann, ""Lee"""\\r\\n2,"two\\nlines"\\r\\n'
    browser.value(f"readFile(new File(['{content}'], 'rows.csv'))")
    wait_for(lambda: browser.value("document.querySelector('#status').textContent") == "2 rows of rows.csv")
    lines = browser.value("document.querySelector('#texts').value").split("\n")
    assert [json.loads(line) for line in lines] == [{"text": 'Ann, "Lee"'}, {"text": "two\nlines"}]


def test_the_token_opens_the_page(browser: Chromium, folder: Path) -> None:
    with Serving(folder, env=os.environ | {"MTL_TOKEN": "secret"}) as serving:
        browser.open(serving.url + "/")
        wait_for(lambda: browser.value("document.querySelector('#login').hidden") is False)
        browser.value("document.querySelector('#token').value = 'secret'; document.querySelector('#login').requestSubmit()")
        wait_for(lambda: browser.value("document.querySelectorAll('[name=task]').length") == 6)
        assert browser.value("document.querySelector('#login').checkVisibility()") is False
