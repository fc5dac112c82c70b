"""Figures: round marks, names that do not overlap, escaped text, equal bytes."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.report.svg import Series, Whisker, dumbbells, line_chart, scatter, spaced, ticks, whisker

HOSTILE = '<b>"&\x00'


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_marks_are_few_and_inside(low: float, width: float) -> None:
    marks = ticks(low, low + width)
    assert 1 <= len(marks) <= 6
    assert all(low - 1e-6 * width - 1e-9 <= mark <= low + width * (1 + 1e-6) + 1e-9 for mark in marks)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=8))
def test_names_keep_their_distance_and_order(places: list[float]) -> None:
    found = spaced(places, 14, 0, 200)
    order = sorted(range(len(places)), key=lambda i: places[i])
    assert all(found[b] - found[a] >= 14 - 1e-9 for a, b in itertools.pairwise(order))
    assert max(found) <= 200


LINES = [Series(HOSTILE, "joint plain", [(0, 1.0), (10, 0.5)]), Series("other", "alone plain", [(0, 0.9), (10, 0.5)])]
ROW = Whisker(HOSTILE, "same", 0.1, -0.1, 0.3, -0.2, 0.4)
FIGURES = {
    "lines": line_chart(HOSTILE, LINES, "step", dots=True),
    "a flat line": line_chart("t", [Series("a", "task0", [(1, 0.0)])], "step", zero=True),
    "lines around zero": line_chart(HOSTILE, [Series("a", "task0", [(1, -0.2), (2, 0.3)])], "step"),
    "whisker": whisker(HOSTILE, ROW, -0.5, 0.5),
    "dumbbells": dumbbells(HOSTILE, [(HOSTILE, "n = 3", {"joint": 0.3, "single": 0.9})], {"joint": "a", "single": "b"}),
    "scatter": scatter(HOSTILE, [(0, 0.1), (1, 2)], "gold", "prediction"),
}


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_figures_are_well_formed_whatever_their_names_are(name: str) -> None:
    root = ElementTree.fromstring(FIGURES[name])
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "nan" not in FIGURES[name]


@pytest.mark.parametrize(("low", "high", "marks"), [(-0.5, 0.5, 1), (0.1, 0.5, 0)])
def test_zero_is_marked_where_it_is_on_the_scale(low: float, high: float, marks: int) -> None:
    root = ElementTree.fromstring(whisker("t", ROW, low, high))
    assert sum(line.get("class") == "zero" for line in root.iter("line")) == marks


def test_nothing_to_draw_is_said() -> None:
    assert "nothing was recorded" in line_chart("loss", [], "step")


def test_a_line_ends_with_its_name() -> None:
    root = ElementTree.fromstring(line_chart("t", [Series("joint", "s", [(0, 1)]), Series("joint", "s", [(0, 2)])], "step"))
    assert [text.text for text in root.iter("text") if "label" in (text.get("class") or "")] == ["joint"]
