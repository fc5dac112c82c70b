"""The learning rate rises to its full value, then falls to just above nothing."""

import pytest

from mtl.training.schedule import warmup_linear


@pytest.mark.parametrize(
    ("step", "steps", "warmup", "factor"),
    [
        (0, 100, 0.1, 0.1),
        (9, 100, 0.1, 1.0),
        (10, 100, 0.1, 1.0),
        (55, 100, 0.1, 0.5),
        (99, 100, 0.1, 1 / 90),
        (0, 100, 0.0, 1.0),
        (0, 1, 1.0, 1.0),
        (1, 1, 1.0, 0.0),
    ],
)
def test_factor(step: int, steps: int, warmup: float, factor: float) -> None:
    assert warmup_linear(step, steps, warmup) == pytest.approx(factor)
