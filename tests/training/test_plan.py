"""The plan assigns every row once, evenly, and does not depend on tasks; micro-batches waste as little as can be."""

import itertools
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtl.plan
from mtl.config import SPLITS, Params
from mtl.files import write_json
from mtl.model.micro_batches import micro_batches
from mtl.pipeline.stages import ENCODER
from mtl.seeds import seed_of
from mtl.training.plan import plan_epoch, steps_per_epoch, total_steps, variant

LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=80).map(np.array)


@given(LENGTHS, st.integers(1, 30), st.integers(0, 5))
def test_plan_assigns_every_row_once(lengths: np.ndarray, steps: int, epoch: int) -> None:
    planned = plan_epoch(1, epoch, lengths, np.arange(len(lengths)) % 3, steps)
    assert len(planned) == steps
    assert sorted(np.concatenate([step.rows for step in planned])) == list(range(len(lengths)))
    assert {int(number) for step in planned for number in step.passes} == {epoch}


def test_every_step_has_its_share_of_every_dataset() -> None:
    random = np.random.default_rng(0)
    lengths, groups = random.integers(5, 40, 3000), np.repeat([0, 1, 2], [300, 700, 2000])
    steps = steps_per_epoch(lengths, 1500)
    for rows, _ in plan_epoch(3, 0, lengths, groups, steps):
        for group in range(3):
            fair = lengths[groups == group].sum() / steps
            assert abs(lengths[rows[groups[rows] == group]].sum() - fair) <= 40


def test_plan_depends_on_seed_and_epoch_alone() -> None:
    lengths, groups = np.full(200, 10), np.repeat([0, 1], 100)
    planned = {key: [rows.tolist() for rows, _ in plan_epoch(*key, lengths, groups, 10)] for key in ((1, 0), (1, 1), (2, 0))}
    assert planned[1, 0] == [rows.tolist() for rows, _ in plan_epoch(1, 0, lengths, groups, 10)]
    assert planned[1, 0] != planned[1, 1] != planned[2, 0] != planned[1, 0]


def test_order_within_a_dataset_does_not_depend_on_the_others() -> None:
    lengths, groups = np.full(200, 10), np.repeat([0, 1], 100)
    both = [rows[groups[rows] == 0].tolist() for rows, _ in plan_epoch(1, 0, lengths, groups, 10)]
    assert both == [rows.tolist() for rows, _ in plan_epoch(1, 0, lengths[:100], groups[:100], 10)]


@given(LENGTHS, st.integers(1, 12), st.lists(st.floats(0, 5), min_size=1, max_size=3), st.integers(0, 5))
def test_a_dataset_is_used_pass_by_pass_across_epochs(lengths: np.ndarray, steps: int, rates: list[float], seed: int) -> None:
    """Every row of a pass before any of the next; nothing is left out, and nothing comes twice, where an epoch or a pass ends."""
    groups = np.arange(len(lengths)) % len(rates)
    passes = {group: np.arange(4 * steps + 1) * (rate / steps) for group, rate in enumerate(rates)}
    epochs = [plan_epoch(seed, epoch, lengths, groups, steps, passes) for epoch in range(4)]
    assert [len(planned) for planned in epochs] == [steps] * 4
    assigned = [np.concatenate(column) for column in zip(*(step for planned in epochs for step in planned), strict=True)]
    for group, rate in enumerate(rates):
        rows, numbers = (column[groups[assigned[0]] == group] for column in assigned)
        assert (np.diff(numbers) >= 0).all()
        for number in range(int(4 * rate)):
            assert sorted(rows[numbers == number]) == sorted(np.flatnonzero(groups == group))
        last = rows[numbers == int(4 * rate)]
        assert len(set(last)) == len(last)
        assert numbers.max(initial=0) <= 4 * rate


def test_one_pass_an_epoch_is_the_plan_of_whole_numbers() -> None:
    random = np.random.default_rng(0)
    lengths, groups = random.integers(5, 40, 500), np.repeat([0, 1], [100, 400])
    passes = dict.fromkeys((0, 1), np.arange(61) / 20)
    for epoch in range(3):
        whole, assigned = plan_epoch(3, epoch, lengths, groups, 20), plan_epoch(3, epoch, lengths, groups, 20, passes)
        assert sum(set(a.rows.tolist()) == set(b.rows.tolist()) for a, b in zip(whole, assigned, strict=True)) >= 18


def test_every_step_has_the_share_that_is_set() -> None:
    random = np.random.default_rng(0)
    lengths, groups = random.integers(5, 40, 2000), np.repeat([0, 1], [200, 1800])
    total, steps = int(lengths.sum()), 20
    sizes = {group: int(lengths[groups == group].sum()) for group in (0, 1)}
    passes = {group: np.arange(2 * steps + 1) * (total / 2 / steps / size) for group, size in sizes.items()}
    for rows, numbers in plan_epoch(3, 1, lengths, groups, steps, passes):
        for group in (0, 1):
            assert abs(lengths[rows[groups[rows] == group]].sum() - total / steps / 2) <= 40
        assert set(numbers[groups[rows] == 1]) <= {0, 1}  # half of 1.1 passes an epoch: goes on where it stopped


def test_each_pass_has_an_order_of_its_own() -> None:
    lengths, groups = np.full(50, 10), np.zeros(50, dtype=np.int64)
    (step,) = plan_epoch(1, 0, lengths, groups, 1, {0: np.array([0.0, 3.0])})
    orders = [step.rows[step.passes == number].tolist() for number in range(3)]
    assert [sorted(order) for order in orders] == [list(range(50))] * 3
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize(
    ("total", "batch", "epochs", "steps"),
    [(1000, 100, 1.0, 10), (1000, 100, 2.5, 25), (10, 100, 0.1, 1), (1049, 100, 3, 30), (10000, 100, 0.07, 7)],
)
def test_number_of_steps(total: int, batch: int, epochs: float, steps: int) -> None:
    assert total_steps(np.array([total]), batch, epochs) == steps


@given(LENGTHS, st.integers(1, 200), st.integers(0, 60), st.booleans())
def test_micro_batches_cut_all_rows_within_the_limit(lengths: np.ndarray, limit: int, overhead: int, packed: bool) -> None:
    batches = micro_batches(lengths, limit, overhead, packed=packed)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or (lengths[batch].sum() if packed else len(batch) * lengths[batch].max()) <= limit


def test_micro_batches_without_padding_are_few() -> None:
    assert [rows.tolist() for rows in micro_batches(np.array([5, 1, 3, 8, 2]), 11, 1, packed=True)] == [[3], [1, 4, 2, 0]]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=9).map(np.array), st.integers(0, 20))
def test_micro_batches_are_the_cheapest(lengths: np.ndarray, overhead: int) -> None:
    def price(parts: list[np.ndarray]) -> int:
        return sum(len(part) * part.max() + overhead for part in parts)

    ordered, places = np.sort(lengths), range(1, len(lengths))
    cuts = itertools.chain.from_iterable(itertools.combinations(places, n) for n in range(len(lengths)))
    best = min(price(np.split(ordered, cut)) for cut in cuts)
    assert price([lengths[batch] for batch in micro_batches(lengths, 10_000, overhead)]) == best


def test_micro_batches_of_nothing() -> None:
    assert micro_batches(np.array([], dtype=np.int64), 10, 1) == []


def test_variants_are_sampled_at_their_share_and_each_as_often() -> None:
    sampled = [variant(1, epoch, f"row-{i}", 3, 0.4) for i in range(2000) for epoch in range(2)]
    assert abs(sum(v is not None for v in sampled) / 4000 - 0.4) < 4 * math.sqrt(0.24 / 4000)
    counts = np.bincount([v for v in sampled if v is not None])
    assert len(counts) == 3
    assert counts.max() - counts.min() < 120
    assert variant(1, 0, "row", 0, 1.0) is None
    assert all(variant(1, 0, f"row-{i}", 2, 1.0) is not None for i in range(100))
    assert all(variant(1, 0, f"row-{i}", 2, 0.0) is None for i in range(100))


def test_seeds_tell_their_parts_apart() -> None:
    assert seed_of("a", 1, 23) != seed_of("a", 12, 3)
    assert seed_of("step", 1, 2) == 3343933379242688377


@pytest.mark.parametrize("encoder", ["fnn", "tokenizer.json"])
def test_the_plan_of_the_command_line_states_the_steps_of_a_run(
    make_loop: Any, make_settings: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    """By the encoder's own tokenizer: exact for few rows, near for a sample, said to be an estimate without it."""
    loop, params = make_loop(), make_settings()
    for name in params.datasets:
        write_json(tmp_path / "examples" / f"{name}.json", {"rows": dict.fromkeys(SPLITS, 9), "tokens": {"train": 900}})
    assert "an estimate of 1.5 subwords per token" in mtl.plan.plan(params, tmp_path)
    for name in params.datasets:
        shutil.copy(project / "examples" / f"{name}.parquet", tmp_path / "examples")
    if encoder == "tokenizer.json":
        loop.model.tokenizer.save(tmp_path / "raw" / ENCODER / "tokenizer.json")
        source = {"type": "transformer", "source": {"url": "x"}, "max_length": 32}
        params = Params.model_validate(params.model_dump() | {"encoder": source})
    assert f"  {loop.steps} per run: 2 epochs" in mtl.plan.plan(params, tmp_path)
    monkeypatch.setattr(mtl.plan, "SAMPLE", 60)
    [(steps, rows)] = re.findall(r"about (\d+) per run \(measured on (\d+) train rows\)", mtl.plan.plan(params, tmp_path))
    assert rows == "60"
    assert abs(int(steps) - loop.steps) <= 0.15 * loop.steps
