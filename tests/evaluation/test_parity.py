"""Scores on raw text beside those on tokens, paired by row."""

import json

from mtl.evaluation.parity import Labels, parity
from mtl.tasks.token_classification import TokenClassification

METRIC = TokenClassification.metric()
KEYS = [f"d\x1e{i}" for i in range(40)]
GOLD = [json.dumps(["B-x", "O"])] * 40
OF_CHARACTERS = [json.dumps(["B-x", "I-x", "O", "O"])] * 40
MISSED = json.dumps(["O"] * 4)


def test_equal_predictions_have_no_difference() -> None:
    found = parity("token_classification", METRIC, KEYS, Labels(GOLD, GOLD), Labels(OF_CHARACTERS, OF_CHARACTERS), 50, 0.95)
    assert found == (1, 1, 0, 0, 0)
    assert not found.differs


def test_a_difference_in_many_rows_differs_and_one_in_a_single_row_does_not() -> None:
    many, one = ([MISSED] * n + OF_CHARACTERS[n:] for n in (20, 1))
    found = parity("token_classification", METRIC, KEYS, Labels(GOLD, GOLD), Labels(OF_CHARACTERS, many), 200, 0.95)
    assert found.differs
    assert found.low <= found.difference == found.raw_text - 1 <= found.high < 0
    assert not parity("token_classification", METRIC, KEYS, Labels(GOLD, GOLD), Labels(OF_CHARACTERS, one), 200, 0.95).differs
