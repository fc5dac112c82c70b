"""The learning rate rises to its full value, then goes the way of its schedule."""

from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from mtl.training.schedule import SCHEDULES, rate_factor


@pytest.mark.parametrize(
    ("schedule", "update", "updates", "warmup", "factor"),
    [
        ("linear", 0, 100, 0.1, 0.1),
        ("linear", 9, 100, 0.1, 1.0),
        ("linear", 6, 100, 0.07, 1.0),  # 0.07 * 100 is 7.000000000000001
        ("linear", 10, 100, 0.1, 1.0),
        ("linear", 55, 100, 0.1, 0.5),
        ("linear", 99, 100, 0.1, 1 / 90),
        ("linear", 0, 100, 0.0, 1.0),
        ("linear", 0, 1, 1.0, 1.0),
        ("linear", 1, 1, 1.0, 0.0),
        ("cosine", 4, 100, 0.1, 0.5),
        ("cosine", 10, 100, 0.1, 1.0),
        ("cosine", 40, 100, 0.1, 0.75),
        ("cosine", 55, 100, 0.1, 0.5),
        ("cosine", 100, 100, 0.1, 0.0),
        ("constant", 4, 100, 0.1, 0.5),
        ("constant", 10, 100, 0.1, 1.0),
        ("constant", 100, 100, 0.1, 1.0),
    ],
)
def test_factor(schedule: str, update: int, updates: int, warmup: float, factor: float) -> None:
    assert rate_factor(schedule, update, updates, warmup) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("schedule", "oracle"),
    [
        ("linear", lambda optimizer: get_linear_schedule_with_warmup(optimizer, 8, 40)),
        ("cosine", lambda optimizer: get_cosine_schedule_with_warmup(optimizer, 8, 40)),
        ("constant", lambda optimizer: get_constant_schedule_with_warmup(optimizer, 8)),
    ],
)
def test_it_is_the_published_one_but_for_a_first_update_of_no_effect(schedule: str, oracle: Callable[..., LambdaLR]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = oracle(optimizer)
    for update in range(40):
        # Theirs starts the warm-up at 0; ours is one update ahead until it is over.
        published = optimizer.param_groups[0]["lr"] if update >= 8 else update / 8
        assert optimizer.param_groups[0]["lr"] == pytest.approx(published)
        ours = rate_factor(schedule, update, 40, 0.2)
        assert ours == pytest.approx(published if update >= 8 else (update + 1) / 8)
        optimizer.step()
        scheduler.step()


def test_every_schedule_stays_between_nothing_and_the_full_rate() -> None:
    for schedule in SCHEDULES:
        for updates in (1, 2, 7, 100):
            for warmup in (0.0, 0.3, 1.0):
                factors = [rate_factor(schedule, update, updates, warmup) for update in range(updates)]
                assert all(0 < factor <= 1 for factor in factors)
