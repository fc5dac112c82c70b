"""The page of a search: its figures can be read, also on a small screen."""

from pathlib import Path

import pytest
from tests.report.chromium import PROGRAM, Chromium
from tests.report.test_browser import drawn

from mtl.report import search as figures
from mtl.tuning.summary import write_summary
from mtl.tuning.trial import run_trial
from tuning.conftest import searched
from tuning.test_trial import MakeSearch

PATHS = ("train.warmup", "train.weight_decay", "augment.share", "tasks.names.weight", "tasks.mood.weight", "encoder.dropout")


def test_a_choice_only_of_the_present_settings_is_marked_too() -> None:
    values = [8, 2, 4]
    trials = [{"number": i, "state": "complete", "score": 1 + i / 10, "params": {"train.epochs": value}} for i, value in enumerate(values)]
    drawn = figures.coordinates({"trials": trials, "best": 2, "space": {"train.epochs": {"choices": [2, 4]}}})
    assert drawn
    [marks] = [rows for name, rows in drawn["datasets"].items() if name != "rows"]
    assert [mark["label"] for mark in marks if mark["axis"] == "epochs"] == ["2", "4", "8"]


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")
def test_on_a_small_screen_the_figures_keep_a_size_that_can_be_read(make_search: MakeSearch, tmp_path: Path) -> None:
    params = searched(trials=2, space={path: {"low": 0.1, "high": 0.5} for path in PATHS})
    search = make_search(params)
    for number in range(2):
        run_trial(params, number, search)
    write_summary(params, search)
    with Chromium(tmp_path / "profile") as browser:
        browser.open((search.out / "tune.html").as_uri(), 400)
        drawn(browser)
        assert browser.value("document.documentElement.scrollWidth") <= 400
        heights = browser.value("[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height)")
    assert heights
    assert min(heights) > 9
