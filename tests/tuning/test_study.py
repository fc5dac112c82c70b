"""The study on disk: what is in it in advance, and what a kill does to it."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from mtl.config import Params, space
from mtl.pipeline.search import Search
from mtl.tuning.study import Study
from tuning.conftest import searched


def tried(params: Params, journal: Path, numbers: list[int]) -> dict[int, space.Values]:
    """The values of trials that begin in this order, each opened as by a process of its own."""
    result = {}
    for number in numbers:
        study = Study(params, journal, number)
        study.enqueue()
        result[number] = study.begin(number)[1]
    return result


@pytest.mark.parametrize("method", ["random", "grid"])
def test_values_do_not_depend_on_the_order_in_which_trials_begin(method: str, tmp_path: Path) -> None:
    grid = {"train.learning_rate": [1e-3, 2e-3], "augment.share": {"low": 0.0, "high": 0.5, "step": 0.25}}
    params = searched(method=method) if method == "random" else searched(method=method, trials=None, space=grid)
    forwards = tried(params, tmp_path / "a.log", [0, 1, 2, 3])
    assert forwards == tried(params, tmp_path / "b.log", [3, 0, 2, 1])
    assert len({str(values) for values in forwards.values()}) == 4
    assert forwards[0] == space.present(params)


def test_random_trials_do_not_depend_on_the_results_of_others(tmp_path: Path) -> None:
    params = searched(trials=14)
    known = Study(params, tmp_path / "a.log")
    known.enqueue()
    for number in range(12):
        known.optuna.tell(known.begin(number)[0], float(number == 5))
    assert tried(params, tmp_path / "a.log", [13]) == tried(params, tmp_path / "b.log", [13])


def test_a_trial_that_began_keeps_its_values(tmp_path: Path) -> None:
    params = searched(method="tpe")
    first = tried(params, tmp_path / "a.log", [0, 1])
    assert tried(params, tmp_path / "a.log", [1]) == {1: first[1]}


def test_more_trials_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    few = tried(searched(trials=2), tmp_path / "a.log", [0, 1])
    more = tried(searched(trials=4), tmp_path / "a.log", [3, 1])
    assert more[1] == few[1]
    assert [trial.state for trial in Study(searched(trials=4), tmp_path / "a.log").trials()] == [
        TrialState.RUNNING,
        TrialState.RUNNING,
        TrialState.WAITING,
        TrialState.RUNNING,
    ]


def test_choices_may_be_mappings_and_the_present_settings_may_lie_outside(tmp_path: Path) -> None:
    cnn = {"type": "cnn", "width": 16, "vocabulary": 300}
    params = searched(space={"encoder": [cnn, {"type": "rnn"}], "train.epochs": {"low": 2, "high": 3}})
    result = tried(params, tmp_path / "a.log", [0, 1])
    assert result[0] == {"encoder": params.encoder.model_dump(), "train.epochs": 1.0}
    assert result[1]["encoder"] in (cnn, {"type": "rnn"})
    assert 2 <= result[1]["train.epochs"] <= 3
    assert Study(params, tmp_path / "a.log").trials()[0].params == {}


def test_a_line_that_a_kill_left_half_written_is_cut_off(tmp_path: Path) -> None:
    journal = tmp_path / "a.log"
    values = tried(searched(), journal, [0, 1])
    with journal.open("ab") as file:
        file.write(b'{"op_code": 6, "wor')
    assert tried(searched(), journal, [2, 1])[1] == values[1]
    assert b'"wor{' not in journal.read_bytes()
    assert len(Study(searched(), journal).trials()) == 4


@pytest.mark.parametrize(("section", "content"), [("promote", {"margin": 0.02}), ("audit", {"folds": 3}), ("report", {"title": "Other"})])
def test_sections_that_train_nothing_leave_the_search_as_it_is(section: str, content: dict[str, object]) -> None:
    params = searched()
    changed = Params.model_validate(params.model_dump(mode="json") | {section: content})
    assert Search(changed).study == Search(params).study
