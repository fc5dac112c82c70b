"""Training on rows without labels: their predictions follow those on the original rows, in any cut of a step and after any interruption."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtl.config import Consistency, Params
from mtl.data import schema
from mtl.encoders.base import EncoderOutput
from mtl.model.device import Precision
from mtl.tasks.classification import Classification
from mtl.tasks.regression import Regression
from mtl.training.consistency import SIGNALS, Alignment, shared_tokens
from mtl.training.loop import Loop
from mtl.training.prepare import prepare
from mtl.training.progress import Usage
from mtl.training.run import train
from mtl.training.signals import Preempted
from mtl.training.splits import read_splits

from .conftest import LABELS, place, review, table
from .loops import MakeLoop, canonical, gradients, quiet, whole_and_resumed
from .test_run import history

SPEC: dict[str, Any] = {"confidence": 0.0, "temperature": 0.5}


@pytest.fixture(scope="module")
def half_labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose reviews have a mood in every fourth row and a rating in every other one, places of which half are tagged, and more
    reviews without labels."""
    folder, random = tmp_path_factory.mktemp("half"), np.random.default_rng(7)
    for dataset, make, count in (("reviews", review, 100), ("places", place, 60), ("more", review, 40)):
        kinds = LABELS.get(dataset, {})
        rows = []
        for i in range(count):
            row = {
                "id": f"all-{i}",
                "split": "train" if i < 0.8 * count or not kinds else "validation" if i < 0.9 * count else "test",
                **make(random),
            }
            hidden = [name for name, every in (("mood", 4), ("rating", 2), ("names", 2)) if row["split"] == "train" and i % every]
            rows.append(
                {key: value for key, value in row.items() if key not in hidden and (key in ("id", "split", "tokens") or key in kinds)}
            )
        made = [
            {**row, "id": f"{row['id']}~swap~{copy}", "parent_id": row["id"], "augmenter": "swap", "tokens": row["tokens"][::-1]}
            | ({"names": row["names"][::-1]} if "names" in row else {})
            for row in rows
            if row["split"] == "train"
            for copy in range(2)
        ]
        for part, file in ((rows, f"examples/{dataset}"), (made, f"shards/{dataset}-00000-of-00001")):
            schema.write(table(dataset, part) if kinds else canonical(part, {}), folder / f"{file}.parquet")
    return folder


@pytest.fixture
def make_params(make_settings: Callable[..., Params]) -> Callable[..., Params]:
    """Settings in which the named tasks have consistency."""

    def make(*tasks: str, spec: dict[str, Any] = SPEC, **train: Any) -> Params:
        content = make_settings(**{"encoder__dropout": 0.1, **train}).model_dump(mode="json")
        content["datasets"]["more"] = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}}
        for task in tasks:
            content["tasks"][task]["consistency"] = spec
        if not tasks or "datasets" in spec:
            del content["datasets"]["more"]
        return Params.model_validate(content)

    return make


@pytest.fixture
def make(half_labelled: Path, make_params: Callable[..., Params]) -> MakeLoop:
    """Makes the loop of an augmented joint run in which the named tasks have consistency."""

    def loop(*tasks: str, precision: str = "fp32", run: str = "joint-augmented-1", **options: Any) -> Loop:
        params = make_params(*tasks, **options)
        splits = read_splits(params, params.runs()[run], half_labelled / "examples", half_labelled / "shards")
        return prepare(params, params.runs()[run], splits, None, Precision(precision, torch.device("cpu")))[0]

    return loop


def test_each_task_compares_the_rows_without_its_label(make: MakeLoop) -> None:
    loop = make("mood", "rating", "names")
    own = loop.feed.data.unlabelled
    assert own is not None
    originals, datasets = len(loop.feed.data.ids), loop.feed.data.groups
    counts = {task: np.bincount(datasets[rows[:originals]], minlength=3).tolist() for task, rows in own.rows.items()}
    # 80 reviews, 48 places and 40 more reviews to train; a task has the datasets with its label and those without any.
    assert counts == {"mood": [60, 0, 40], "rating": [40, 0, 40], "names": [0, 24, 40]}
    assert all(rows[originals:].sum() == 2 * rows[:originals].sum() for rows in own.rows.values())


def test_rows_with_labels_have_the_same_steps_with_and_without_the_others(make: MakeLoop) -> None:
    with_, without = make("mood", spec=SPEC | {"datasets": ["reviews"]}), make()
    assert with_.steps == without.steps
    for step in range(with_.steps):
        a, b = with_.feed.rows(step), without.feed.rows(step)
        ids = [[loop.feed.data.ids[int(row)] for row in rows.originals] for loop, rows in ((with_, a), (without, b))]
        assert ids[0] == ids[1]
        assert len(a.unlabelled[0]) > 3
        assert len(b.unlabelled[0]) == 0


def test_a_single_task_run_compares_the_rows_that_the_joint_run_does(make: MakeLoop) -> None:
    joint, single = make("mood", "rating"), make("mood", "rating", run="single_rating-augmented-1")
    for step in range(joint.steps):
        rows, variants = joint.feed.rows(step).unlabelled
        own = joint.feed.data.unlabelled
        assert own is not None
        assert rows[own.compares("rating", rows, variants)].tolist() == single.feed.rows(step).unlabelled[0].tolist()


def _term(loop: Loop, task: str) -> torch.Tensor:
    """The consistency term of a step without dropout, computed row by row."""
    rows, variants = loop.feed.rows(0).unlabelled
    own, settings = loop.feed.data.unlabelled, loop.gradients.consistency[task]
    assert own is not None
    loop.model.eval()
    batches = [own.batch(loop.feed.data.train, rows[[i]], variants[[i]], loop.feed.tasks) for i in range(len(rows))]
    batches = [batch for batch in batches if task in batch.items]
    total = torch.zeros(())
    for batch in batches:
        with torch.no_grad():
            original = loop.model(batch.originals, [task])[task].flatten(0, -2)[batch.items[task].originals]
        variant = loop.model(batch.variants, [task])[task].flatten(0, -2)[batch.items[task].variants]
        if task == "rating":
            total = total + (original - variant).square().sum()
        else:
            target = (original / settings.temperature).softmax(-1)
            each = (target * (target.log() - variant.log_softmax(-1))).sum(-1)
            total = total + each[original.softmax(-1).amax(-1) >= settings.confidence].sum() / loop.model.tasks[task].state["loss_scale"]
    loop.model.train()
    return settings.weight * total / sum(len(batch.items[task].originals) for batch in batches)


@pytest.mark.parametrize("measured", [True, False])
def test_the_term_is_the_mean_over_all_items_of_a_step_however_it_is_cut(make: MakeLoop, measured: bool) -> None:
    spec = {"confidence": 0.51, "temperature": 0.5, "weight": 3.0}
    for limit in (60, 10_000):
        loop = make("mood", "rating", "names", spec=spec, encoder__dropout=0.0, balancing="gradient_norm" if measured else "static")
        expected = {task: _term(loop, task) for task in ("mood", "rating", "names")}
        parameters = list(loop.model.encoder.parameters())
        wanted = {task: torch.autograd.grad(loss, parameters, allow_unused=True) for task, loss in expected.items()}
        loop.feed.limit, loop.feed.overhead = limit, limit
        batches = loop._batches(apart=False)
        assert (len(batches.pairs) > 1) == (limit == 60)
        batches.batches.clear()
        result = loop.gradients.compute(0, batches, set(expected))
        for task, loss in expected.items():
            assert result.losses[task] == pytest.approx(loss.item(), rel=1e-4), task
            assert result.unlabelled[task][0] == pytest.approx(loss.item(), rel=1e-4)
        if not measured:  # static weights: the encoder's gradient is the sum of the tasks'
            for parameter, *parts in zip(parameters, *wanted.values(), strict=True):
                total = sum(part for part in parts if part is not None)
                torch.testing.assert_close(parameter.grad, total, rtol=1e-3, atol=1e-6)


def test_predictions_that_are_not_confident_are_not_followed(make: MakeLoop) -> None:
    loop = make("mood", spec={"confidence": 1.0})
    before = gradients(make("mood", spec={"confidence": 1.0}))
    result = loop.gradients.compute(0, loop._batches(), {"mood"})
    assert result.unlabelled["mood"][0] == 0
    assert result.unlabelled["mood"][2] == 0 < result.unlabelled["mood"][1]
    assert all(torch.isfinite(gradient).all() for gradient in before.values())


def test_the_original_row_gets_no_gradient_and_no_dropout(make: MakeLoop) -> None:
    loop = make("mood", encoder__dropout=0.5)
    seen = []
    forward = loop.model.heads["mood"].forward

    def record(output: EncoderOutput) -> torch.Tensor:
        logits: torch.Tensor = forward(output)
        seen.append((loop.model.training, logits.requires_grad))
        return logits

    loop.model.heads["mood"].forward = record  # type: ignore[method-assign]
    batches = loop._batches(apart=False)
    batches.batches.clear()
    loop.gradients.compute(0, batches, {"mood"})
    assert set(zip(seen[::2], seen[1::2], strict=True)) == {((False, False), (True, True))}


def test_shared_tokens_are_those_in_the_same_order(make: MakeLoop) -> None:
    loop = make("names")
    own = loop.feed.data.unlabelled
    assert own is not None
    rows, variants = loop.feed.rows(0).unlabelled
    batch = own.batch(loop.feed.data.train, rows, variants, loop.feed.tasks)
    places = shared_tokens(batch.originals, batch.variants, range(len(rows)), 0)
    ours, theirs = batch.originals.subwords.flatten()[places[0]], batch.variants.subwords.flatten()[places[1]]
    assert torch.equal(ours, theirs)
    assert (batch.originals.word_ids.flatten()[places[0]] >= 0).all()
    assert (batch.variants.word_ids.flatten()[places[1]] >= 0).all()
    # A reversed row of distinct words shares one of them in order; the same word at both ends shares two.
    counts = np.bincount(places[0] // batch.originals.mask.shape[1], minlength=len(rows))
    assert 0 < counts.min() < 3


@pytest.mark.parametrize(
    ("task", "original", "variant", "expected"),
    [
        (Classification({"classes": ["a", "b"], "loss_scale": 2.0, "label_smoothing": 0.0}), [[0.0, 0.0]], [[0.0, 0.0]], (0.0, 0)),
        (Classification({"classes": ["a", "b"], "loss_scale": 2.0, "label_smoothing": 0.0}), [[50.0, 0.0]], [[0.0, 0.0]], (0.3466, 1)),
        (Regression({"mean": 0.0, "std": 1.0}), [[1.0], [2.0]], [[1.5], [0.0]], (4.25, 2)),
    ],
)
def test_a_task_type_says_how_predictions_are_compared(task: Any, original: Any, variant: Any, expected: tuple[float, int]) -> None:
    total, followed = task.divergence(torch.tensor(original), torch.tensor(variant), Consistency(confidence=0.9))
    assert (float(total), int(followed)) == (pytest.approx(expected[0], abs=1e-4), expected[1])


def test_alignment_brings_the_mean_prediction_to_the_shares_of_the_labels(make: MakeLoop) -> None:
    task = Classification(Classification.fit(["a", "a", "a", "b"]))
    assert task.label_shares == [0.75, 0.25]
    alignment = Alignment({"mood": task}, {"mood": Consistency()})
    assert (alignment.outputs("mood"), alignment.shift("mood")) == (2, None)
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    alignment.learn("mood", probabilities.sum(0).tolist())
    aligned = probabilities * np.exp(alignment.shift("mood"))
    # The shift is exact for the mean of the probabilities, before each row is normalised again.
    assert aligned.mean(0) == pytest.approx([0.75, 0.25])
    restored = Alignment({"mood": task}, {"mood": Consistency()})
    restored.load_state_dict(alignment.state_dict())
    assert restored.shift("mood") == alignment.shift("mood")
    alignment.learn("mood", [100.0, 0.0])
    assert alignment.shift("mood")[0] < 0 < alignment.shift("mood")[1]  # type: ignore[index]
    for other, settings in ((task, Consistency(align=False)), (Regression({"mean": 0.0, "std": 1.0}), Consistency())):
        assert Alignment({"mood": other}, {"mood": settings}).outputs("mood") == 0


def test_a_step_is_aligned_by_the_steps_before_it(make: MakeLoop) -> None:
    terms = []
    for align in (False, True):
        loop = make("mood", spec={"confidence": 0.1, "align": align}, encoder__dropout=0.0, balancing="static")
        batches = loop._batches()
        terms.append([loop.gradients.compute(0, batches, {"mood"}).unlabelled["mood"][0] for _ in range(2)])
    (plain, again), (first, second) = terms
    assert plain == again == first != second


def test_annealing_leaves_out_what_is_predicted_with_more_than_the_threshold() -> None:
    task = Classification({"classes": ["a", "b"], "loss_scale": 1.0, "label_smoothing": 0.0})
    logits, targets = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [9.0, 0.0]]), torch.zeros(4, dtype=torch.int64)
    assert [int(task.count(task.annealed(logits, targets, share))) for share in (0.0, 0.5, 0.95, 1.0)] == [1, 2, 3, 4]
    assert all(signal(1.0) == pytest.approx(1, abs=0.01) and signal(0.0) == pytest.approx(0, abs=0.01) for signal in SIGNALS.values())
    assert SIGNALS["exp"](0.5) < SIGNALS["linear"](0.5) < SIGNALS["log"](0.5)


def test_annealing_changes_the_run(make: MakeLoop) -> None:
    losses = []
    for anneal in (None, "linear"):
        loop = make("mood", spec={"confidence": 1.0, "anneal": anneal}, encoder__dropout=0.0, balancing="static")
        losses.append(loop.gradients.compute(0, loop._batches(), {"mood"}).losses["mood"])
    assert 0 < losses[1] < losses[0]


@pytest.mark.parametrize("options", [{}, {"balancing": "pcgrad"}, {"precision": "fp16"}, {"stop": "each"}], ids=str)
def test_a_resumed_run_ends_as_an_undisturbed_one(make: MakeLoop, options: dict[str, Any]) -> None:
    whole, first, second = (make("mood", "rating", "names", spec=SPEC | {"anneal": "linear"}, **options) for _ in range(3))
    file = io.BytesIO()
    quiet(whole)
    with pytest.raises(Preempted):
        first.run(lambda step, state: (file.seek(0), torch.save(state, file)), lambda: first.progress.step == 5, lambda step, line: None)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    quiet(second)
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    kept = [[{k: v for k, v in record.items() if k != "tokens_per_second"} for record in loop.progress.history] for loop in (whole, second)]
    assert kept[0] == kept[1]


def test_a_run_that_was_ended_comes_to_the_same_bytes(half_labelled: Path, make_params: Callable[..., Params], tmp_path: Path) -> None:
    params = make_params("mood", "rating", "names")
    examples, shards = half_labelled / "examples", half_labelled / "shards"
    whole, resumed = whole_and_resumed(params, params.runs()["joint-augmented-1"], examples, shards, None, tmp_path)
    for name in ("model.safetensors", "history.jsonl", "run.json"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()
    records = history(whole, "train")
    assert all(record["followed"].keys() == {"mood", "rating", "names"} == record["consistency"].keys() for record in records)
    assert records[-1]["followed"]["rating"] == 1


def test_a_record_has_the_means_since_the_one_before() -> None:
    usage = Usage()
    for numbers in ((1.0, 4, 2), (3.0, 4, 4)):
        usage.compare({"mood": numbers})
        assert usage.unlabelled_since_record() == {"mood": (numbers[0], numbers[2] / 4)}
    assert usage.unlabelled_since_record() == {}


def test_plain_runs_learn_from_labels_alone(half_labelled: Path, make_params: Callable[..., Params], tmp_path: Path) -> None:
    params = make_params("mood")
    train(params, params.runs()["joint-plain-1"], half_labelled / "examples", half_labelled / "shards", None, tmp_path)
    assert not any("followed" in record for record in history(tmp_path, "train"))


def test_missing_rows_are_warned_of(project: Path, make_params: Callable[..., Params]) -> None:
    params = make_params("mood").model_dump(mode="json")
    params["tasks"]["mood"]["consistency"]["datasets"] = ["reviews"]  # there every row has a mood
    del params["datasets"]["more"]
    parsed = Params.model_validate(params)
    run = parsed.runs()["joint-augmented-1"]
    splits = read_splits(parsed, run, project / "examples", project / "shards")
    _, warnings = prepare(parsed, run, splits, None, Precision("fp32", torch.device("cpu")))
    assert "mood: consistency finds no train row without a label in reviews" in warnings
