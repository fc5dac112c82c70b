"""Planted wrong labels are named, by models that have not seen them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.config import Params, parse
from mtl.data import schema
from mtl.monitoring.label_audit import COLUMNS, find_issues, run_fold, write_issues
from mtl.pipeline.audit import LabelAudit

WORDS = {"bad": ("awful", "boring", "dreadful"), "good": ("great", "lovely", "superb")}
FILLER = [letter * 3 for letter in "abcdefghijklmnopqrstuvwxyz"]
CITIES = ("Oslo", "Lima", "Cairo", "Quito")


def settings(**sections: Any) -> Params:
    labels = {
        "mood": {"type": "class", "column": "mood"},
        "names": {"type": "tags", "column": "names"},
        "stars": {"type": "number", "column": "n"},
    }
    source = {"source": {"url": "file:///nowhere"}, "reader": {"format": "jsonl"}, "labels": labels}
    return parse(
        {
            "seed": 1,
            "datasets": {"texts": {**source, "split": {"train": 0.8, "validation": 0.1, "test": 0.1}}},
            "tasks": {
                "mood": {"type": "classification", "label": "mood"},
                "names": {"type": "token_classification", "label": "names"},
                "stars": {"type": "regression", "label": "stars"},
            },
            "encoder": {"type": "fnn", "width": 16, "window": 1, "layers": 1, "vocabulary": 300, "max_length": 32},
            "train": {"epochs": 12, "batch_tokens": 200, "learning_rate": 1e-2, "head_learning_rate": 1e-2, "eval_every": 1000},
            "experiment": {"joint": ["plain"], "single_task": []},
            "audit": {"folds": 2},
            **sections,
        }
    )


def row(draw: np.random.Generator, number: int, wrong: bool) -> dict[str, Any]:
    mood = str(draw.choice(list(WORDS)))
    tokens = [FILLER[n] for n in draw.integers(26, size=4)] + [str(draw.choice(WORDS[mood])), str(draw.choice(CITIES))]
    names = ["O"] * 5 + ["O" if wrong else "B-city"]
    split = "train" if number < 260 else "validation" if number < 300 else "test"
    shown = {"bad": "good", "good": "bad"}[mood] if wrong else mood
    return {"id": f"all-{number}", "split": split, "tokens": tokens, "mood": shown, "names": names, "stars": 1.0}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str], str]:
    """A finished audit: its folder, the ids of the rows with wrong labels, and what was said."""
    root, draw = tmp_path_factory.mktemp("audit"), np.random.default_rng(0)
    wrong = {f"all-{n}" for n in draw.choice(260, 13, replace=False)}
    rows = [row(draw, n, f"all-{n}" in wrong) | {"parent_id": None, "augmenter": None} for n in range(320)]
    rows = [row | {"space_after": [True] * len(row["tokens"])} for row in rows]
    table = pa.Table.from_pylist(rows, schema=schema.schema({"mood": "class", "names": "tags", "stars": "number"}))
    schema.write(table, root / "data/examples/texts.parquet")
    params = settings()
    audit = LabelAudit(params, root)
    assert [run_fold(params, number, audit) for number in (0, 1, 1)] == [True, True, False]
    return root, wrong, write_issues(params, audit)


def test_wrong_labels_are_named_first(audited: tuple[Path, set[str], str]) -> None:
    root, wrong, words = audited
    summary = json.loads((root / "data/audit/summary.json").read_text())
    assert summary["tasks"]["mood"]["labels"] == 260
    assert summary["tasks"]["names"]["labels"] == 260 * 6
    for task, recall in (("mood", 0.8), ("names", 0.7)):
        found = [issue["id"] for issue in summary["tasks"][task]["issues"]]
        assert len(wrong & set(found)) / len(wrong) >= recall
        assert len(wrong & set(found)) / len(found) >= 0.8
    assert "stars" not in summary["tasks"]  # a number has no choices
    assert words.startswith(f"labels that are likely wrong: mood {len(summary['tasks']['mood']['issues'])}, names ")


def test_an_issue_says_what_is_wrong(audited: tuple[Path, set[str], str]) -> None:
    root, wrong, _ = audited
    with (root / "data/audit/issues.csv").open(encoding="utf-8", newline="") as file:
        issues = list(csv.DictReader(file))
    assert [json.loads(line) for line in (root / "data/audit/issues.jsonl").read_text().splitlines()] == [
        issue | {name: float(issue[name]) for name in ("label_confidence", "confidence")} for issue in issues
    ]
    assert tuple(issues[0]) == COLUMNS
    (city, *_) = [issue for issue in issues if issue["task"] == "names" and issue["id"] in wrong]
    assert (city["label"], city["suggested"]) == ("O", "B-city")
    assert city["token"] in CITIES
    assert city["text"].endswith(city["token"])
    assert float(city["confidence"]) > 0.5 > float(city["label_confidence"])


def test_a_row_is_judged_once_by_the_model_that_has_not_seen_it(audited: tuple[Path, set[str], str]) -> None:
    root, *_ = audited
    audit = LabelAudit(settings(), root)
    folds = [set(pq.read_table(path).to_pandas()["id"]) for path in audit.folds()]
    assigned = json.loads((audit.work / "folds.json").read_text())["texts"]
    assert folds == [{row for row, fold in assigned.items() if fold == number} for number in (0, 1)]
    assert not folds[0] & folds[1]
    assert {int(row.removeprefix("all-")) for row in folds[0] | folds[1]} == set(range(260))


def test_other_settings_are_another_audit(tmp_path: Path) -> None:
    first = LabelAudit(settings(), tmp_path).work
    assert LabelAudit(settings(report={"samples": 3}), tmp_path).work == first
    assert LabelAudit(settings(audit={"folds": 3}), tmp_path).work != first
    assert LabelAudit(settings(seed=2), tmp_path).work != first


def judged(choices: list[list[str]], given: list[str], probabilities: list[list[float]], decisions: list[str]) -> pd.DataFrame:
    number = range(len(given))
    about = {"task": "t", "dataset": "d", "text": "x", "token": "", "place": 0}
    lists = {"choices": choices, "label": given, "probabilities": probabilities, "decision": decisions}
    return pd.DataFrame({"id": [f"{i:03}" for i in number], **lists}).assign(**about)


def test_folds_may_know_different_classes() -> None:
    draw = np.random.default_rng(0)
    given = [str(name) for name in draw.choice(["a", "b", "c"], 120)]
    right = list(given)
    right[5] = "b" if given[5] == "a" else "a"
    choices = [["a", "b"] if i < 60 and given[i] != "c" else ["a", "b", "c"] for i in range(120)]
    probabilities = [[0.9 if name == truth else 0.1 / (len(own) - 1) for name in own] for own, truth in zip(choices, right, strict=True)]
    (issue,) = find_issues(judged(choices, given, probabilities, [""] * 120))
    assert (issue["id"], issue["label"], issue["suggested"]) == ("005", given[5], right[5])


def test_each_class_of_a_set_is_judged_by_itself() -> None:
    given = ["present", "absent"] * 60
    present = [0.9, 0.1] * 60
    present[6] = 0.05
    decisions = ["joy"] * 60 + ["fear"] * 60
    rows = judged([["absent", "present"]] * 120, given, [[1 - p, p] for p in present], decisions)
    (issue,) = find_issues(rows)
    assert (issue["decision"], issue["label"], issue["suggested"]) == ("joy", "present", "absent")
    assert find_issues(rows[rows["label"] == "present"]) == []  # one choice only
