"""The micro-batches of a step hold the right rows, cut as they must be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.config import Params
from mtl.model.device import Precision
from mtl.training.prepare import prepare
from mtl.training.splits import read_splits

from .loops import MakeLoop


def test_where_gradients_are_measured_no_batch_has_rows_of_two_datasets(make_loop: MakeLoop) -> None:
    loop = make_loop()
    mixed = [{"names", "mood"} <= batch.targets.keys() for batch in loop._batches(apart=False).batches]
    apart = [{"names", "mood"} <= batch.targets.keys() for batch in loop._batches().batches]
    assert any(mixed)
    assert not any(apart)
    loop._step()
    loop.progress.step = 1
    assert len(loop._batches().batches) == len(mixed)


def test_nor_where_a_task_is_first_met_between_two_measurements(make_loop: MakeLoop) -> None:
    loop = make_loop()
    loop.progress.step = 1
    apart = [{"names", "mood"} <= batch.targets.keys() for batch in loop._batches().batches]
    assert not any(apart)
    result = loop._step()
    assert result is not None
    assert result.kind == "separate"


def test_rows_without_a_label_of_a_task_give_it_no_loss(make_loop: MakeLoop) -> None:
    loop = make_loop()
    labels: Any = loop.feed.data.train.labels
    labels["names"] = labels["names"].masked(np.zeros(len(labels["names"]), dtype=np.bool_))
    batches = loop._batches().batches
    assert {task for batch in batches for task in batch.targets} == {"mood", "rating"}
    learned: list[Any] = []
    loop.gradients.balancer.learn = learned.append  # type: ignore[method-assign]
    loop._step()
    assert [losses.keys() for losses in learned] == [{"mood", "rating"}]
    assert loop.gradients.balancer.norms().keys() == {"mood", "rating"}
    assert loop.progress.usage.losses.keys() == {"mood", "rating"}
    assert loop.progress.updates == 1


def test_a_limit_on_micro_batches_is_kept_to(make_loop: MakeLoop) -> None:
    whole, cut = make_loop(micro_batch_tokens=10_000), make_loop(micro_batch_tokens=40)
    sizes = [batch.mask.numel() for batch in cut._batches().batches]
    assert len(whole._batches().batches) < len(sizes)
    assert max(sizes) <= 40
    for loop in (whole, cut):
        loop._step()
    for (name, weight), other in zip(whole.model.named_parameters(), cut.model.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-3, atol=1e-5, msg=name)


def test_a_task_that_does_not_use_a_variant_gets_its_original_row(project: Path, make_settings: Callable[..., Params]) -> None:
    settings = make_settings(epochs=1).model_dump(mode="json")
    settings["tasks"]["rating"]["methods"] = {}
    settings["augment"]["share"] = 1.0
    params = Params.model_validate(settings)
    loops = {}
    for name in ("joint-augmented-1", "joint-plain-1", "single_rating-augmented-1"):
        run = params.runs()[name]
        splits = read_splits(params, run, project / "examples", project / "shards")
        loops[name] = prepare(params, run, splits, None, Precision("fp32", torch.device("cpu")))[0]
    joint, plain, single = loops.values()
    for step in range(joint.feed.plan.epoch_steps):
        for loop in loops.values():
            loop.progress.step = step
        step_batches, of_plain, of_single = (loop._batches() for loop in (joint, plain, single))
        batches, labelled = step_batches.batches, step_batches.labelled
        assert labelled == of_plain.labelled
        assert labelled["rating"] == of_single.labelled["rating"] > 0
        # The original row is added, and for that task only.
        ratings = [float(value) for batch in batches if "rating" in batch.targets for value in batch.targets["rating"] if value == value]
        expected = [float(value) for batch in of_single.batches for value in batch.targets["rating"]]
        assert sorted(ratings) == sorted(expected)
        assert sum(len(batch.mask) for batch in batches) == sum(labelled[task] for task in ("mood", "rating")) + sum(
            int((batch.targets["names"] >= 0).any(1).sum()) for batch in batches if "names" in batch.targets
        )
