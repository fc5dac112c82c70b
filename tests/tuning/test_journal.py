"""A damaged line of the study costs no other trial, wherever it stands."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from mtl.tuning.study import Study
from tuning.conftest import searched

DAMAGE = [b"\x00\xff{", b"[]", b"{}", b'{"op_code": 6}', b'{"op_code": "4"}', b"[" * 100_000]


def searched_through(journal: Path, method: str) -> list[float]:
    """A study of three ended trials; returns their scores."""
    params = searched(method=method, trials=3)
    for number in range(3):
        study = Study(params, journal, number)
        study.enqueue()
        trial, values = study.begin(number)
        for name, value in {"values": values, "tasks": {}, "score": number, "state": "complete", "seconds": 1}.items():
            trial.set_user_attr(name, value)
        study.optuna.tell(trial, float(number))
    return scores(journal, method)


def scores(journal: Path, method: str) -> list[float]:
    """The scores of the trials by number; -1 for one that is to run again."""
    trials = Study(searched(method=method, trials=3), journal).trials()
    return [trial.values[0] if trial.state == TrialState.COMPLETE else -1 for trial in trials]


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_any_damaged_line_costs_one_trial_at_most(method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = tmp_path / "whole.log"
    assert searched_through(whole, method) == [0, 1, 2]
    lines = whole.read_bytes().splitlines(keepends=True)
    for number in range(len(lines)):
        journal = tmp_path / f"{number}.log"
        journal.write_bytes(b"".join([*lines[:number], DAMAGE[number % len(DAMAGE)] + b"\n", *lines[number + 1 :]]))
        before = journal.read_bytes()
        left = scores(journal, method)
        assert len(left) == 3
        assert sum(score != number for number, score in enumerate(left)) <= 1, (number, lines[number], left)
        assert journal.with_name(f"{number}.log.damaged").read_bytes() == before
        assert f"{journal}: line {number + 1} damaged; other trials are kept" in caplog.text
        assert scores(journal, method) == left


def test_a_sound_study_is_left_as_it_is(tmp_path: Path) -> None:
    searched_through(tmp_path / "whole.log", "random")
    before = (tmp_path / "whole.log").read_bytes()
    Study(searched(trials=3), tmp_path / "whole.log")
    assert (tmp_path / "whole.log").read_bytes().startswith(before)
    assert not list(tmp_path.glob("*.damaged"))
