"""Charts: names from data are text and nothing else, equal input gives equal bytes, and a browser draws all of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import Markup
from tests.report.chromium import PROGRAM, Chromium
from tests.report.conftest import HOSTILE
from tests.report.test_browser import drawn

from mtl.report import charts
from mtl.report.blocks import Figure, Matrix, Spec, Table
from mtl.report.render import environment, read, spec_text
from mtl.report.text import UNSEEN, visible

NAMES = [HOSTILE, "alert(1)", "datum.x'];alert(1)//", '{"signal": "alert(1)"}', "a.b[0]", "a.b[0]", "__proto__"]
ONCE = list(dict.fromkeys(NAMES))
COLOURS = charts.palette(ONCE)


def intervals() -> pd.DataFrame:
    ends = {"value": 0.1, "low": -0.1, "high": 0.3, "corrected low": -0.2, "corrected high": 0.4}
    return pd.DataFrame([{"name": name, "style": name, **ends} for name in ONCE])


def stacked() -> pd.DataFrame:
    return pd.DataFrame([{"name": name, "part": part, "share": 1 / len(ONCE), "count": 3} for name in ONCE for part in ONCE])


def confusion() -> pd.DataFrame:
    rows = [(a, b, 2, 0.5, a == b) for a in ONCE for b in ONCE]
    return pd.DataFrame(rows, columns=["gold", "predicted", "count", "share", "right"])


def gains() -> pd.DataFrame:
    cell = {"strength": 0.5, "amount": "+0.100", "interval": "−0.100 to +0.300", "verdict": "● no difference shown"}
    return pd.DataFrame([{"task": a, "with": b, "style": a, **cell} for a in ONCE for b in ONCE if a != b])


def trials() -> pd.DataFrame:
    rows = [{"trial": i, "axis": name, "place": i / 3, "value": name, "quality": i / 2} for i in range(3) for name in ONCE]
    return pd.DataFrame(rows)


LINES = pd.DataFrame([{"step": i, "loss": i - 2.0, "run": name, "detail": f"{name} {i % 2}"} for i in range(5) for name in ONCE])
DOTS = pd.DataFrame([{"name": name, "model": model, "F1": 0.5, "rows": 3} for name in ONCE for model in ONCE[:2]])
CHARTS: dict[str, Callable[[], Spec | None]] = {
    "lines": lambda: charts.lines(LINES, "step", "loss", "run", COLOURS, dashed=ONCE[:2], detail="detail", points=True),
    "intervals": lambda: charts.intervals(intervals(), COLOURS, reach=0.5),
    "intervals without names": lambda: charts.intervals(intervals()[:1], COLOURS, named=False, reach=0.5),
    "dots": lambda: charts.dots(DOTS, {name: COLOURS[name] for name in ONCE[:2]}, ONCE),
    "scatter": lambda: charts.scatter(pd.DataFrame({"gold": [0.0, 1.0], "prediction": [0.1, 2.0]})),
    "stacked": lambda: charts.stacked(stacked(), ONCE, COLOURS),
    "bars": lambda: charts.bars(pd.DataFrame({"name": ONCE, "share": 0.5}), ".1%", mark=1.0),
    "heatmap": lambda: charts.heatmap(confusion(), ONCE),
    "gains": lambda: charts.gains(gains(), ONCE, COLOURS),
    "best so far": lambda: charts.best_so_far(
        pd.DataFrame({"trial": [0, 1], "score": [1.0, 2.0], "best": [1.0, 2.0], "settings": ONCE[:2]})
    ),
    "parallel": lambda: charts.parallel(trials(), ONCE, pd.DataFrame({"axis": ONCE, "place": 0.5, "label": ONCE})),
}


PLACES = """[...document.querySelectorAll(".chart")[%d].querySelectorAll(".role-mark path, .role-mark line")].slice(0, 12)
  .map(mark => mark.getBoundingClientRect()).map(box => [box.x + box.width / 2, box.y + box.height / 2])"""


@pytest.fixture(params=sorted(CHARTS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_same_input_same_bytes(name: str) -> None:
    assert spec_text(CHARTS[name]() or {}) == spec_text(CHARTS[name]() or {})


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in [key, *strings(item)]]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def without_lists_of_names(value: Any) -> Any:
    """A specification without its data and the domains of its scales, where names of data belong."""
    if isinstance(value, dict):
        return {key: without_lists_of_names(item) for key, item in value.items() if key not in {"datasets", "domain"}}
    return [without_lists_of_names(item) for item in value] if isinstance(value, list) else value


def test_names_from_data_are_in_data_and_domains_only(name: str) -> None:
    spec = CHARTS[name]()
    assert spec
    assert not any("alert" in text or "__proto__" in text or "a.b" in text for text in strings(without_lists_of_names(spec)))


def test_no_text_ends_the_script_element_or_is_unseen(name: str) -> None:
    content = spec_text(CHARTS[name]() or {})
    assert "<" not in content
    assert not UNSEEN.search(content)
    assert json.loads(content) == CHARTS[name]()


def test_without_data_there_is_no_chart() -> None:
    assert charts.lines(LINES[:0], "step", "loss", "run", COLOURS) is None
    assert charts.intervals(intervals()[:0], COLOURS) is None
    assert charts.stacked(stacked()[:0], [], {}) is None


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")
def test_a_browser_draws_all_and_runs_nothing_of_the_data(tmp_path: Path) -> None:
    blocks = [Figure(f"{HOSTILE} {title}", HOSTILE, chart()) for title, chart in CHARTS.items()]
    tables = [
        Table(HOSTILE, HOSTILE, pd.DataFrame({HOSTILE: NAMES, "n": range(len(NAMES))}), links=["#a"] * len(NAMES)),
        Matrix(HOSTILE, HOSTILE, HOSTILE, ONCE, [[1] * len(ONCE)] * len(ONCE), [len(ONCE)] * len(ONCE)),
    ]
    page = '{% from "blocks.html" import blocks %}{% include "head.html" %}<body><main>{{ blocks(items) }}</main>{% include "foot.html" %}'
    context = {"title": HOSTILE, "style": Markup(read("style.css")), "scripts": [], "items": [*blocks, *tables]}
    (tmp_path / "page.html").write_text(environment().from_string(page).render(context), encoding="utf-8")
    with Chromium(tmp_path / "profile") as browser:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.harmed = true }")
        browser.open((tmp_path / "page.html").as_uri())
        drawn(browser)
        assert browser.value("document.querySelectorAll('.chart svg').length") == len(CHARTS)
        told = set()
        for index in range(len(CHARTS)):  # the pointer goes over marks of every chart, so that tooltips are made
            browser.value(f"document.querySelectorAll('.chart')[{index}].scrollIntoView({{block: 'center'}})")
            for x, y in browser.value(PLACES % index):
                for across in (0, 1):
                    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + across, y=y)
                browser.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 5)))")
                told.add(browser.value("document.querySelector('#vg-tooltip-element.visible')?.innerText ?? ''"))
        assert any(visible(HOSTILE) in text for text in told), told
        assert not any("undefined" in text for text in told)
        assert browser.value("window.harmed ?? null") is None
