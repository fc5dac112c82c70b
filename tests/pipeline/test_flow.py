"""What Snakemake sees when it starts."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtl.pipeline.flow import Flow, untracked_sections
from mtl.pipeline.stages import STAGES
from mtl.pipeline.state import State
from pipeline.test_state import CONTENT, build_all, params

EXECUTING = SimpleNamespace(
    executor_plugin=SimpleNamespace(common_settings=SimpleNamespace(dryrun_exec=False, touch_exec=False)),
    dag_settings=SimpleNamespace(forcerun=[], forceall=False, force_incomplete=False),
)


def test_a_start_with_nothing_to_do_looks_once_at_what_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(CONTENT))
    Path("dvc.yaml").touch()
    Path(".dvc").mkdir()
    build_all(Path(), params())
    first = Flow(params(), overridden=False, main=True)
    Path("work/handed_over.json").write_text(first._stamp(list(STAGES)))  # as after ``dvc commit``
    assert first._lock is not None
    first._lock.release()

    looks = []
    sync = State.sync
    monkeypatch.setattr(State, "sync", lambda self, stage=None: looks.append(stage) or sync(self, stage))  # type: ignore[func-returns-value]
    flow = Flow(params(), overridden=False, main=True, workflow=EXECUTING)
    assert flow.settle() == ""
    assert looks == [None]
    Path("params.yaml").write_text(json.dumps(CONTENT) + "\n")
    assert flow._stamp(list(STAGES)) != Path("work/handed_over.json").read_text()


@pytest.mark.parametrize(
    ("left_out", "words"),
    [
        ((), ""),
        (("evaluate", "report"), ""),  # DVC tracks all of the file for the stages that read these
        (("train",), "DVC was not told of the results: params.yaml lacks `train`, which DVC tracks by name; write `train: {}`"),
        (("augment", "experiment"), "lacks `augment`, `experiment`, which DVC tracks by name; write `augment: {}`, `experiment: {}`"),
    ],
)
def test_sections_that_dvc_tracks_are_named_where_they_are_left_out(left_out: tuple[str, ...], words: str) -> None:
    message = untracked_sections({section: value for section, value in CONTENT.items() if section not in left_out})
    assert message.endswith(words)
    assert bool(message) == bool(words)


def test_rules_get_state_files_whose_time_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build_all(Path(), params())
    Path("data/report/report.html").unlink()
    flow = Flow(params(), overridden=False, main=True)
    assert flow.inputs("card_run", "joint-plain-1") == [
        "work/state/train_run/joint-plain-1.json",
        "work/state/prepare_dataset/a.json",
        "work/state/prepare_dataset/b.json",
    ]
    assert flow.inputs("card_run", "no-such-run") == []
    assert all(path.flags["ancient"] for path in flow.inputs("card_run", "joint-plain-1") + flow.jobs("train"))  # type: ignore[attr-defined]
    assert flow.published("predict") == [
        "data/predictions/joint-augmented-1.parquet",
        "data/predictions/joint-plain-1.parquet",
        "data/records/predict.json",
    ]
    # The record of an outdated stage is there, so that Snakemake needs a reason to publish again.
    assert flow.after("predict") == ["work/state/prepare.json", "work/state/train.json"]
    assert flow.after("report")[-1] == "work/state/report.outdated"


def test_valid_stages_have_no_jobs_in_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build_all(Path(), params())
    assert [Flow(params(), overridden=False, main=True, workflow=EXECUTING).jobs(stage) for stage in STAGES] == [[]] * len(STAGES)
    Path("data/predictions/joint-plain-1.parquet").unlink()
    flow = Flow(params(), overridden=False, main=True, workflow=EXECUTING)
    assert flow.inputs("predict_run", "joint-plain-1") == []
    predictions = [f"work/state/predict_run/joint-{data}-1.json" for data in ("augmented", "plain")]
    assert flow.jobs("predict") == flow.inputs("evaluate_runs", "all") == predictions
