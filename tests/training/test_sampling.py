"""Shares of the datasets: their closed forms, and that they stay whole numbers of passes where they should."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from mtl.config import Sampling
from mtl.training.sampling import Passes, passes

SIZES = {"small": 100, "large": 900}


def made(sampling: Any, epoch_steps: int = 10, steps: int = 30) -> dict[str, Passes]:
    result = passes(TypeAdapter(Sampling).validate_python(sampling), SIZES, epoch_steps, steps)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("sampling", "share"),
    [
        ("uniform", 1 / 2),
        ({"type": "temperature", "temperature": 2}, 1 / 4),
        ({"type": "temperature", "temperature": 1}, 1 / 10),
        ({"type": "fixed", "shares": {"small": 3, "large": 1}}, 3 / 4),
    ],
)
def test_shares_that_stay(sampling: Any, share: float) -> None:
    result = made(sampling)
    # 1000 subwords an epoch.
    np.testing.assert_allclose(result["small"], np.arange(31) / 10 * share * 1000 / 100, rtol=1e-12)
    np.testing.assert_allclose(result["large"], np.arange(31) / 10 * (1 - share) * 1000 / 900, rtol=1e-12)


@pytest.mark.parametrize(("end", "share"), [(0.0, 1 / 2), (0.5, 1 / 4), (1.0, 1 / 10)])
def test_annealed_shares_go_from_proportional_to_the_end(end: float, share: float) -> None:
    small = np.diff(made({"type": "annealed", "end": end})["small"])
    assert small[0] == pytest.approx(1 / 10)  # as much of it as of all data in a step
    assert small[-1] == pytest.approx(share * 1000 / 100 / 10)
    assert (np.diff(small) >= -1e-12).all()
    power = 1 - (1 - end) * 12 / 29
    assert small[12] == pytest.approx(100**power / (100**power + 900**power))


def test_every_step_has_as_many_subwords_whatever_the_shares() -> None:
    for sampling in ("uniform", "annealed", {"type": "fixed", "shares": {"small": 3, "large": 1}}):
        result = made(sampling)
        np.testing.assert_allclose(sum(np.diff(result[name]) * size for name, size in SIZES.items()), 100)


def test_passes_reach_to_the_end_of_the_last_epoch() -> None:
    for sampling in ("uniform", "annealed"):
        assert {len(result) for result in made(sampling, steps=23).values()} == {31}
    assert len(made("uniform", epoch_steps=1, steps=1)["small"]) == 2


def test_proportional_is_left_to_whole_numbers() -> None:
    assert passes(TypeAdapter(Sampling).validate_python("proportional"), SIZES, 10, 30) is None
