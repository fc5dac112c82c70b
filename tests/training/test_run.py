"""A run as a whole: what it leaves behind, and that neither kills nor repeats change a bit of it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file

from mtl.config import Encoder, Params, Run
from mtl.data import schema
from mtl.errors import DataError, TrainingError
from mtl.model import folder as models
from mtl.model.device import Precision
from mtl.tasks.base import Prediction
from mtl.tasks.regression import Regression
from mtl.training import feed, optimizers
from mtl.training.feed import StepBatches
from mtl.training.gradients import StepResult
from mtl.training.loop import Loop
from mtl.training.prepare import prepare
from mtl.training.resume import identity
from mtl.training.run import Preempted, train
from mtl.training.serving import TEXTS
from mtl.training.splits import read_splits
from mtl.training.validation import constant_prediction

Maker = Callable[[str], Path]
Settings = Callable[..., Params]


def run(params: Params, name: str, project: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Train a run by its name; its facts."""
    train(params, params.runs()[name], project / "examples", project / "shards", None, out, **options)
    facts: dict[str, Any] = json.loads((out / "run.json").read_text())
    return facts


def history(out: Path, kind: str) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def timeless(out: Path) -> list[dict[str, Any]]:
    """History without the times."""
    return [
        {k: v for k, v in record.items() if k != "tokens_per_second"} for kind in ("train", "validation") for record in history(out, kind)
    ]


@pytest.fixture(scope="module")
def finished(project: Path, make_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a joint run that nothing disturbed."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("finished")
    run(make_settings(), "joint-augmented-1", project, out)
    return out


def test_the_folder_holds_the_model_and_its_record(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == [
        "config.json",
        "cost.json",
        "history.jsonl",
        "model.safetensors",
        "run.json",
        "tokenizer.json",
    ]
    weights = load_file(finished / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"encoder", "heads"}
    assert {name.split(".")[1] for name in weights if name.startswith("heads")} == {"names", "mood", "rating"}
    config = json.loads((finished / "config.json").read_text())
    assert (config["format"], config["max_length"], config["encoder"]["type"]) == (models.FORMAT, 32, "fnn")
    assert (config["tasks"]["mood"]["type"], config["tasks"]["mood"]["label"]) == ("classification", "mood")
    assert config["tasks"]["mood"]["state"]["classes"] == ["bad", "good"]


def test_run_json_records_what_was_done(finished: Path) -> None:
    facts = json.loads((finished / "run.json").read_text())
    assert (facts["run"], facts["model"], facts["data"], facts["seed"]) == ("joint-augmented-1", "joint", "augmented", 1)
    assert facts["rows"] == {"reviews": 80, "places": 40}
    assert facts["epochs"] == {"reviews": pytest.approx(2, abs=0.1), "places": pytest.approx(2, abs=0.1)}
    assert (facts["precision"], facts["threads"], facts["stopped"]) == ("fp32", 1, "end")
    assert (facts["stopped_tasks"], facts["skipped"]) == ({}, 0)
    assert 0 < facts["best_step"] <= facts["steps"]
    assert 0 <= facts["padding_share"] < 0.3
    assert facts["parameters"] == sum(tensor.numel() for tensor in load_file(finished / "model.safetensors").values())
    assert facts["warnings"] == []
    assert {"tokens", "device", "versions", "tasks"} <= facts.keys()


def test_time_and_memory_stand_apart(finished: Path, project: Path, make_settings: Settings, empty: Maker) -> None:
    cost = json.loads((finished / "cost.json").read_text())
    assert cost["spent"].keys() == {"plain"}  # the first step, which was the only other one, is left out
    assert cost["balance_cost"] == 1.0
    assert {"seconds", "tokens_per_second", "peak_memory_bytes"} <= cost.keys()
    serving = cost["serving"]
    assert serving["disk_bytes"] == sum((finished / name).stat().st_size for name in ("model.safetensors", "config.json", "tokenizer.json"))
    assert serving["weight_bytes"] == 4 * json.loads((finished / "run.json").read_text())["parameters"]
    assert serving["texts"] == TEXTS
    assert 0 < serving["cpu_ms_per_text"] < 100
    assert [step for step, _ in cost["throughput"]] == [record["step"] for record in history(finished, "train")]
    run(make_settings(), "joint-augmented-1", project, again := empty("again"))
    equal = [path.name for path in finished.iterdir() if path.read_bytes() == (again / path.name).read_bytes()]
    assert sorted(equal) == ["config.json", "history.jsonl", "model.safetensors", "run.json", "tokenizer.json"]


def test_history_has_losses_weights_norms_and_scores(finished: Path) -> None:
    steps, validations = history(finished, "train"), history(finished, "validation")
    for field in ("loss", "weight", "gradient_norm"):
        assert steps[-1][field].keys() == {"names", "mood", "rating"}
    assert steps[-1]["cosine"].keys() == {"mood|names", "mood|rating", "names|rating"}
    assert all(-1 <= cosine <= 1 for cosine in steps[-1]["cosine"].values())
    assert all(0.3 < loss < 3 for loss in steps[0]["loss"].values())
    facts = json.loads((finished / "run.json").read_text())
    best = max(validations, key=lambda record: record["score"])
    assert (best["step"], best["score"]) == (facts["best_step"], facts["best_score"])
    assert best["score"] == pytest.approx(
        np.prod([best["metrics"]["names"]["f1"], best["metrics"]["mood"]["macro_f1"], best["metrics"]["rating"]["pearson"]]) ** (1 / 3)
    )


def test_every_task_is_learned(project: Path, make_settings: Settings, empty: Maker) -> None:
    out = empty("long")
    run(make_settings(epochs=12, eval_every=20), "joint-plain-1", project, out)
    metrics = history(out, "validation")[-1]["metrics"]
    assert metrics["names"]["f1"] > 0.9
    assert metrics["mood"]["accuracy"] > 0.9
    assert metrics["rating"]["pearson"] > 0.8


def test_weights_are_kept_by_the_chosen_metrics(project: Path, make_settings: Settings, empty: Maker) -> None:
    chosen = {"names": "f1:city", "mood": "micro_f1", "rating": "rmse"}
    params, out = make_settings(epochs=4, eval_every=8), empty("chosen")
    balanced = {"mood": {"class_weights": "balanced"}}
    tasks = {task: spec.model_copy(update={"metric": chosen[task], **balanced.get(task, {})}) for task, spec in params.tasks.items()}
    facts = run(params.model_copy(update={"tasks": tasks}), "joint-plain-1", project, out)
    records = history(out, "validation")
    best = max(records, key=lambda record: record["score"])
    assert facts["best_step"] == best["step"]
    values = [best["metrics"][task][metric] for task, metric in chosen.items()]
    assert best["score"] == pytest.approx((values[0] * values[1] / values[2]) ** (1 / 3))
    states = {task: spec["state"] for task, spec in json.loads((out / "config.json").read_text())["tasks"].items()}
    assert {task: state["metric"] for task, state in states.items()} == chosen
    assert sum(states["mood"]["class_weights"]) == pytest.approx(2, abs=0.3)
    assert models.load(out).tasks["rating"].main_metric.name == "rmse"


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("names", {"metric": "f1:town"}, "tasks.names.metric: entity type 'town' does not occur in the train split; choose from: city"),
        (
            "mood",
            {"class_weights": {"goood": 2}},
            "tasks.mood.class_weights: class 'goood' does not occur in the train split; choose from: bad, good",
        ),
    ],
)
def test_a_class_that_does_not_occur_is_named(
    task: str, changes: dict[str, Any], message: str, project: Path, make_settings: Settings, empty: Maker
) -> None:
    params = make_settings()
    tasks = {**params.tasks, task: params.tasks[task].model_copy(update=changes)}
    with pytest.raises(TrainingError, match=re.escape(message)):
        run(params.model_copy(update={"tasks": tasks}), "joint-plain-1", project, empty("wrong"))


def test_a_repeat_is_equal_to_the_last_bit(finished: Path, project: Path, make_settings: Settings, empty: Maker) -> None:
    again = empty("again")
    torch.manual_seed(99)  # what is drawn outside must not matter, nor be disturbed
    ambient = torch.random.get_rng_state()
    run(make_settings(), "joint-augmented-1", project, again)
    assert torch.equal(torch.random.get_rng_state(), ambient)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (again / name).read_bytes() == (finished / name).read_bytes()
    assert timeless(again) == timeless(finished)


def test_seeds_give_other_weights(finished: Path, project: Path, make_settings: Settings, empty: Maker) -> None:
    other = empty("other")
    params = make_settings()
    train(params, params.runs()["joint-augmented-1"].model_copy(update={"seed": 2}), project / "examples", project / "shards", None, other)
    assert (other / "model.safetensors").read_bytes() != (finished / "model.safetensors").read_bytes()


@pytest.mark.parametrize("sampling", ["proportional", "uniform", "annealed", {"type": "fixed", "shares": {"places": 9, "reviews": 1}}])
def test_single_gets_the_same_updates_with_the_same_rows(
    project: Path, make_settings: Settings, empty: Maker, monkeypatch: pytest.MonkeyPatch, sampling: Any
) -> None:
    seen: dict[str, list[list[float]]] = {}
    batches = Loop._batches

    def spy(self: Loop, **options: Any) -> StepBatches:
        made = batches(self, **options)
        ratings = [value for batch in made.batches if "rating" in batch.targets for value in batch.targets["rating"].tolist()]
        seen.setdefault(",".join(self.model.tasks), []).append(sorted(r for r in ratings if r == r))
        return made

    monkeypatch.setattr(Loop, "_batches", spy)
    params = make_settings(sampling=sampling)
    facts = [run(params, name, project, empty(name)) for name in ("joint-augmented-1", "joint-plain-1", "single_rating-augmented-1")]
    assert facts[0]["steps"] == facts[1]["steps"] == facts[2]["steps"]
    assert facts[2]["rows"] == {"reviews": 80}
    joint, single = seen["names,mood,rating"], seen["rating"]
    assert joint[: len(single)] == single
    assert sampling != "proportional" or all(single)


@pytest.mark.parametrize("sampling", ["proportional", "uniform", {"type": "fixed", "shares": {"reviews": 1, "places": 5}}])
def test_run_json_counts_rows_passes_and_coverage(
    project: Path, make_settings: Settings, empty: Maker, monkeypatch: pytest.MonkeyPatch, sampling: Any
) -> None:
    trained: list[int] = []

    def spy(corpus: Any, rows: Any, *more: Any) -> Any:
        trained.extend(rows.tolist())
        return labelled_batch(corpus, rows, *more)

    labelled_batch = feed.labelled_batch
    monkeypatch.setattr(feed, "labelled_batch", spy)
    facts = run(make_settings(sampling=sampling), "joint-plain-1", project, empty("counted"))
    reviews, places = ([row for row in trained if (row < 80) == first] for first in (True, False))
    expected = {
        name: {"rows": len(rows), "passes": pytest.approx(len(rows) / size), "coverage": pytest.approx(len(set(rows)) / size)}
        for name, rows, size in (("reviews", reviews, 80), ("places", places, 40))
    }
    assert facts["sampled"]["datasets"] == expected
    assert facts["sampled"]["tasks"] == {"names": expected["places"], "mood": expected["reviews"], "rating": expected["reviews"]}
    assert facts["epochs"] == {name: counts["passes"] for name, counts in facts["sampled"]["datasets"].items()}
    counts = np.bincount(trained)
    if sampling == "proportional":
        assert set(counts) == {2}
    elif sampling != "uniform":
        assert facts["sampled"]["datasets"]["reviews"]["coverage"] < 1
        assert set(counts[:80]) == {0, 1}
        assert set(counts[80:]) == {4, 5}


def test_a_constant_prediction_reaches_run_json_and_the_log(
    project: Path, make_settings: Settings, empty: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = changed(project, empty("reviews"), "reviews", lambda row: row | ({"mood": "good"} if row["split"] == "train" else {}))
    for progress in (True, False):
        facts = run(make_settings(epochs=0.5), "joint-plain-1", folder, empty("silent"), progress=progress)
        (warning,) = (warning for warning in facts["warnings"] if "the head predicts" in warning)
        assert (f"joint-plain-1: warning: {warning}\n" in capsys.readouterr().err) == progress


def test_killed_at_many_points_it_ends_as_if_it_had_not_been(project: Path, make_settings: Settings, empty: Maker) -> None:
    finished, out = empty("finished"), empty("killed")
    script = Path(__file__).with_name("killed.py")
    points = ("4", "7", "write:1", "13", "end", "finish")
    params = make_settings(schedule="cosine", layer_decay=0.5, freeze_layers=1, micro_batch_tokens=60, stop="each", patience=1)
    assert run(params, "joint-augmented-1", project, finished)["stopped_tasks"]
    arguments = [params.model_dump_json(), "joint-augmented-1", str(project), str(out), "", *points]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (out / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    assert timeless(out) == timeless(finished)
    assert not (out / "checkpoint").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_ctrl_c_save_and_the_next_call_goes_on(
    finished: Path, project: Path, make_settings: Settings, empty: Maker, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    out, step = empty("terminated"), Loop._step

    def terminated(self: Loop) -> StepResult | None:
        result = step(self)
        if self.progress.step == 5:
            os.kill(os.getpid(), number)
        return result

    before = signal.getsignal(number)
    monkeypatch.setattr(Loop, "_step", terminated)
    with pytest.raises(Preempted, match=r"stopped after step 6 of \d+;") as caught:
        run(make_settings(), "joint-augmented-1", project, out)
    assert caught.value.exit_status == 143
    assert signal.getsignal(number) is before
    assert [path.name for path in sorted((out / "checkpoint").iterdir())] == ["0000000004.pt", "0000000006.pt"]
    monkeypatch.setattr(Loop, "_step", step)
    run(make_settings(), "joint-augmented-1", project, out)
    assert (out / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


def test_a_second_ctrl_c_ends_training_at_once(
    project: Path, make_settings: Settings, empty: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def impatient(self: Loop) -> None:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Loop, "_step", impatient)
    with pytest.raises(KeyboardInterrupt):
        run(make_settings(), "joint-plain-1", project, empty("impatient"))


def test_a_thread_can_train_too(project: Path, make_settings: Settings, empty: Maker) -> None:
    out = empty("thread")
    thread = threading.Thread(target=run, args=(make_settings(epochs=0.5), "joint-plain-1", project, out))
    thread.start()
    thread.join()
    assert (out / "run.json").is_file()


def test_a_foreign_checkpoint_is_passed_over(
    finished: Path, project: Path, make_settings: Settings, empty: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = empty("foreign")
    with monkeypatch.context() as patch:
        patch.setattr("mtl.training.checkpoint.remove", lambda folder: None)
        run(make_settings(learning_rate=1e-3), "joint-augmented-1", project, out)
    facts = run(make_settings(), "joint-augmented-1", project, out)
    assert (out / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()
    assert len([w for w in facts["warnings"] if "belongs to another run" in w]) == 2


def test_early_stopping_keeps_the_best_weights(project: Path, make_settings: Settings, empty: Maker) -> None:
    from mtl.model.prediction import Predictor

    out = empty("early")
    facts = run(make_settings(epochs=30, eval_every=5, patience=2, score="rating"), "joint-plain-1", project, out)
    validations = history(out, "validation")
    assert facts["stopped"] == "early"
    assert validations[-1]["step"] == facts["steps"] == facts["best_step"] + 10
    assert facts["best_score"] == max(v["metrics"]["rating"]["pearson"] for v in validations)
    rows = [row for row in schema.read(project / "examples" / "reviews.parquet").to_pylist() if row["split"] == "validation"]
    predictions = Predictor(models.load(out), "cpu").predict([row["tokens"] for row in rows], ["rating"])["rating"]
    metrics = Regression.metrics([repr(row["rating"]) for row in rows], [prediction.text for prediction in predictions])
    assert metrics["pearson"] == pytest.approx(facts["best_score"], rel=1e-5)
    assert validations[-1]["metrics"]["rating"]["pearson"] != pytest.approx(facts["best_score"], rel=1e-5)


# --- odd data ---------------------------------------------------------------------------------------------------------


def changed(project: Path, out: Path, dataset: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """A copy of the project with the rows of one dataset changed; no shards."""
    (out / "examples").mkdir()
    (out / "shards").mkdir()
    for path in (project / "examples").glob("*.parquet"):
        table = pq.read_table(path)
        if path.stem == dataset:
            table = pa.Table.from_pylist([change(row) for row in table.to_pylist()], schema=table.schema)
        schema.write(table, out / "examples" / path.name)
    return out


def test_what_the_data_lacks_is_named(project: Path, make_settings: Settings, empty: Maker) -> None:
    def odd(row: dict[str, Any]) -> dict[str, Any]:
        long = ["word"] * 40
        more = {
            "tokens": [*row["tokens"], *long, "Oslo"],
            "names": [*row["names"], *["O"] * 40, "B-city"],
            "space_after": [True] * (len(row["tokens"]) + 41),
        }
        return row | more if row["id"] == "all-0" else row

    params = make_settings(epochs=0.5, precision="fp16")
    facts = run(params, "joint-plain-1", changed(project, empty("odd"), "places", odd), empty("out"))
    text = "\n".join(facts["warnings"])
    assert "encoder.max_length 32 cuts" in text
    assert "gold entities and ranges: 1)" in text
    assert text.count(" cuts ") == 1
    assert "precision fp16 on a CPU" in text
    assert facts["precision"] == "fp16"


@pytest.mark.parametrize("units", [True, False])
def test_bf16_is_slow_only_where_a_cpu_has_no_instructions_for_it(
    project: Path, make_settings: Settings, empty: Maker, monkeypatch: pytest.MonkeyPatch, units: bool
) -> None:
    monkeypatch.setattr("mtl.training.cautions.has_bf16_units", lambda: units)
    facts = run(make_settings(epochs=0.5, precision="bf16"), "joint-plain-1", project, empty("out"))
    assert any("precision bf16 on a CPU" in warning for warning in facts["warnings"]) is not units
    assert facts["precision"] == "bf16"


def test_settings_without_effect_are_named(project: Path, make_settings: Settings, empty: Maker) -> None:
    facts = run(make_settings(epochs=0.5, precision="tf32", freeze_layers=1), "joint-plain-1", project, empty("out"))
    assert facts["warnings"][:2] == [
        "precision tf32 on a CPU has no effect: all is computed in fp32",
        "train.freeze_layers 1: this encoder is trained from scratch, so they stay random",
    ]
    assert facts["precision"] == "tf32"
    with pytest.raises(TrainingError, match=r"train\.freeze_layers is 3, but the encoder has 2 layers, embeddings included"):
        run(make_settings(freeze_layers=3), "joint-plain-1", project, empty("out"))


@pytest.mark.parametrize("encoder", ["fnn", "cnn", "rnn"])
def test_empty_texts_and_classes_never_seen_do_no_harm(project: Path, make_settings: Settings, empty: Maker, encoder: str) -> None:
    def odd(row: dict[str, Any]) -> dict[str, Any]:
        number = int(row["id"].removeprefix("all-"))
        if number % 10 == 0:
            return row | {"tokens": [], "space_after": []}
        return row | {"mood": "mixed"} if number % 10 == 1 and row["split"] != "train" else row

    folder, out, settings = changed(project, empty("odd"), "reviews", odd), empty("out"), make_settings(epochs=1, micro_batch_tokens=16)
    small = TypeAdapter(Encoder).validate_python({"type": encoder, "width": 16, "vocabulary": 300, "max_length": 32})
    run(settings.model_copy(update={"encoder": small}), "joint-plain-1", folder, out)
    assert history(out, "validation")[-1]["metrics"]["mood"]["accuracy"] < 1
    assert all(tensor.isfinite().all() for tensor in load_file(out / "model.safetensors").values())


def test_a_checkpoint_of_another_optimizer_s_groups_is_not_the_run_s_own(project: Path, make_settings: Settings) -> None:
    """As one of an earlier version of the code: its state could not be loaded."""
    params = make_settings()
    made = params.runs()["joint-plain-1"]
    splits = read_splits(params, made, project / "examples", project / "shards")
    loop = prepare(params, made, splits, None, Precision("fp32", torch.device("cpu")))[0]
    before = identity(params, made, loop)
    loop.optimizer.param_groups[0]["params"].pop()
    assert identity(params, made, loop) != before


def test_memory_that_runs_out_beside_a_step_is_an_error(
    project: Path, make_settings: Settings, empty: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(optimizer: Any, closure: Any = None) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.\nMore lines.")

    monkeypatch.setattr(optimizers.AdamW, "step", full)
    with pytest.raises(
        TrainingError, match=r"the memory of cpu does not suffice for model.*allocate 1\.00 GiB\.; choose a smaller encoder"
    ):
        run(make_settings(), "joint-plain-1", project, empty("out"))


def test_a_model_that_cannot_be_written_is_written_by_the_next_call(
    finished: Path, project: Path, make_settings: Settings, empty: Maker
) -> None:
    out = empty("full")
    blocked = out / f".model.safetensors.{os.getpid()}.tmp"
    blocked.mkdir()  # nothing can be written under that name
    with pytest.raises(TrainingError, match=r"full: the model cannot be written: .*; run again, training then goes on"):
        run(make_settings(), "joint-augmented-1", project, out)
    assert (out / "checkpoint").exists()
    blocked.rmdir()
    run(make_settings(), "joint-augmented-1", project, out)
    assert (out / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


@pytest.mark.parametrize("balancing", ["gradient_norm", "static", "gradnorm", "cagrad"])
def test_labels_that_are_all_the_same_do_no_harm(project: Path, make_settings: Settings, empty: Maker, balancing: str) -> None:
    def same(row: dict[str, Any]) -> dict[str, Any]:
        return row if row["split"] == "test" else row | {"mood": "good", "rating": 2.5}

    folder = changed(project, empty("reviews"), "reviews", same)
    folder = changed(folder, empty("places"), "places", lambda row: row | {"names": ["O"] * len(row["tokens"])})
    out = empty("out")
    run(make_settings(epochs=1, balancing=balancing), "joint-plain-1", folder, out)
    for name in ("run.json", "config.json", "history.jsonl"):
        assert not {"NaN", "Infinity"} & set(re.findall(r"\w+", (out / name).read_text()))
    assert all(tensor.isfinite().all() for tensor in load_file(out / "model.safetensors").values())


def test_what_the_sample_of_a_run_lacks_is_named(project: Path, make_settings: Settings, empty: Maker) -> None:
    params, out = make_settings(epochs=0.5), empty("out")
    sampled = params.runs()["joint-plain-1"].model_copy(update={"size": 1})
    train(params, sampled, project / "examples", project / "shards", None, out)
    text = "\n".join(json.loads((out / "run.json").read_text())["warnings"])
    assert re.search(r"mood: every label of the train split is (good|bad), so there is nothing to learn from it", text)
    assert re.search(r"mood: the test split has (good|bad), never seen in training", text)


def test_an_augmented_run_without_variants_is_named(
    project: Path, make_settings: Settings, empty: Maker, make_table: Callable[..., pa.Table]
) -> None:
    folder = changed(project, empty("none"), "", lambda row: row)
    for name in ("reviews", "places"):
        schema.write(make_table(name, []), folder / "shards" / f"{name}-00000-of-00001.parquet")
    facts = run(make_settings(epochs=0.5), "joint-augmented-1", folder, empty("out"))
    assert sum("has no variants: its shards hold none that the run learns from" in warning for warning in facts["warnings"]) == 2


def test_variants_of_few_rows_are_named(project: Path, make_settings: Settings, empty: Maker, make_table: Callable[..., pa.Table]) -> None:
    folder = changed(project, empty("few"), "", lambda row: row)
    for name, count in (("reviews", 13), ("places", 1000)):
        shard = pq.read_table(project / "shards" / f"{name}-00000-of-00001.parquet")
        schema.write(shard.slice(0, count), folder / "shards" / f"{name}-00000-of-00001.parquet")  # two variants a row
    facts = run(make_settings(epochs=0.5), "joint-augmented-1", folder, empty("out"))
    assert "reviews: only 9% of its train rows have a variant, so augmentation changes little" in facts["warnings"]
    assert not any(warning.startswith("places: only") for warning in facts["warnings"])


def test_a_run_without_methods_equals_a_plain_one_and_is_named(project: Path, make_settings: Settings, empty: Maker) -> None:
    params = make_settings(epochs=0.5)
    none = params.model_copy(update={"tasks": {name: task.model_copy(update={"methods": {}}) for name, task in params.tasks.items()}})
    augmented, plain = empty("augmented"), empty("plain")
    facts = run(none, "joint-augmented-1", project, augmented)
    run(params, "joint-plain-1", project, plain)
    assert sum("no method that the run learns from is applied to it" in warning for warning in facts["warnings"]) == 2
    assert (augmented / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("predicted", "gold", "warns"),
    [
        ([("O", "O"), ("O",)], ['["O", "B-x"]', '["O"]'], True),
        ([("O", "B-x"), ("O",)], ['["O", "B-x"]', '["O"]'], False),
        (["good", "good"], ["good", "bad"], True),
        (["good", "good"], ["good", "good"], False),
        ([0.5, 0.5], ["1.0", "2.0"], True),
        ([0.5, 0.6], ["1.0", "2.0"], False),
    ],
)
def test_a_constant_prediction_is_named(predicted: list[Any], gold: list[str], warns: bool) -> None:
    warning = constant_prediction("task", Regression({"mean": 0.0, "std": 1.0}), [Prediction(value, 1.0) for value in predicted], gold)
    assert (warning is not None and warning.startswith("task: the head predicts ")) == warns


def test_without_validation_rows_the_last_weights_are_kept(project: Path, make_settings: Settings, empty: Maker) -> None:
    folder = empty("unvalidated")
    changed(project, folder, "places", lambda row: row | {"split": "train"})
    params = make_settings(epochs=1)
    lone = params.runs()["single_names-augmented-1"].model_copy(update={"data": "plain"})
    out = empty("out")
    train(params, lone, folder / "examples", folder / "shards", None, out)
    facts = json.loads((out / "run.json").read_text())
    assert (facts["best_step"], facts["stopped"]) == (facts["steps"], "end")


def test_faulty_input_is_named(project: Path, make_settings: Settings, empty: Maker) -> None:
    params, run_ = make_settings(), Run(tasks=("names", "mood", "rating"), model="joint", data="augmented", seed=1)
    with pytest.raises(DataError, match=r"reviews\.parquet"):
        train(params, run_, empty("nothing"), project / "shards", None, empty("out"))
    with pytest.raises(DataError, match=r"reviews-00000-of-00001\.parquet"):
        train(params, run_, project / "examples", empty("nothing"), None, empty("out"))
    unlabelled = changed(project, empty("unlabelled"), "places", lambda row: row | {"names": None})
    with pytest.raises(TrainingError, match="task 'names': no train row of places has a label 'names'"):
        train(params, run_.model_copy(update={"data": "plain"}), unlabelled / "examples", project / "shards", None, empty("out"))


def test_labels_of_other_tasks_are_part_of_what_a_checkpoint_belongs_to(project: Path, make_settings: Settings, empty: Maker) -> None:
    """They decide on the plan, also in a single-task run."""
    params = make_settings()
    run = params.runs()["single_mood-augmented-1"].model_copy(update={"data": "plain"})

    def drop(row: dict[str, Any]) -> dict[str, Any]:
        return row | ({"names": None} if row["id"].endswith("1") else {})

    identities = []
    for folder in (project, changed(project, empty("fewer"), "places", drop)):
        splits = read_splits(params, run, folder / "examples", folder / "shards")
        loop = prepare(params, run, splits, None, Precision("fp32", torch.device("cpu")))[0]
        identities.append(identity(params, run, loop))
    assert identities[0] != identities[1]
