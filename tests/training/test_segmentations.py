"""How new texts become tokens: as in the datasets of their task, and in one way for tasks that can share a pass."""

from pathlib import Path

import pyarrow as pa
import pytest

from mtl.config import Params, parse
from mtl.data.schema import schema, write
from mtl.training.segmentations import segmentations, unlike
from mtl.training.splits import Splits, read_splits

TAGS, MOOD = {"tags": {"type": "tags", "column": "tags"}}, {"mood": {"type": "class", "column": "mood"}}


def settings() -> Params:
    source = {"url": "x.jsonl", "sha256": "0" * 64}
    common = {"source": {"train": source}, "reader": {"format": "jsonl"}}
    return parse(
        {
            "seed": 1,
            "datasets": {"a": {**common, "labels": TAGS}, "b": {**common, "labels": TAGS}, "c": {**common, "labels": MOOD}},
            "tasks": {"names": {"type": "token_classification", "label": "tags"}, "mood": {"type": "classification", "label": "mood"}},
            "augment": {"methods": {}},
            "encoder": {"type": "fnn"},
            "train": {},
            "experiment": {"joint": ["plain"], "single_task": ["plain"]},
            "evaluate": {},
            "report": {},
        }
    )


def splits(folder: Path, params: Params, run: str, a: str, b: str, c: str) -> Splits:
    """Three rows of a, two of b and one of c, with the segmentation of each."""
    for name, segmentation, count in (("a", a, 3), ("b", b, 2), ("c", c, 1)):
        labels = {"mood": "class"} if name == "c" else {"tags": "tags"}
        label = {"mood": "glad"} if name == "c" else {"tags": ["B-x"]}
        row = {"split": "train", "tokens": ["Ann"], "space_after": [False], "parent_id": None, "augmenter": None, **label}
        rows = [{"id": f"{name}-{i}", **row} for i in range(count)]
        write(pa.Table.from_pylist(rows, schema=schema(labels, segmentation=segmentation)), folder / f"{name}.parquet")
    return read_splits(params, params.runs()[run], folder, folder)


@pytest.mark.parametrize(
    ("a", "b", "c", "names", "mood"),
    [
        ("words", "words", "spaces", "words", "words"),
        ("tweets", "tweets", "words", "tweets", "tweets"),
        ("tweets", "characters", "spaces", "tweets", "tweets"),
        ("characters", "characters", "words", "characters", "words"),
        ("words", "words", "characters", "words", "characters"),
    ],
)
def test_each_task_has_the_segmentation_of_most_of_its_rows(tmp_path: Path, a: str, b: str, c: str, names: str, mood: str) -> None:
    params = settings()
    joint = splits(tmp_path, params, "joint-plain-1", a, b, c)
    run = params.runs()["joint-plain-1"]
    assert segmentations(params, run, joint) == {"names": names, "mood": mood}
    warnings = list(unlike(params, run, joint))
    expected = f"names: its datasets have different segmentations (a: {a}, b: {b}); new texts are split into {names}"
    assert warnings == ([] if a == b else [expected])


def test_a_task_by_itself_keeps_its_own(tmp_path: Path) -> None:
    params = settings()
    run = params.runs()["single_mood-plain-1"]
    assert segmentations(params, run, splits(tmp_path, params, run.name, "words", "words", "spaces")) == {"mood": "spaces"}
