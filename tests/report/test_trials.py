"""Results of a search: the best first, whatever else the file holds."""

from typing import Any

import pytest

from mtl.report.trials import results


def trial(number: int, score: float | None, **more: Any) -> dict[str, Any]:
    return {"number": number, "params": {"train.learning_rate": 0.00012345, "train.epochs": 2}, "score": score, "state": "COMPLETE", **more}


@pytest.mark.parametrize("best", [1, {"number": 1, "score": 0.8}])
def test_the_best_trial_comes_first(best: Any) -> None:
    found = results({"trials": [trial(0, 0.7), trial(1, 0.8), trial(2, 0.9, state="PRUNED")], "best": best})
    assert found is not None
    frame = found["table"].frame
    assert list(frame["trial"]) == ["1 (best)", "0", "2"]
    assert [row[1].text for row in found["table"].rows()] == ["0.800", "0.700", "–"]
    assert list(frame["state"]) == ["complete", "complete", "pruned"]
    assert list(frame.columns[3:]) == ["train.learning_rate", "train.epochs"]
    assert [frame["train.learning_rate"][0], frame["train.epochs"][0]] == ["0.0001234", "2"]
    assert found["finding"] == "3 trials, 2 with a validation score; the best reached 0.800."


@pytest.mark.parametrize("summary", [{}, {"trials": []}, {"trials": [{"number": 1}], "best": 1}])
def test_nothing_is_said_of_no_search(summary: dict[str, Any]) -> None:
    assert results(summary) is None


def test_keys_may_be_absent() -> None:
    found = results({"trials": [{"params": {"a": None}}, {"params": {}, "score": 0.5}]})
    assert found is not None
    assert list(found["table"].frame["a"]) == ["–", "–"]
