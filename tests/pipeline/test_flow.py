"""What Snakemake sees when it starts."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.cli import parse_config
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import ConfigSettings

from mtl.pipeline.flow import Flow, uncommitted, untracked_sections
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
        "work/state/predict_run/joint-plain-1.json",
        "work/state/prepare_dataset/a.json",
        "work/state/prepare_dataset/b.json",
        "work/state/check_examples/all.json",
    ]
    assert flow.inputs("card_run", "no-such-run") == []
    assert all(path.flags["ancient"] for path in flow.inputs("card_run", "joint-plain-1") + flow.jobs("train"))  # type: ignore[attr-defined]
    assert [path for path in flow.published("train") if "/models/" not in path] == [
        "data/predictions/joint-augmented-1.parquet",
        "data/predictions/joint-plain-1.parquet",
        "data/records/train.json",
    ]
    # The record of an outdated stage is there, so that Snakemake needs a reason to publish again.
    assert flow.after("evaluate") == ["work/state/train.json"]
    assert flow.after("report")[-1] == "work/state/report.outdated"


def test_a_read_only_data_folder_is_named_before_a_job_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snakemake.exceptions import WorkflowError

    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "data"], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    try:
        flow = Flow(params(), overridden=False, main=True)
        flow.start()
        subprocess.run(["mount", "-o", "remount,ro", "data"], check=True)
        with pytest.raises(WorkflowError, match="data: cannot be written to"):
            flow.start()
    finally:
        subprocess.run(["umount", "data"], check=True)


METHOD = "augment={methods: {typo: {type: nlpaug, augmenter: KeyboardAug, options: {include_special_char: False, min_char: 4}}}}"


def opened(*options: str, files: Sequence[Path] = ()) -> Flow:
    """As Snakemake starts it, in the main process and in each job: it passes the words of ``--config`` on as they were given."""
    settings = ConfigSettings(config=parse_config(options), configfiles=files, config_args=list(options))
    return Flow.open(SimpleNamespace(config_settings=settings, is_main_process=False))


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        (METHOD, ("augment", "methods", "typo", "options"), {"include_special_char": False, "min_char": 4}),
        ("experiment={sizes: [20, all]}", ("experiment", "sizes"), [20, "all"]),
        ("train={micro_batch_tokens: null}", ("train", "micro_batch_tokens"), None),
        ("train={learning_rate: 1e-5}", ("train", "learning_rate"), 1e-05),
        ("seed=010", ("seed",), 10),
        ("report={title: yes}", ("report", "title"), "yes"),
        ("report={title: '20'}", ("report", "title"), "20"),
        ("report=", ("report", "samples"), 5),
    ],
)
def test_values_of_the_command_line_are_read_as_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, path: tuple[str, ...], value: object
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(CONTENT | {"train": CONTENT["train"] | {"micro_batch_tokens": 64}}))
    node = opened(option).params.model_dump(mode="json")
    for key in path:
        node = node[key]
    assert node == value
    assert type(node) is type(value)


def test_files_and_options_are_merged_in_the_order_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(json.dumps(CONTENT))
    Path("b.yaml").write_text("seed: 7\ntrain: {warmup: 1e-2}\n")
    flow = opened("train={epochs: 2}", "train={patience: 3}", files=[Path("a.json"), Path("b.yaml")])
    assert (flow.params.seed, flow.params.train.warmup, flow.params.train.epochs, flow.params.train.patience) == (7, 0.01, 2, 3)


def test_a_wrong_option_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(CONTENT))
    with pytest.raises(WorkflowError, match="--config: 1 issue\n  train: cannot be read as YAML"):
        opened("train={epochs: 1")
    with pytest.raises(WorkflowError, match=r"params.yaml \+ --config: 1 issue\n  train.epochs: should be a valid number"):
        opened("train={epochs: many}")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--config", "seed=1", "--cores", "2", "-C", "seed=2"], "--config"),
        (["--configfile=a.yaml", "--configfiles", "b.yaml"], "--configfile"),
        (["--configfile", "a.yaml", "b.yaml", "--config", "seed=1", "train={epochs: 1}"], None),
    ],
)
def test_an_option_that_snakemake_would_drop_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], option: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(CONTENT))
    monkeypatch.setattr("sys.argv", ["snakemake", *words])
    if option is None:
        assert opened().params.seed == 1
    else:
        with pytest.raises(WorkflowError, match=f"{option} is given twice"):
            opened()


def test_files_that_are_to_be_committed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = (Path("params.yaml"), Path("dvc.lock"))
    assert uncommitted(*files) == []
    subprocess.run(["git", "init", "-q"], check=True)
    Path("params.yaml").touch()
    Path("other").touch()
    assert uncommitted(*files) == ["params.yaml"]
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "add", "-A"], check=True)
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "first"], check=True)
    assert uncommitted(*files) == []
    monkeypatch.setenv("PATH", "")
    assert uncommitted(*files) == []


def test_valid_stages_have_no_jobs_in_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build_all(Path(), params())
    assert [Flow(params(), overridden=False, main=True, workflow=EXECUTING).jobs(stage) for stage in STAGES] == [[]] * len(STAGES)
    Path("data/predictions/joint-plain-1.parquet").unlink()
    flow = Flow(params(), overridden=False, main=True, workflow=EXECUTING)
    assert flow.inputs("predict_run", "joint-plain-1") == ["work/state/train_run/joint-plain-1.json"]
    predictions = [f"work/state/predict_run/joint-{data}-1.json" for data in ("augmented", "plain")]
    assert set(predictions) < set(flow.jobs("train"))
    assert set(predictions) < set(flow.inputs("evaluate_runs", "all"))
