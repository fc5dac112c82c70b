"""State files exist exactly where a result is valid."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mtl.config
from mtl.config import Params
from mtl.errors import PipelineError
from mtl.pipeline.stages import STAGES
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


def params(**changes: Any) -> Params:
    content = copy.deepcopy(CONTENT)
    for path, value in changes.items():
        *sections, key = path.split("__")
        node = content
        for section in sections:
            node = node[section]
        node[key] = value
    return mtl.config.parse(content)


def build_all(root: Path, settings: Params, content: Callable[[str, str], str] = lambda m, p: f"{m} {p}") -> list[str]:
    """What Snakemake does: all jobs whose state file is missing, in order; returns those that really built."""
    state = State(settings, root)
    state.sync()
    built = []
    for stage in STAGES:
        if state.marker(stage).exists():
            continue
        for job in state.jobs(stage):
            names = {"download": "all/file", "prepare": f"{job}.parquet", "train": "model.safetensors"}

            def produce(out: Path, stage: str = stage, job: str = job, name: str = names.get(stage, job)) -> None:
                (out / name).parent.mkdir(exist_ok=True)
                (out / name).write_text(content(stage, job))

            if not state.marker(stage, job).exists() and state.build(stage, job, produce):
                built.append(f"{stage} {job}")
        state.publish(stage)
    return built


def everything(settings: Params, root: Path) -> list[str]:
    state = State(settings, root)
    return [f"{stage} {job}" for stage in STAGES for job in state.jobs(stage)]


def test_a_second_build_does_nothing(tmp_path: Path) -> None:
    assert build_all(tmp_path, params()) == everything(params(), tmp_path)
    assert build_all(tmp_path, params()) == []
    assert all(State(params(), tmp_path).sync().values())


def test_an_edit_builds_what_it_touches_and_a_revert_builds_nothing(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    assert build_all(tmp_path, params(report__title="New")) == ["report all"]
    tuned = build_all(tmp_path, params(train__epochs=9), lambda m, p: f"{m} {p} tuned")
    assert [job.split()[0] for job in tuned] == ["train", "train", "predict", "predict", "evaluate", "report"]
    assert (tmp_path / "data/models/joint-plain-1/model.safetensors").read_text().endswith("tuned")
    assert build_all(tmp_path, params()) == []
    assert (tmp_path / "data/models/joint-plain-1/model.safetensors").read_text() == "train joint-plain-1"


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
    assert build_all(tmp_path, params()) == ["report all"]
    summary.unlink()
    assert build_all(tmp_path, params()) == []


def test_a_seed_more_trains_one_seed_more(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    built = build_all(tmp_path, params(experiment__seeds=[1, 2]))
    assert [job for job in built if job.startswith("train")] == ["train joint-augmented-2", "train joint-plain-2"]


def test_augmentation_leaves_plain_runs_alone(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    built = build_all(tmp_path, params(augment__methods__synonym={"type": "synonym", "rate": 0.5}), lambda m, p: f"{m} {p} other")
    assert [job for job in built if job.startswith("train")] == ["train joint-augmented-1"]


def test_equal_results_upstream_stop_the_chain(tmp_path: Path) -> None:
    """Another number of malformed rows allowed prepares anew; as the examples are the same, nothing below runs."""
    build_all(tmp_path, params())
    assert build_all(tmp_path, params(datasets__a__max_malformed=0.5)) == ["prepare a", "report all"]


def test_data_that_was_changed_behind_our_back_is_put_right(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    (tmp_path / "data/examples/a.parquet").unlink()
    (tmp_path / "data/examples/a.parquet").write_text("tampered")
    (tmp_path / "data/shards/stray").write_text("left over")
    state = State(params(), tmp_path)
    assert state.sync()["prepare"] is False
    assert build_all(tmp_path, params()) == []
    assert (tmp_path / "data/examples/a.parquet").read_text() == "prepare a"
    assert not (tmp_path / "data/shards/stray").exists()


def test_damage_to_the_store_and_the_published_file_is_rebuilt(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    (tmp_path / "data/models/joint-plain-1/model.safetensors").write_text("damaged in place: both are one file")
    assert build_all(tmp_path, params()) == ["train joint-plain-1"]


def test_pulled_data_without_a_store_is_valid_and_is_adopted(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    shutil.copytree(tmp_path / "data", tmp_path / "clone/data")
    assert all(State(params(), tmp_path / "clone").sync().values())
    built = build_all(tmp_path / "clone", params(experiment__seeds=[1, 2]))
    assert [job for job in built if job.startswith("train")] == ["train joint-augmented-2", "train joint-plain-2"]


def test_inside_a_dvc_stage_what_lies_upstream_is_taken_as_it_is(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    shutil.rmtree(tmp_path / "data/records")
    shutil.rmtree(tmp_path / "data/models")
    state = State(params(), tmp_path)
    valid = state.sync("train")
    assert valid["augment"]
    assert not valid["train"]
    assert state.marker("train", "joint-plain-1").exists()


def test_a_killed_build_leaves_nothing_that_counts(tmp_path: Path) -> None:
    settings = params()
    state = State(settings, tmp_path)
    state.sync()

    def die(out: Path) -> None:
        (out / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        state.build("download", "a", die)
    state.sync()
    assert not state.marker("download", "a").exists()
    seen = []
    state.build("download", "a", lambda out: seen.append(list(out.iterdir())) or (out / "whole").write_text("whole"))  # type: ignore[func-returns-value]
    assert seen == [[]]


def test_errors_name_the_choices(tmp_path: Path) -> None:
    state = State(params(), tmp_path)
    with pytest.raises(PipelineError, match=r"no job 'c'; choose from: a, b"):
        state.build("download", "c", lambda out: None)
    with pytest.raises(PipelineError, match="prepare reads download, which is not there"):
        state.build("prepare", "a", lambda out: None)
    with pytest.raises(PipelineError, match="job 'a' is not built"):
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
    raw = {path: path.read_bytes() for path in (state.data / "raw").rglob("*") if path.is_file()}

    def swap(out: Path) -> None:
        (out / "file").write_text("made of something else")
        for path in raw:
            path.unlink()
            path.write_bytes(b"other")

    def right(out: Path) -> None:
        (out / "file").write_text("right")

    with pytest.raises(PipelineError, match="is not what it was when the workflow looked, so a was not built"):
        state.build("prepare", "a", swap)
    with pytest.raises(PipelineError, match="is not what it was"):
        state.build("prepare", "a", right)
    for path, content in raw.items():
        path.write_bytes(content)
    assert state.build("prepare", "a", right)


def test_a_job_of_other_settings_that_ends_late_does_not_undo_a_job(tmp_path: Path) -> None:
    build_all(tmp_path, params())
    state = State(params(), tmp_path)
    state.sync()
    marker = state.marker("train", next(iter(state.jobs("train"))))
    marker.write_text('{"key": "of others", "files": {}}')
    state.publish("train")
    assert json.loads(marker.read_text())["key"] != "of others"


def test_a_job_that_was_killed_while_it_was_summed_up_goes_on(tmp_path: Path) -> None:
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
    state.build("download", "a", lambda out: (out / f"shard.missing-{program}").touch())
    state.sync()
    assert state.marker("download", "a").exists()
    install(tmp_path / "bin" / installed[0], installed[1])
    state.sync()
    assert not state.marker("download", "a").exists()


def test_a_mark_that_came_with_the_data_runs_no_program_of_its_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    install(tmp_path / "bin/other", f"echo mode; : > {tmp_path}/ran")
    state = State(params(), tmp_path)
    state.sync()
    state.build("download", "a", lambda out: (out / "shard.missing-other.mode").touch())
    state.sync()
    assert not (tmp_path / "ran").exists()
