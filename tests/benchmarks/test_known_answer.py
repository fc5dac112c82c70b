"""One replication of the benchmark with a known prediction; the benchmark itself makes twenty, of more seeds."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mtl.data import schema

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import known_answer

    torch.set_num_threads(1)
    return known_answer


def test_pairs_share_their_words_and_classes_or_nothing(known: ModuleType, tmp_path: Path) -> None:
    words = {}
    for pair in known.PAIRS:
        known.write(pair, 3, tmp_path)
        tables = {name: schema.read(tmp_path / f"{name}.parquet").to_pylist() for name in known.SIZES}
        words[pair] = [{word for row in rows for word in row["tokens"]} for rows in tables.values()]
        assert {name: len(rows) for name, rows in tables.items()} == {name: sum(sizes.values()) for name, sizes in known.SIZES.items()}
    assert words["related"][0] == words["related"][1] == words["unrelated"][0]
    assert not words["unrelated"][0] & words["unrelated"][1]


def test_what_is_shared_puts_the_joint_model_ahead(known: ModuleType) -> None:
    few, _ = known.replicate("related", 1, [1])
    assert (few.task, few.verdict) == ("few", "ahead")
    assert few.difference > 0.1


def test_what_is_not_shared_is_called_no_difference(known: ModuleType) -> None:
    found = known.replicate("unrelated", 1, [2])
    assert [(result.task, result.verdict) for result in found] == [("few", "no difference shown"), ("many", "no difference shown")]
    assert all(abs(result.difference) < 0.1 for result in found)


def test_the_table_counts_verdicts_and_replications(known: ModuleType, tmp_path: Path) -> None:
    lines = [
        known.Result(number, pair, 3, task, 0.5, 0.1, *np.array([0.0, 0.2]), verdict)
        for number, pair, task, verdict in (
            (0, "related", "few", "gained"),
            (1, "related", "few", "no difference shown"),
            (0, "unrelated", "few", "gained"),
            (0, "unrelated", "many", "lost"),
            (1, "unrelated", "few", "no difference shown"),
        )
    ]
    known.append(lines[:2], tmp_path / "results.csv")
    known.append(lines[2:], tmp_path / "results.csv")
    assert known.read(tmp_path / "results.csv") == lines
    table = known.table(lines).splitlines()
    assert "| related | 3 | few | 2 | 0.500 | 0.100 | 1 | 0 | 1 |" in table
    assert table[-1] == "seeds 3: no false claim in 1 of 2 replications of the unrelated pair"
