"""The space of a search: what may be searched, and which values a grid has."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import mtl.config
from mtl.config import Params, space
from mtl.pipeline.stages import STAGES

ROOT = Path(__file__).parents[2]
CONTENT = mtl.config.read_yaml(ROOT / "examples/tweets/params.yaml")


def params(tune: dict[str, Any], **sections: Any) -> Params:
    return mtl.config.parse(copy.deepcopy(CONTENT) | sections | {"tune": tune})


def test_the_search_bears_on_no_stage() -> None:
    searched, plain = params({"space": {"train.epochs": [1, 2]}}), mtl.config.parse(CONTENT)
    for stage in STAGES.values():
        assert "tune" not in stage.sections
        assert list(stage.jobs(searched)) == list(stage.jobs(plain))


@pytest.mark.parametrize("file", ["params.yaml", "docs/how-to/search-settings.md"])
def test_the_spaces_that_are_shown_are_valid(file: str) -> None:
    text, default = (ROOT / file).read_text(), file == "params.yaml"
    (section,) = re.findall(r"^tune:\n(?: .*\n)+", re.sub(r"^# ?", "", text, flags=re.MULTILINE) if default else text, flags=re.MULTILINE)
    base = mtl.config.read_yaml(ROOT / file) if default else {}
    settings = params(YAML(typ="safe").load(section)["tune"], **base)
    assert space.issues(settings) == []
    assert space.count(settings) == 20


@pytest.mark.parametrize(
    ("path", "axis", "message"),
    [
        ("train.lr", {"low": 0.1, "high": 0.2}, "'lr' is not a param of train; choose from: epochs, batch_tokens"),
        ("tasks.mood.weight", {"low": 1, "high": 2}, "'mood' is not a param of tasks; choose from: entities, sentiment, intensity"),
        ("train.learning_rate.x", [1, 2], "'x' is not a param of train.learning_rate, which holds no params"),
        ("train.learning_rate", {"low": 0, "high": 0.1}, "greater than 0, not 0"),
        ("train.warmup", {"low": 0.1, "high": 2}, "less than or equal to 1"),
        ("train.batch_tokens", [512, 7.5], "valid integer"),
        ("train.balancing", ["static", "uncertain"], "'uncertain' is unknown"),
        ("train.balancing", ["static", "static"], "has a choice twice"),
        ("encoder.type", ["transformer", "cnn"], "'cnn' makes an issue at encoder.source: unknown key"),
        ("train.learning_rate", {"low": 0.1, "high": 0.2, "points": 3}, "is for a grid"),
        ("datasets.tweets_entities.split.train", [0.5, 0.7], "cannot be searched; choose params of augment, encoder, train"),
        ("report.samples", [1, 2], "cannot be searched"),
        ("train.score", ["mean", "entities"], "cannot be searched"),
        ("train.score_window", [1, 3], "cannot be searched"),
        ("tasks.entities.datasets", [["tweets_entities"], ["tweets_sentiment"]], "cannot be searched"),
    ],
)
def test_a_path_or_value_that_cannot_be_is_a_issue_before_any_trial(path: str, axis: Any, message: str) -> None:
    (issue, *_) = space.issues(params({"space": {path: axis}}))
    assert issue.key.startswith(f"tune.space.{path}")
    assert message in issue.message


def test_issues_of_the_section_as_a_whole() -> None:
    rate = {"train.learning_rate": {"low": 0.1, "high": 0.2, "log": True, "points": 2}}
    assert space.issues(params({"method": "grid", "space": rate})) == []
    assert [issue.key for issue in space.issues(params({"method": "grid", "trials": 5, "space": rate}))] == ["tune.trials"]
    (issue,) = space.issues(params({"method": "grid", "space": {"train.epochs": {"low": 1, "high": 2}}}))
    assert "a grid needs points or step" in issue.message
    large = {f"train.{name}": {"low": 0.1, "high": 0.2, "points": 101} for name in ("warmup", "epochs")}
    assert [issue.key for issue in space.issues(params({"method": "grid", "space": large}))] == ["tune.space"]
    for endless in ({"step": 1e-320}, {"step": 1e-9}, {"points": 300_000_000}):
        (issue,) = space.issues(params({"method": "grid", "space": {"train.warmup": {"low": 0.1, "high": 1, **endless}}}))
        assert "points, more than" in issue.message
    (issue,) = space.issues(params({"space": {"encoder": [1, 2], "encoder.dropout": [0.1, 0.2]}}))[1:]
    assert (issue.key, "lies within encoder" in issue.message) == ("tune.space.encoder.dropout", True)
    plain = params({"space": {"augment.share": [0.2, 0.4]}}, experiment={"joint": ["plain"], "single_task": []})
    assert "no augmented run" in space.issues(plain)[0].message


def test_a_task_that_no_trial_can_be_judged_by_is_a_issue() -> None:
    datasets = copy.deepcopy(CONTENT["datasets"])
    datasets["tweets_entities"]["split"] = {"train": 0.8, "test": 0.2}
    found = space.issues(params({"space": {"train.epochs": [1, 2]}}, datasets=datasets))
    assert [issue.key for issue in found] == ["tasks.entities"]


def test_without_the_section_there_are_no_issues() -> None:
    assert space.issues(mtl.config.parse(CONTENT)) == []


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ({"low": 1e-4, "high": 1e-2, "log": True, "points": 3}, [1e-4, 1e-3, 1e-2]),
        ({"low": 0.1, "high": 0.4, "points": 4}, [0.1, 0.2, 0.3, 0.4]),
        ({"low": 0.1, "high": 0.45, "step": 0.1}, [0.1, 0.2, pytest.approx(0.3), 0.4]),
        ([0.2, 0.1], [0.2, 0.1]),
    ],
)
def test_values_of_a_grid(axis: Any, values: list[float]) -> None:
    settings = params({"method": "grid", "space": {"train.learning_rate": axis}})
    assert [point["train.learning_rate"] for point in space.points(settings)] == values
    assert space.count(settings) == len(values) + 1


def test_a_grid_leaves_out_the_settings_as_they_stand() -> None:
    grid = {"train.batch_tokens": {"low": 512, "high": 1024, "step": 256}, "train.schedule": ["linear", "cosine"]}
    points = list(space.points(params({"method": "grid", "space": grid})))
    assert len(points) == 5
    assert {"train.batch_tokens": 768, "train.schedule": "linear"} not in points
    assert points[0] == {"train.batch_tokens": 512, "train.schedule": "linear"}


def test_whole_numbers_where_the_param_takes_no_others() -> None:
    settings = params({"space": {"tasks.entities.weight": {"low": 1, "high": 4}, "augment.methods.synonym.copies": {"low": 1, "high": 4}}})
    assert not space.whole(settings, "tasks.entities.weight")
    assert space.whole(settings, "augment.methods.synonym.copies")


def test_a_candidate_has_the_values_and_all_else_as_it_was() -> None:
    small = {"type": "cnn", "width": 32}
    settings = params({"space": {"encoder": [small, {"type": "rnn"}], "augment.share": [0.1, 0.5]}})
    found = space.candidate(settings, {"encoder": small, "augment.share": 0.1})
    assert (found.encoder.type, found.augment.share, found.train) == ("cnn", 0.1, settings.train)
    assert space.present(found) == {"encoder": small, "augment.share": 0.1}
    assert space.contains(found, "encoder", small)
    assert not space.contains(settings, "encoder", space.present(settings)["encoder"])
