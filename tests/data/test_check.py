"""What is checked over all datasets: leakage between them, and the labels of each task."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mtl.config import Params, parse
from mtl.data.check import Labels, all_warnings, check_examples, label_errors, label_warnings
from mtl.data.prepare import prepare
from mtl.errors import DataError
from mtl.names import ACROSS_DATASETS

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LABELS = {"topic": {"type": "class", "column": "label"}}


def text(number: int) -> str:
    return f"q{LETTERS[number % 26]} w{LETTERS[number // 26 % 26]} e{LETTERS[number % 7]}"


def lines(numbers: range, label: Any = None) -> str:
    return "".join(json.dumps({"text": text(i), "label": label or LETTERS[i % 2]}) + "\n" for i in numbers)


def project(tmp_path: Path, datasets: dict[str, Any], files: dict[str, str], **tasks: Any) -> Params:
    """Settings, and raw files by ``<dataset>/<source>``."""
    for name, content in files.items():
        (tmp_path / "raw" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name / "file").write_text(content)
    sources: dict[str, dict[str, Any]] = {name: {} for name in datasets}
    for name in files:
        dataset, _, source = name.partition("/")
        sources[dataset][source] = {"url": "x"}
    content = {
        name: {
            "source": {"url": "x"} if "all" in sources[name] else sources[name],
            "reader": {"format": "jsonl"},
            "labels": LABELS,
            **more,
        }
        for name, more in datasets.items()
    }
    return parse(
        {
            "seed": 1,
            "datasets": content,
            "tasks": tasks or {"topic": {"type": "classification", "label": "topic"}},
            "encoder": {"type": "cnn"},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


def checked(tmp_path: Path, params: Params) -> dict[str, Any]:
    """Prepare all datasets and check them."""
    out = tmp_path / "examples"
    out.mkdir(exist_ok=True)
    for name in params.datasets:
        prepare(params, name, tmp_path / "raw" / name, out)
    check_examples(params, out, out)
    return dict(json.loads((out / ACROSS_DATASETS).read_text()))


def card(tmp_path: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((tmp_path / "examples" / f"{name}.json").read_text()))


OFFICIAL = {"a/train": lines(range(100, 200)), "a/test": lines(range(30)), "b/train": lines(range(60)), "b/test": lines(range(200, 240))}
OWN = {**OFFICIAL, "b/test": OFFICIAL["b/test"] + lines(range(50, 55))}
"""Five test rows of b are in its own train rows too, which its data card counts."""


def test_test_rows_of_one_dataset_in_train_of_another_are_counted(tmp_path: Path) -> None:
    result = checked(tmp_path, project(tmp_path, {"a": {}, "b": {}}, OWN))
    [entry] = result["leakage"]
    assert (entry["held_out"], entry["train"], entry["tasks"]) == ("a", "b", ["topic"])
    assert entry["exact"] == {"validation": 0, "test": 30}
    assert entry["near"] == {"validation": 0, "test": 0}
    sample = entry["samples"][0]
    assert (sample["id"], sample["train_id"], sample["text"], sample["train_text"]) == ("test-1", "train-1", text(0), text(0))
    assert [card(tmp_path, name)["leakage"]["exact"] for name in "ab"] == [{"test": 0}, {"test": 5}]


def test_near_texts_and_texts_of_other_tasks_are_told_apart(tmp_path: Path) -> None:
    files = {**OFFICIAL, "b/train": lines(range(300, 330)) + lines(range(20)).replace("qa", "QA,")}
    tasks = {name: {"type": "classification", "label": "topic", "datasets": [name]} for name in ("a", "b")}
    [entry] = checked(tmp_path, project(tmp_path, {"a": {}, "b": {}}, files, **tasks))["leakage"]
    assert entry["tasks"] == []
    assert entry["near"]["test"] >= 1
    assert entry["exact"]["test"] + entry["near"]["test"] == 20


def test_leaked_train_rows_are_dropped_where_the_settings_say_so(tmp_path: Path) -> None:
    result = checked(tmp_path, project(tmp_path, {"a": {}, "b": {"drop_leaked": True}}, OWN))
    assert result["leakage"] == []
    assert card(tmp_path, "b")["dropped"] == {"total": 35, "exact": 35, "near": 0}
    assert card(tmp_path, "b")["rows"]["train"] == 25
    assert "dropped" not in card(tmp_path, "a")


def test_rows_that_shares_assign_are_held_out_where_another_dataset_holds_them_out(tmp_path: Path) -> None:
    files = {**OFFICIAL, "b/all": OFFICIAL["b/train"]}
    del files["b/train"], files["b/test"]
    params = project(tmp_path, {"a": {}, "b": {"split": {"train": 0.9, "test": 0.1}}}, files)
    assert checked(tmp_path, params)["leakage"] == []
    assert card(tmp_path, "b")["rows"]["test"] >= 30


def test_another_dataset_with_the_same_shares_is_not_read(tmp_path: Path) -> None:
    shares, files = {"split": {"train": 0.5, "test": 0.5}}, {"a/all": "", "b/all": ""}
    same = project(tmp_path, {"a": shares, "b": shares}, files)
    other = project(tmp_path, {"a": shares, "b": {"split": {"train": 0.6, "test": 0.4}}}, files)
    assert (same.compared_with("a"), other.compared_with("a"), other.compared_with("b")) == ((), ("b",), ("a",))
    train_only = project(tmp_path, {"a": shares, "b": {"split": {"train": 1.0}}}, files)
    assert (train_only.compared_with("a"), train_only.compared_with("b")) == ((), ())


def test_a_task_that_cannot_be_scored_or_learned_fails(tmp_path: Path) -> None:
    params = project(tmp_path, {"a": {}}, {"a/train": lines(range(9), "x"), "a/test": lines(range(30, 40))})
    with pytest.raises(DataError, match="task topic: label 'topic' is 'x' in every train row of a, so there is nothing to learn"):
        checked(tmp_path, params)
    both = {"labels": LABELS | {"other": {"type": "class", "column": "other"}}}
    tasks = {name: {"type": "classification", "label": name} for name in ("topic", "other")}
    rows = "".join(json.dumps({"text": text(i), "label": "xy"[i % 2], "other": "pq"[i % 2]}) + "\n" for i in range(9))
    files = {"a/train": rows, "a/test": '{"text": "x", "label": "x", "other": null}\n'}
    params = project(tmp_path / "two", {"a": both}, files, **tasks)
    with pytest.raises(DataError, match="task other: no test row of a has the label 'other'; give test a share or a source with"):
        checked(tmp_path / "two", params)


def test_a_class_that_settings_name_must_occur(tmp_path: Path) -> None:
    files = {"a/train": lines(range(9)) + lines(range(9, 20), "y"), "a/test": lines(range(30, 40))}
    task = {"type": "classification", "label": "topic", "metric": "f1:z", "class_weights": {"y": 2, "Y": 3}}
    with pytest.raises(DataError) as caught:
        checked(tmp_path, project(tmp_path, {"a": {}}, files, topic=task))
    assert str(caught.value).splitlines() == [
        "tasks.topic.metric: no train row of a has 'z'; choose from: a, b, y",
        "tasks.topic.class_weights: no train row of a has 'Y'; choose from: a, b, y",
    ]


def labels(**values: int) -> Labels:
    return Labels(sum(values.values()), Counter(values), [{"rows": sum(values.values()), "classes": values}])


NONE = Labels(0, Counter(), [])


def test_what_is_odd_about_labels_is_a_warning() -> None:
    fine = {"train": labels(x=9, y=9), "validation": labels(x=1, y=1), "test": labels(x=1, y=1)}
    assert list(label_warnings("t", fine)) == []
    assert list(label_warnings("t", fine | {"validation": NONE})) == ["t: no validation row has its label"]
    assert list(label_warnings("t", fine | {"train": labels(x=9, z=1), "test": labels(x=4)})) == [
        "t: classes or entity types with only 1 train label: z",
        "t: the validation split has y, never seen in training",
        "t: the test split lacks z, so predicting one is always wrong",
    ]


CONSTANT = [
    ({"rows": 3, "classes": {"x": 3}}, "'x'"),
    ({"rows": 3, "classes": {"x": 2, "y": 1}}, None),
    ({"rows": 3, "classes": {"x": 2}}, None),  # of a set of classes, which one row lacks
    ({"rows": 3, "entities": {}}, "free of entities"),
    ({"rows": 3, "entities": {"x": 3}}, None),
    ({"rows": 3, "mean": 2.0, "std": 1.0, "min": 2.0, "max": 2.0}, "2"),
    ({"rows": 3, "mean": 2.0, "std": 1.0, "min": 1.0, "max": 2.0}, None),
    ({"rows": 3}, None),
]


@pytest.mark.parametrize(("summary", "constant"), CONSTANT)
def test_labels_that_are_all_the_same_are_an_error(tmp_path: Path, summary: dict[str, Any], constant: str | None) -> None:
    counts = next((value for value in summary.values() if isinstance(value, dict)), {})
    made = Labels(3, Counter(counts), [summary])
    assert made.constant == constant
    params = project(tmp_path, {"a": {}}, {"a/train": "", "a/test": ""})
    assert len(list(label_errors(params, "topic", {"train": made, "test": made}))) == (constant is not None)


def test_an_entry_names_the_tasks_of_both_datasets() -> None:
    entry = {"held_out": "a", "train": "b", "tasks": ["x", "y"], "exact": {"test": 1}, "near": {"test": 0}}
    assert all_warnings({"leakage": [entry, {**entry, "tasks": [], "near": {"test": 1234}}], "warnings": ["w"]}) == [
        "a: 1 held-out text is in train of b, from which x, y learn too: 1 exactly, 0 nearly.",
        "a: 1,235 held-out texts are in train of b, from which only other tasks learn: 1 exactly, 1,234 nearly.",
        "w",
    ]
