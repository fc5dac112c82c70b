"""The error browser: in what order wrong predictions are listed, and how many."""

import re
from typing import Any

import pytest

from mtl import plugins
from mtl.report import errors
from mtl.report.errors import browser
from mtl.report.inputs import load
from mtl.tasks.base import TaskType


def test_the_most_confident_come_first_and_their_number_is_said(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "SHOWN", 3)
    found = browser(finished.params, load(finished.params, finished.data))
    groups = {(group["task"], group["model"]): group for group in found["groups"]}
    assert set(groups) == {(task, model) for task in finished.params.tasks for model in ("joint", "single")}
    confidences = [row["order"] for row in groups["sentiment", "joint"]["rows"]]
    assert confidences == sorted(confidences, reverse=True)
    assert re.fullmatch(r"\d+ of 80 rows wrong; listed: the 3 most confident", groups["sentiment", "joint"]["told"])
    assert groups["intensity", "single"]["told"] == "the 3 of 80 rows with the largest errors"


def test_a_task_with_mistakes_comes_into_view_first(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = list(finished.params.tasks)
    assert browser(finished.params, load(finished.params, finished.data))["first"] == tasks[0]
    first: type[TaskType] = plugins.implementation_of(finished.params.tasks[tasks[0]])
    judge = first.judge
    monkeypatch.setattr(first, "judge", staticmethod(lambda rows: lambda row: judge(rows)(row)._replace(severity=0)))
    found = browser(finished.params, load(finished.params, finished.data))
    assert found["first"] == next(task for task in tasks if finished.params.tasks[task].type != first.name)


def test_what_the_other_model_says_stands_beside(finished: Any) -> None:
    found = browser(finished.params, load(finished.params, finished.data))
    joint = next(group for group in found["groups"] if (group["task"], group["model"]) == ("sentiment", "joint"))
    assert {row["other"] for row in joint["rows"]} == {"right", "positive", "negative"}
    assert all(row["better"] == (row["other"] == "right") for row in joint["rows"])
    assert ("positive", '["sentiment"]') in found["gold"]
