"""State files exist exactly where a result is valid."""

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mtl.config
import mtl.pipeline.state
from mtl.config import Params
from mtl.errors import PipelineError
from mtl.pipeline.fingerprint import fingerprint_code
from mtl.pipeline.stages import STAGES, Job
from mtl.pipeline.state import State

CONTENT: dict[str, Any] = {
    "seed": 1,
    "datasets": {
        name: {
            "source": {"url": f"{name}.csv", "sha256": "0" * 64},
            "reader": {"format": "csv"},
            "labels": {"mood": {"type": "class", "column": "mood"}},
            "split": {"train": 0.8, "test": 0.2},
        }
        for name in ("a", "b")
    },
    "tasks": {"mood": {"type": "classification", "label": "mood"}},
    "augment": {"shards": 2, "methods": {"synonym": {"type": "synonym"}}},
    "encoder": {"type": "fnn"},
    "train": {},
    "experiment": {"joint": ["augmented", "plain"]},
    "evaluate": {},
    "report": {},
}


CARDS = ["card_run/joint-augmented-1", "card_run/joint-plain-1"]


def params(**changes: Any) -> Params:
    content = copy.deepcopy(CONTENT)
    for path, value in changes.items():
        *sections, key = path.split("__")
        node = content
        for section in sections:
            node = node[section]
        node[key] = value
    return mtl.config.parse(content)


def build_all(root: Path, settings: Params, content: Callable[[str], str] = lambda job: job) -> list[str]:
    """What Snakemake does: all jobs whose state file is missing, in order; returns the ids of those that were really built."""
    state = State(settings, root)
    state.sync()
    built = []
    for stage in STAGES:
        if state.marker(stage).exists():
            continue
        for job in state.jobs_of(stage):

            def produce(data: Path, out: Path, job: Job = job) -> None:
                for file in job.files or ("all/file",):
                    (out / file).parent.mkdir(exist_ok=True)
                    (out / file).write_text(content(job.id))

            if not state.marker(job.id).exists() and state.build(job.rule, job.name, produce):
                built.append(job.id)
        state.publish(stage)
    return built


def everything(settings: Params, root: Path) -> list[str]:
    return list(State(settings, root).jobs)


def trained(built: list[str]) -> list[str]:
    return [job for job in built if job.startswith("train_run/")]


def test_a_second_build_does_nothing(tmp_path: Path) -> None:
    assert build_all(tmp_path, params()) == everything(params(), tmp_path)
    assert build_all(tmp_path, params()) == []
    assert all(State(params(), tmp_path).sync().values())


def test_an_edit_builds_what_it_touches_and_a_revert_builds_nothing(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    assert build_all(tmp_path, params(report__title="New")) == ["render_report/all"]
    tuned = build_all(tmp_path, params(train__epochs=9), lambda job: f"{job} tuned")
    assert [job.split("/")[0] for job in tuned] == [
        *["train_run"] * 2,
        *["predict_run"] * 2,
        *["card_run"] * 2,
        "evaluate_runs",
        "render_report",
    ]
    assert (tmp_path / "data/models/joint-plain-1/model.safetensors").read_text().endswith("tuned")
    assert build_all(tmp_path, params()) == []
    assert (tmp_path / "data/models/joint-plain-1/model.safetensors").read_text() == "train_run/joint-plain-1"


def test_a_job_knows_the_jobs_that_the_snakefile_knows(tmp_path: Path) -> None:
    """Settings go to jobs through a file, which must not change the order of tasks and datasets."""
    task = {"type": "classification", "label": "mood"}
    settings = params(tasks={"second": task, "first": task})
    build_all(tmp_path, settings)
    (tmp_path / "settings.json").write_text(mtl.config.dump(settings))
    assert all(State(mtl.config.load(tmp_path / "settings.json"), tmp_path).sync().values())


def test_a_search_is_taken_up_by_the_report(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    summary = tmp_path / "data/tune/summary.json"
    summary.parent.mkdir()
    summary.write_text("{}")
    assert build_all(tmp_path, params()) == ["render_report/all"]
    summary.unlink()
    assert build_all(tmp_path, params()) == []


def test_a_seed_more_trains_one_seed_more(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    built = build_all(tmp_path, params(experiment__seeds=[1, 2]))
    assert trained(built) == ["train_run/joint-augmented-2", "train_run/joint-plain-2"]


def test_augmentation_leaves_plain_runs_alone(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    built = build_all(tmp_path, params(augment__methods__synonym={"type": "synonym", "rate": 0.5}), lambda job: f"{job} other")
    assert trained(built) == ["train_run/joint-augmented-1"]


def test_without_methods_there_are_no_shards_but_their_folder(tmp_path: Path) -> None:
    settings = params(augment__methods={}, experiment={})
    assert not any(job.startswith("augment_shard/") for job in build_all(tmp_path, settings))
    assert list((tmp_path / "data/shards").iterdir()) == []
    assert build_all(tmp_path, settings) == []
    one = params(augment__methods={"synonym": {"type": "synonym", "datasets": ["a"]}})
    shards = [job for job in build_all(tmp_path, one) if job.startswith("augment_shard/")]
    assert shards == ["augment_shard/a-00000-of-00002", "augment_shard/a-00001-of-00002"]


def test_equal_results_upstream_stop_the_chain(tmp_path: Path) -> None:
    """Another number of malformed rows allowed prepares anew; as the examples are the same, nothing is trained."""
    build_all(tmp_path, params())
    assert build_all(tmp_path, params(datasets__a__max_malformed=0.5)) == ["prepare_dataset/a", "render_report/all"]


def test_data_that_was_changed_behind_our_back_is_put_right(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    (tmp_path / "data/examples/a.parquet").unlink()
    (tmp_path / "data/examples/a.parquet").write_text("tampered")
    (tmp_path / "data/shards/stray").write_text("left over")
    state = State(params(), tmp_path)
    assert state.sync()["prepare"] is False
    assert build_all(tmp_path, params()) == []
    assert (tmp_path / "data/examples/a.parquet").read_text() == "prepare_dataset/a"
    assert not (tmp_path / "data/shards/stray").exists()


def test_damage_to_the_store_and_the_published_file_is_rebuilt(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    (tmp_path / "data/models/joint-plain-1/model.safetensors").write_text("damaged in place: both are one file")
    assert build_all(tmp_path, params()) == ["train_run/joint-plain-1"]


@pytest.mark.parametrize("content", ["{", "[]", '{"files": 1}', '{"../../params.yaml": "0"}', '{"key": "0", "files": {"a": 1}}'])
def test_damaged_files_of_the_store_and_the_state_are_put_right(tmp_path: Path, content: str) -> None:
    build_all(tmp_path, params())
    for path in [*tmp_path.glob("work/store/*.json"), *tmp_path.glob("work/state/*/*.json"), *tmp_path.glob("work/checksums/*.json")]:
        path.write_text(content)
    assert build_all(tmp_path, params()) == []
    assert all(State(params(), tmp_path).sync().values())


def test_rot_behind_an_equal_time_is_found_by_verify_and_mended(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    model, state = tmp_path / "data/models/joint-plain-1/model.safetensors", State(params(), tmp_path)
    assert state.verify() == []
    status, content = model.stat(), model.read_bytes()
    model.write_bytes(content[:-1] + b"?")
    os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert all(State(params(), tmp_path).sync().values())
    (stored, published) = State(params(), tmp_path).verify()
    assert published == str(model)
    assert stored.startswith(str(state.store.folder))
    state = State(params(), tmp_path)
    state.sync()
    assert state.store.damaged == [stored]
    assert build_all(tmp_path, params()) == ["train_run/joint-plain-1"]
    assert model.read_bytes() == content


def test_pulled_data_without_a_store_is_valid_and_is_adopted(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    shutil.copytree(tmp_path / "data", tmp_path / "clone/data")
    assert all(State(params(), tmp_path / "clone").sync().values())
    built = build_all(tmp_path / "clone", params(experiment__seeds=[1, 2]))
    assert trained(built) == ["train_run/joint-augmented-2", "train_run/joint-plain-2"]


def test_inside_a_dvc_stage_what_lies_upstream_is_taken_as_it_is(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    shutil.rmtree(tmp_path / "data/records")
    shutil.rmtree(tmp_path / "data/models")
    state = State(params(), tmp_path)
    valid = state.sync("train")
    assert valid["augment"]
    assert not valid["train"]
    assert state.marker("train_run/joint-plain-1").exists()


def test_a_killed_build_leaves_nothing_that_counts(tmp_path: Path) -> None:
    settings = params()
    state = State(settings, tmp_path)
    state.sync()

    def die(data: Path, out: Path) -> None:
        (out / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        state.build("download_source", "a", die)
    state.sync()
    assert not state.marker("download_source/a").exists()
    seen = []
    state.build("download_source", "a", lambda data, out: seen.append(list(out.iterdir())) or (out / "whole").write_text("whole"))  # type: ignore[func-returns-value]
    assert seen == [[]]


def test_errors_name_the_choices(tmp_path: Path) -> None:
    state = State(params(), tmp_path)
    with pytest.raises(PipelineError, match=r"no job 'c'; choose from: a, b"):
        state.build("download_source", "c", lambda data, out: None)
    with pytest.raises(PipelineError, match=r"prepare_dataset/a reads download_source/a, which is not built; run: .* download"):
        state.build("prepare_dataset", "a", lambda data, out: None)
    with pytest.raises(PipelineError, match="download_source/a is not built"):
        state.publish("download")


def test_prune_keeps_what_is_in_use(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    build_all(tmp_path, params(report__title="New"))
    state = State(params(report__title="New"), tmp_path)
    state.sync()
    assert state.prune() == 1
    assert build_all(tmp_path, params(report__title="New")) == []


def test_prune_does_away_with_what_a_kill_left_and_nothing_else(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    state = State(params(), tmp_path)
    state.sync()
    (state.store.folder / ".0123.json.77.tmp").write_text("{")
    kept = sorted(path.name for path in state.store.folder.iterdir() if not path.name.startswith("."))
    assert state.prune() == 0
    assert sorted(path.name for path in state.store.folder.iterdir()) == kept


def test_a_job_whose_inputs_changed_while_it_was_built_is_refused(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    state = State(params(report__title="New", seed=7), tmp_path)
    state.sync()
    raw = {path: path.read_bytes() for path in state.store.folder.glob("*/all/file")}

    def swap(data: Path, out: Path) -> None:
        (out / "file").write_text("made of something else")
        for path in raw:
            path.unlink()
            path.write_bytes(b"other")

    def right(data: Path, out: Path) -> None:
        (out / "file").write_text("right")

    with pytest.raises(PipelineError, match="data/raw/a/all/file is not what it was when the workflow looked, so prepare_dataset/a"):
        state.build("prepare_dataset", "a", swap)
    with pytest.raises(PipelineError, match="is not what it was"):
        state.build("prepare_dataset", "a", right)
    for path, content in raw.items():
        path.write_bytes(content)
    assert state.build("prepare_dataset", "a", right)


def test_a_job_of_other_settings_that_ends_late_does_not_undo_a_job(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    state = State(params(), tmp_path)
    state.sync()
    marker = state.marker(state.jobs_of("train")[0].id)
    marker.write_text('{"key": "of others", "files": {}}')
    state.publish("train")
    assert json.loads(marker.read_text())["key"] != "of others"


def test_a_job_that_was_killed_while_its_checksums_were_taken_goes_on(tmp_path: Path) -> None:
    store = State(params(), tmp_path).store
    (store.begin("key", resume=True) / "model").write_text("whole")
    store.finish("key")
    (store.folder / "key.json").unlink()
    assert (store.begin("key", resume=True) / "model").read_text() == "whole"
    assert not list(store.begin("key", resume=False).iterdir())


def install(script: Path, content: str = "") -> None:
    script.parent.mkdir(exist_ok=True)
    script.write_text(f"#!/bin/sh\n{content}\n")
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("program", "lacking", "installed"),
    [
        ("translator", None, ("translator", "")),
        ("apertium.eo-en", None, ("apertium", "echo '  en-eo'; echo '  eo-en'")),
        ("apertium.eo-en", ("apertium", "echo '  en-eo'"), ("apertium", "echo '  en-eo'; echo '  eo-en'")),
    ],
    ids=["a program", "a program with a mode", "a mode of a program"],
)
def test_a_job_made_without_a_program_is_made_again_once_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, lacking: tuple[str, str] | None, installed: tuple[str, str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    if lacking:
        install(tmp_path / "bin" / lacking[0], lacking[1])
    state = State(params(), tmp_path)
    state.sync()
    state.build("download_source", "a", lambda data, out: (out / f"shard.missing-{program}").touch())
    state.sync()
    assert state.marker("download_source/a").exists()
    install(tmp_path / "bin" / installed[0], installed[1])
    state.sync()
    assert not state.marker("download_source/a").exists()


def test_a_mark_that_came_with_the_data_runs_no_program_of_its_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    install(tmp_path / "bin/other", f"echo mode; : > {tmp_path}/ran")
    state = State(params(), tmp_path)
    state.sync()
    state.build("download_source", "a", lambda data, out: (out / "shard.missing-other.mode").touch())
    state.sync()
    assert not (tmp_path / "ran").exists()


def reworded(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """As if a module had been edited."""
    monkeypatch.setattr("mtl.pipeline.state.fingerprint_code", lambda names, _: fingerprint_code(names) + "edited" * (module in names))


def test_a_reworded_card_builds_cards_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_all(tmp_path, params())
    reworded(monkeypatch, "model/card.py")
    assert build_all(tmp_path, params(), lambda job: f"{job} reworded") == CARDS
    folder = tmp_path / "data/models/joint-plain-1"
    assert (folder / "README.md").read_text() == "card_run/joint-plain-1 reworded"
    assert (folder / "model.safetensors").read_text() == "train_run/joint-plain-1"


def test_a_job_sees_what_it_reads_and_nothing_else(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    shutil.rmtree(tmp_path / "data/models")  # it reads the store, whatever is done to the published files
    state = State(params(evaluate__resamples=700), tmp_path)
    state.sync()
    seen = []

    def produce(data: Path, out: Path) -> None:
        seen.extend(path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file())
        (out / "metrics.json").write_text("{}")
        raise PipelineError(f"{data}/models/x: not good")

    with pytest.raises(PipelineError, match=f"^{tmp_path}/data/models/x: not good$"):
        state.build("evaluate_runs", "all", produce)
    runs = [f"joint-{data}-1" for data in ("augmented", "plain")]
    assert sorted(seen) == sorted(
        [f"predictions/{run}.parquet" for run in runs] + [f"models/{run}/{file}" for run in runs for file in ("history.jsonl", "run.json")]
    )
    assert not list((tmp_path / "work/inputs").iterdir())


def test_time_that_training_took_is_shown_and_rebuilds_nothing(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    for folder in ("work", "data/models", "data/report"):
        shutil.rmtree(tmp_path / folder)
    (tmp_path / "data/records/report.json").unlink()
    state = State(params(), tmp_path)
    state.sync()
    shown = []

    def produce(data: Path, out: Path) -> None:
        for file in job.files:
            (out / file).write_text("slower this time" if file == "cost.json" else job.id)
        shown.extend(path.read_text() for path in data.glob("models/*/cost.json"))

    for stage in STAGES:
        if not state.marker(stage).exists():
            for job in state.jobs_of(stage):
                assert state.build(job.rule, job.name, produce) == (job.rule in ("train_run", "card_run", "render_report"))
            state.publish(stage)
    assert shown == ["slower this time"] * 2


def test_runs_that_are_forgotten_are_trained_again_though_their_files_lie_there(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    State(params(), tmp_path).forget(["joint-plain-1"])
    assert build_all(tmp_path, params()) == ["train_run/joint-plain-1"]
    assert build_all(tmp_path, params()) == []


def test_a_run_waits_for_what_it_reads() -> None:
    jobs = State(params(experiment__joint=["augmented", "plain"])).jobs
    rules = {name: {before.split("/")[0] for before in job.after} for name, job in jobs.items()}
    assert rules["train_run/joint-plain-1"] == {"prepare_dataset", "check_examples"}
    assert rules["train_run/joint-augmented-1"] == {"prepare_dataset", "check_examples", "augment_shard"}
    for rule in ("card_run", "predict_run"):
        assert [before for before in jobs[f"{rule}/joint-plain-1"].after if before.startswith("train_run")] == ["train_run/joint-plain-1"]


@pytest.mark.parametrize(
    "content",
    [
        {"key": 1, "parts": []},
        {"key": "0" * 32, "parts": {"a": {"key": "0" * 32, "files": {}}}},
        {"key": "0", "jobs": ["a"]},
        {"key": "0", "jobs": {"prepare_dataset/a": {"key": 5, "files": {}}}},
        {"key": "0", "jobs": {"prepare_dataset/a": {"key": "../..", "files": {}}}},
        {"key": "0", "jobs": {"prepare_dataset/a": {"key": "0", "files": {"examples/a.parquet": 1}}}},
        {"key": "0", "jobs": {"prepare_dataset/a": {"key": "0", "files": {"examples/../../a": "0"}}}},
        [],
        "[" * 100_000,
    ],
)
def test_the_record_of_an_earlier_version_is_named_and_its_stage_built_again(tmp_path: Path, content: Any) -> None:
    build_all(tmp_path, params())
    shutil.rmtree(tmp_path / "work")
    (tmp_path / "data/records/prepare.json").write_text(content if isinstance(content, str) else json.dumps(content))
    (tmp_path / "work/state/prepare").mkdir(parents=True)
    (tmp_path / "work/state/prepare/a.json").write_text('{"key": "0", "files": {}}')
    state = State(params(), tmp_path)
    assert state.earlier_records() == [tmp_path / "data/records/prepare.json"]
    kept = state.set_aside(tmp_path / "data/records/prepare.json").read_bytes()
    assert not state.sync()["prepare"]
    (tmp_path / "data/records/prepare.json").unlink()  # Snakemake does so before it runs a rule
    assert build_all(tmp_path, params()) == ["prepare_dataset/a", "prepare_dataset/b", "check_examples/all"]
    assert state.earlier_records() == []
    assert (tmp_path / "work/set_aside/prepare.json").read_bytes() == kept
    assert not (tmp_path / "work/state/prepare/a.json").exists()


def calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """The calls of functions of the module from now on."""
    made: list[str] = []
    for name in names:
        inner = getattr(mtl.pipeline.state, name)
        monkeypatch.setattr(mtl.pipeline.state, name, lambda *given, name=name, inner=inner: made.append(name) or inner(*given))
    return made


def test_the_work_grows_with_the_runs_and_that_of_one_job_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_start, of_job = [], []
    for number in (2, 4, 8):
        root, settings = tmp_path / str(number), params(experiment__seeds=list(range(number)))
        build_all(root, settings)
        with monkeypatch.context() as patch:
            made = calls(patch, "read_mapping", "fnmatchcase", "link", "write_json", "fingerprint", "fingerprint_code")
            State(settings, root).sync()
            of_start.append(len(made))
            made.clear()
            state = State(settings, root)
            assert not state.build("predict_run", "joint-plain-1", lambda data, out: None)
            of_job.append(len(made))
            assert "jobs" not in vars(state)
    assert of_job[0] == of_job[1] == of_job[2]
    assert of_start[2] - of_start[1] == 2 * (of_start[1] - of_start[0])
