"""Verdicts: real differences are found, chance is not called a gain, and Δm follows its definition."""

import numpy as np
import pytest

from mtl.evaluation.bootstrap import draws, resample
from mtl.evaluation.comparison import Key, Scores, compare, corrected_confidence, overall, shared, verdict

ROWS = 300
KEYS = [str(i) for i in range(ROWS)]
BLOCKS = list(resample(KEYS, 400))
SAME = ("no difference shown",) * 2
GOLD = ["a", "b"] * (ROWS // 2)


def predictions(accuracy: float, seed: int) -> list[str]:
    right = np.random.default_rng(seed).random(ROWS) < accuracy
    return [label if ok else "ab".replace(label, "") for label, ok in zip(GOLD, right, strict=True)]


def scores(*accuracies: float, seed: int = 0) -> Scores:
    drawn = [draws("classification", GOLD, predictions(p, seed + i), BLOCKS)[1]["accuracy"] for i, p in enumerate(accuracies)]
    values = [float(np.mean([a == b for a, b in zip(GOLD, predictions(p, seed + i), strict=True)])) for i, p in enumerate(accuracies)]
    return Scores(tuple(range(1, len(accuracies) + 1)), np.array(values), np.stack(drawn))


def constant(*values: float) -> Scores:
    return Scores(tuple(range(1, len(values) + 1)), np.array(values), np.repeat(np.array(values)[:, None], 50, axis=1))


def grid(**named: Scores) -> dict[Key, Scores]:
    """Keys such as ``t_joint_plain``."""
    return {Key(*name.split("_")): value for name, value in named.items()}


def test_a_large_difference_is_a_gain_and_its_mirror_a_loss() -> None:
    result = compare(grid(t_joint_plain=scores(0.9, 0.9, 0.9), t_single_plain=scores(0.7, 0.7, 0.7, seed=9)), 0.95)
    assert [(item["kind"], item["within"], item["verdict"]) for item in result] == [("joint", "plain", "gained")]
    result = compare(grid(t_joint_plain=scores(0.7, 0.7, 0.7), t_single_plain=scores(0.9, 0.9, 0.9, seed=9)), 0.95)
    assert result[0]["verdict"] == "lost"
    assert result[0]["difference"] == pytest.approx(result[0]["first"] - result[0]["second"])


def test_equal_runs_differ_in_nothing() -> None:
    item = compare(grid(t_joint_augmented=scores(0.8), t_joint_plain=scores(0.8)), 0.95)[0]
    assert (item["kind"], item["difference"], item["low"], item["high"]) == ("augmentation", 0, 0, 0)
    assert item["verdict"] == "no difference shown"


def test_chance_is_seldom_called_a_difference() -> None:
    """Twenty experiments of two tasks whose runs are equally good: at most one false claim."""
    false = 0
    for seed in range(20):
        runs = grid(
            t_joint_plain=scores(0.8, seed=100 * seed),
            t_single_plain=scores(0.8, seed=100 * seed + 50),
            u_joint_plain=scores(0.7, seed=100 * seed + 7),
            u_single_plain=scores(0.7, seed=100 * seed + 57),
        )
        false += any(item["verdict"] != "no difference shown" for item in compare(runs, 0.95))
    assert false <= 1


def test_the_correction_widens_intervals_with_the_number_of_comparisons() -> None:
    assert corrected_confidence(0.95, 1) == pytest.approx(0.95)
    assert corrected_confidence(0.95, 5) == pytest.approx(0.99)
    single = grid(t_joint_plain=scores(0.8), t_single_plain=scores(0.75, seed=3))
    crowd = {
        **single,
        **grid(u_joint_plain=scores(0.8), u_single_plain=scores(0.8, seed=4), v_joint_plain=scores(0.8), v_single_plain=scores(0.8)),
    }
    one, three = compare(single, 0.95)[0], compare(crowd, 0.95)[0]
    assert (one["low"], one["corrected_low"]) == (three["low"], one["low"])
    assert three["corrected_low"] < three["low"]
    assert three["corrected_high"] > three["high"]


def test_seeds_are_paired() -> None:
    first, second = shared(constant(0.5, 0.6, 0.7), Scores((3, 2), np.array([0.4, 0.5]), np.zeros((2, 50))))
    assert (first.seeds, first.values.tolist(), second.values.tolist()) == ((2, 3), [0.6, 0.7], [0.5, 0.4])
    item = compare(grid(t_joint_plain=constant(0.6, 0.4), t_single_plain=constant(0.4, 0.4)), 0.95)[0]
    assert (item["difference"], item["sd"]) == (pytest.approx(0.1), pytest.approx(np.std([0.2, 0.0], ddof=1)))
    assert item["verdict"] == "no difference shown"  # one of two seeds shows nothing


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.2, ("ahead", "gained")), (-0.2, -0.01, ("behind", "lost")), (-0.1, 0.1, SAME), (0, 0.1, SAME)],
)
def test_one_seed_gives_no_verdict_on_training(low: float, high: float, words: tuple[str, str]) -> None:
    assert (verdict(low, high, seeds=1), verdict(low, high, seeds=2)) == words


def test_delta_m_is_the_mean_relative_gain() -> None:
    runs = grid(t_joint_plain=constant(0.55), t_single_plain=constant(0.5), u_joint_plain=constant(0.72), u_single_plain=constant(0.8))
    [item] = overall(runs, ["t", "u"], 0.95)
    assert item["tasks"] == pytest.approx({"t": 10, "u": -10})
    assert item["delta_m"] == pytest.approx(0)
    assert (item["low"], item["high"]) == (pytest.approx(0), pytest.approx(0))


def test_a_fall_is_a_gain_where_lower_is_better() -> None:
    first, second = (scores(*accuracies)._replace(sign=-1) for accuracies in ((0.6, 0.6, 0.6), (0.9, 0.9, 0.9)))
    [item] = compare(grid(t_joint_plain=first, t_single_plain=second), 0.95)
    assert (item["difference"] < 0, item["verdict"]) == (True, "gained")
    [item] = compare(grid(t_joint_plain=second, t_single_plain=first), 0.95)
    assert (item["difference"] > 0, item["verdict"]) == (True, "lost")
    low, high = constant(2.0)._replace(sign=-1), constant(2.5)._replace(sign=-1)
    [item] = overall(grid(t_joint_plain=low, t_single_plain=high, u_joint_plain=constant(0.5), u_single_plain=constant(0.5)), "tu", 0.95)
    assert item["tasks"] == pytest.approx({"t": 20, "u": 0})
    assert (item["delta_m"], item["low"], item["high"]) == pytest.approx((10, 10, 10))


def test_delta_m_says_when_it_has_no_value() -> None:
    runs = grid(t_joint_plain=constant(0.5), t_single_plain=constant(0.0), u_joint_plain=constant(0.7), u_single_plain=constant(0.8))
    [item] = overall(runs, ["t", "u"], 0.95)
    assert (item["delta_m"], item["undefined"]) == (None, "t scores at most 0 as a single task")
    assert overall(grid(t_joint_plain=constant(0.5)), ["t"], 0.95) == []


def test_delta_m_of_seeds_is_that_of_their_means_and_a_seed_near_zero_does_not_rule_it() -> None:
    single, other = constant(0.001, 0.5, 0.499), constant(0.5, 0.5, 0.5)
    runs = grid(t_joint_plain=constant(0.4, 0.3, 0.5), t_single_plain=single, u_joint_plain=other, u_single_plain=other)
    [item] = overall(runs, ["t", "u"], 0.95)
    assert item["delta_m"] == pytest.approx(100 * (0.4 / (1 / 3) - 1) / 2)
    assert item["low"] + item["high"] == pytest.approx(2 * item["delta_m"])
    assert item["low"] > -500


def test_sizes_are_compared_each_by_itself_and_corrected_together() -> None:
    few, all_ = {"size": 50}, {}
    runs = {
        Key("t", model, "plain", **size): scores(accuracy, accuracy, seed=seed)
        for model, accuracy, size, seed in (
            ("joint", 0.9, few, 0),
            ("single", 0.6, few, 10),
            ("joint", 0.8, all_, 20),
            ("single", 0.8, all_, 30),
        )
    }
    result = compare(runs, 0.95)
    assert [(item["size"], item["within"]) for item in result] == [(50, "plain"), ("all", "plain")]
    assert result[0]["difference"] > 0.2 > abs(result[1]["difference"])
    assert result[0]["corrected_low"] < result[0]["low"]
    both = {**runs, **{key._replace(task="u"): value for key, value in runs.items()}}
    assert [(item["data"], item["size"]) for item in overall(both, ["t", "u"], 0.95)] == [("plain", 50), ("plain", "all")]
