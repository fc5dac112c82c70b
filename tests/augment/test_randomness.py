"""Draws are functions of where they are used."""

import numpy as np
import pyarrow as pa

from mtl.augment.randomness import Stream, draws, mix, uniform


def test_mix_is_splitmix64():
    first = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)  # state after one step from seed 0
    assert mix(first)[0] == 0xE220A8397B1DCDAF


def test_a_draw_depends_on_each_of_its_arguments_and_on_no_neighbour():
    stream = Stream(1, "synonym")
    keys = stream.keys(pa.array(["a", "b"]))
    together = draws(keys, 0, np.array([3, 3]))
    assert draws(keys[:1], 0, 3)[0] == together[0]
    others = [
        draws(Stream(2, "synonym").keys(pa.array(["a"])), 0, 3),
        draws(Stream(1, "other").keys(pa.array(["a"])), 0, 3),
        draws(keys[1:], 0, 3),
        draws(keys[:1], 1, 3),
        draws(keys[:1], 0, 4),
        draws(keys[:1], 0, 3, purpose=1),
    ]
    assert len({int(together[0]), *(int(other[0]) for other in others)}) == 7


def test_uniform_draws_fill_the_unit_interval():
    numbers = uniform(draws(Stream(1, "x").keys(pa.array(map(str, range(10_000)))), 0, 0))
    assert 0 <= numbers.min() < 0.01
    assert 0.99 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.02
