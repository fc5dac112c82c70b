"""The benchmark of groups: its data and settings, and its figures from comparisons that were made up."""

import json
from pathlib import Path
from types import ModuleType

import pytest

import mtl.config

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import groups

    few = {name: groups.SETS[name]._replace(rows=30) for name in ("reviews", "slots")}
    monkeypatch.setattr(groups, "SETS", few)
    return groups


def test_rows_and_splits_are_those_that_are_stated(groups: ModuleType, tmp_path: Path) -> None:
    data = tmp_path / "sets"
    for folder in ("customer_reviews", "snips/train"):
        (data / folder).mkdir(parents=True)
    (data / "customer_reviews/two_thirds.txt").write_text("\n".join(f"{i % 2} a thing number{i % 200}" for i in range(400)))
    (data / "snips/train/seq.in").write_text("\n".join(f"play song{i}" for i in range(2_000)))
    (data / "snips/train/seq.out").write_text("\n".join("O B-song" for _ in range(2_000)))
    params = mtl.config.parse(groups.settings(data, tmp_path, groups.default_encoder(), 2.0, 3))
    assert params.datasets["reviews"].split.train == pytest.approx(30 / 200)  # equal texts count once
    assert params.datasets["slots"].split.train == pytest.approx(30 / (30 + 100 + 1_500))
    assert (params.experiment.seeds, params.encoder.max_length) == ((1, 2, 3), 64)
    row = json.loads((tmp_path / "slots.jsonl").read_text().splitlines()[0])
    assert (len(row["tokens"]), row["label"]) == (2, ["O", "B-song"])


def test_a_pick_is_compared_with_the_best_of_all_models(groups: ModuleType) -> None:
    def gain(task: str, within: str, first: float, kind: str = "group") -> dict[str, object]:
        return {"task": task, "within": within, "kind": kind, "first": first, "second": 0.5}

    pairs = [gain("a", "a+b", 0.6), gain("b", "a+b", 0.4), gain("a", "a+c", 0.7), gain("c", "a+c", 0.5)]
    table = groups.scores({"transfer": {"comparisons": pairs}, "comparisons": [gain(task, "joint", 0.55, "joint") for task in "abc"]})
    picked = groups.picks({"a": "a+b", "b": "b", "c": "joint"}, table)
    assert picked["best"].to_dict() == {"a": "c", "b": "joint", "c": "joint"}
    assert picked["shortfall"].astype(float).round(9).to_dict() == {"a": 0.1, "b": 0.05, "c": 0.0}
