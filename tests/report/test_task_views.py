"""What the task types add to the report: all of few classes, and of many the mistakes that matter first."""

from typing import Any

import pandas as pd
import pytest

from mtl.report.blocks import Block, Figure, Matrix, Table
from mtl.report.task_views import DRAWN, PAIRS, SMALL, TaskResults, blocks_of
from mtl.tasks.base import TaskType
from mtl.tasks.classification import Classification
from mtl.tasks.token_classification import TokenClassification


def results(counts: list[list[int]], task_type: type[TaskType] = Classification) -> TaskResults:
    classes = [f"class {i:03d}" for i in range(len(counts))]
    per_class = {name: {"precision": 0.5, "recall": 0.25, "f1": 0.1 + i / 999, "support": sum(counts[i])} for i, name in enumerate(classes)}
    joint: dict[str, Any] = {"per_class": per_class}
    if task_type is Classification:
        joint["confusion"] = {"classes": classes, "counts": counts}
    return TaskResults("mood", task_type, {"joint": joint, "single-task": {"per_class": per_class}}, pd.DataFrame)


def counts(size: int) -> list[list[int]]:
    """As many right rows as wrong ones; the last class is taken for the first most often."""
    return [[size if i == j else 9 if (i, j) == (size - 1, 0) else (i + j) % 3 for j in range(size)] for i in range(size)]


def views(blocks: list[Block]) -> list[str]:
    return [block.view for block in blocks]


@pytest.mark.parametrize(
    ("size", "expected"), [(2, ["matrix"]), (6, ["matrix", "figure", "table"]), (SMALL, ["matrix", "figure", "table"])]
)
def test_a_matrix_of_few_classes_shows_all_cells(size: int, expected: list[str]) -> None:
    blocks = blocks_of(results(counts(size)))
    assert views(blocks) == expected
    matrix = blocks[0]
    assert isinstance(matrix, Matrix)
    rows = list(matrix.rows())
    assert [[cell.rows for cell in cells] for _, _, cells in rows] == counts(size)
    assert all(bool(cell.link) == (not cell.right and cell.rows > 0) for _, _, cells in rows for cell in cells)
    assert all(abs(sum(cell.share for cell in cells) - 1) < 1e-9 for _, _, cells in rows)


@pytest.mark.parametrize("size", [77, 150])
def test_of_many_classes_the_most_confused_pairs_come_first(size: int) -> None:
    pairs, heatmap, figure, table = blocks_of(results(counts(size)))
    assert isinstance(pairs, Table)
    assert isinstance(heatmap, Figure)
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert len(pairs.frame) == len(pairs.links) == PAIRS
    assert list(pairs.frame["rows"]) == sorted(pairs.frame["rows"], reverse=True)
    assert list(pairs.frame.iloc[0][["gold", "predicted", "rows"]]) == [f"class {size - 1:03d}", "class 000", 9]
    assert pairs.links[0] == f"#errors?task=mood&model=joint&gold=class+{size - 1:03d}&predicted=class+000"
    assert heatmap.wide
    assert heatmap.chart
    assert len(heatmap.chart["datasets"]["rows"]) == sum(cell > 0 for row in counts(size) for cell in row)  # empty cells cost nothing
    assert f"the {DRAWN} most frequent of {size}" in figure.note
    assert len(table.frame) == size


def test_of_sets_of_classes_shares_are_those_of_the_gold_rows() -> None:
    found = results([[8, 6, 6], [0, 1, 0], [0, 0, 2]])
    found.scores["joint"]["confusion"]["gold"] = [14, 1, 2]
    matrix = blocks_of(found)[0]
    assert isinstance(matrix, Matrix)
    assert matrix.note == (
        "most frequent mistake: 43 % of class 000 predicted as class 001; a row counts for each missed class with each added one"
    )
    [(_, total, cells), *_] = matrix.rows()
    assert (total, [cell.share for cell in cells]) == (14, [8 / 14, 6 / 14, 6 / 14])


def test_without_mistakes_that_is_said() -> None:
    [matrix] = blocks_of(results([[3, 0], [0, 4]]))
    assert matrix.note == "no mistakes"


def test_a_class_without_gold_rows_has_no_share() -> None:
    matrix = blocks_of(results([[0, 0], [1, 4]]))[0]
    assert isinstance(matrix, Matrix)
    [(_, total, cells), _] = matrix.rows()
    assert (total, [cell.share for cell in cells]) == (0, [0.0, 0.0])


def test_both_models_stand_beside_each_other() -> None:
    _, table = blocks_of(results(counts(3), TokenClassification))
    assert isinstance(table, Table)
    assert list(table.frame.columns) == ["entity type", "rows", "precision", "recall", "joint F1", "single-task F1"]
    assert [cell.text for cell in next(table.rows())][2:4] == ["0.500", "0.250"]
