"""The section on groups of tasks: its advice in words, and its figures as in comparisons.json."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.report.chromium import PROGRAM, Chromium

from mtl.report.inputs import Inputs, load
from mtl.report.render import render
from mtl.report.transfer import _summary, in_words, section

EXPERIMENT = {"seeds": [1, 2, 3], "joint": ["augmented"], "single_task": ["augmented"], "groups": "pairs"}


@pytest.fixture(scope="module")
def grouped(make_project: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_project(tmp_path_factory.mktemp("grouped") / "data", experiment=EXPERIMENT)


@pytest.mark.parametrize(
    ("serving", "words"),
    [
        ({"a": "a+b", "b": "a+b", "c": "c"}, "train a with b; keep c apart"),
        ({"a": "a", "b": "b", "c": "c"}, "keep a, b and c apart"),
        ({"a": "joint", "b": "joint", "c": "joint"}, "train all tasks together"),
        (
            {"a": "a+b", "b": "joint", "c": "joint"},
            "train a with b, and use that model for a only; train b with c and a, and use that model for b and c only",
        ),
        ({"a": "b+c~a", "b": "b", "c": "c"}, "train a after b and c; keep b and c apart"),
        ({"a": "a+b", "b": "b", "c": "c"}, "train a with b, and use that model for a only; keep b and c apart"),
    ],
)
def test_a_choice_in_words(serving: dict[str, str], words: str) -> None:
    assert in_words(serving, "abc") == words


def test_the_choice_for_a_target_alone_in_words() -> None:
    assert in_words({"a": "a"}, "a") == "keep a apart"
    assert in_words({"a": "joint"}, "a") == "train all tasks together"


def test_the_summary_names_what_is_shown() -> None:
    def claims(*verdicts: str) -> list[dict[str, str]]:
        return [{"task": "a", "within": f"a+{other}", "verdict": verdict} for other, verdict in zip("bcdef", verdicts, strict=False)]

    same = "no difference shown"
    assert _summary(claims("gained", "lost", same), "Keep c apart.") == "Shared training: a with b gained; a with c lost. Keep c apart."
    assert _summary(claims(same), "Keep c apart.") == "Shared training: no difference shown for any task. Keep c apart."
    assert _summary(claims(*["gained"] * 4, same), "").startswith("Shared training: 4 of 5 comparisons gained.")
    assert _summary([], "Keep c apart.") == "Shared training: Keep c apart."
    after = [{"task": "a", "within": "b~a", "verdict": "gained"}]
    assert _summary(after, "Train a after b.") == "Shared training: a after b gained. Train a after b."


def test_every_pair_has_a_cell_with_its_interval_and_verdict(grouped: Any) -> None:
    inputs: Inputs = load(grouped.params, grouped.data)
    found = section(grouped.params, inputs)
    assert found is not None
    cells = {(cell["task"], cell["with"]): cell for cell in found["matrix"].chart["datasets"]["rows"]}
    comparisons = inputs.comparisons["transfer"]["comparisons"]
    assert len(cells) == len(comparisons) == 6
    for item in comparisons:
        (other,) = set(item["within"].split("+")) - {item["task"]}
        cell = cells[item["task"], other]
        assert cell["amount"] == f"{item['difference']:+.3f}".replace("-", "−")
        assert cell["interval"] == f"{item['corrected_low']:+.3f} to {item['corrected_high']:+.3f}".replace("-", "−")
        assert cell["verdict"].endswith(item["verdict"])


def test_the_cosine_of_the_joint_run_stands_beside_the_gain_with_what_it_is_worth(grouped: Any) -> None:
    inputs: Inputs = load(grouped.params, grouped.data)
    cosines = {item["within"]: 0.25 for item in inputs.comparisons["transfer"]["comparisons"]}
    inputs.comparisons["transfer"]["forecast"] = {"cosines": cosines, "cells": 6, "rank_correlation": -0.5}
    found = section(grouped.params, inputs)
    assert found is not None
    assert all(cells[-1].text == "+0.25" for cells in found["groups"].rows())
    assert "Its rank correlation with the 6 measured gains is −0.50; the advice does not use it." in found["groups"].note


def test_two_tasks_are_a_pair_that_the_joint_run_shows(make_project: Callable[..., Any], tmp_path: Path) -> None:
    tasks = {"sentiment": {"type": "classification", "label": "sentiment"}, "intensity": {"type": "regression", "label": "intensity"}}
    project = make_project(tmp_path / "data", tasks=tasks, experiment=EXPERIMENT | {"seeds": [1]})
    found = section(project.params, load(project.params, project.data))
    assert found is not None
    assert found["groups"] is None
    assert [(cell["task"], cell["with"]) for cell in found["matrix"].chart["datasets"]["rows"]] == [
        ("sentiment", "intensity"),
        ("intensity", "sentiment"),
    ]


def test_without_groups_there_is_no_section(finished: Any) -> None:
    assert section(finished.params, load(finished.params, finished.data)) is None


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")
def test_the_page_shows_the_advice_and_nothing_overflows(grouped: Any, tmp_path: Path) -> None:
    render(grouped.params, grouped.data, tmp_path)
    with Chromium(tmp_path / "profile") as browser:
        for width in (1280, 400):
            browser.open((tmp_path / "report.html").as_uri(), width)
            assert browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
            assert browser.value("document.querySelector('#transfer #advice').innerText").endswith(".")
            assert "group_" not in browser.value("document.querySelector('#scores').innerText")
