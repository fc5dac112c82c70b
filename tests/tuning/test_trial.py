"""Trials on a small real project: what they leave, what they see, and how they go on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import mtl.config
from mtl.config import Params
from mtl.data import schema
from mtl.errors import UnfitError
from mtl.pipeline.search import Search
from mtl.training.loop import Loop
from mtl.tuning import trial as trials
from mtl.tuning.objective import main_metrics, validations
from mtl.tuning.study import Study
from mtl.tuning.summary import write_summary
from mtl.tuning.trial import run_trial, told
from tuning.conftest import searched

MakeSearch = Callable[..., Search]


def searched_through(params: Params, search: Search, numbers: list[int] | None = None) -> list[dict[str, Any]]:
    """All trials in this order; returns them by number, without their times."""
    for number in numbers or range(params.tune.trials):  # type: ignore[union-attr,arg-type]
        run_trial(params, number, search)
    done = [json.loads(Path(path).read_text()) for path in search.trials() if Path(path).exists()]
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in done]


def test_a_search_to_its_end(small: Params, make_search: MakeSearch) -> None:
    search = make_search(small)
    trials = searched_through(small, search)
    assert [(trial["number"], trial["state"]) for trial in trials] == [(number, "complete") for number in range(4)]
    assert trials[0]["score"] == 1
    for trial in trials:
        gains = [trial["tasks"][task] / max(value, 0.1) for task, value in trials[0]["tasks"].items() if value >= 0.1]
        assert len(gains) < 3 or trial["score"] == pytest.approx(sum(gains) / 3)
    assert not (search.work / "trials" / "1").exists()
    line = told(Study(small, search.study), 2, workers=2)
    assert line.startswith(f"trial 2 scores {trials[2]['score']:.4f} (names ")
    assert "4 of 4 done, best" in line

    words = write_summary(small, search)
    summary = json.loads((search.out / "summary.json").read_text())
    best = max(trials, key=lambda trial: trial["score"])
    assert (summary["best"], summary["reference"]) == (best["number"], trials[0]["tasks"])
    assert [trial | {"seconds": 0} for trial in summary["trials"]] == [trial | {"seconds": 0} for trial in trials]
    assert set(summary["importance"]) == set(small.tune.space)  # type: ignore[union-attr]
    assert ("No trial beats" if best["number"] == 0 else f"Trial {best['number']} of 4") in words
    params = mtl.config.load(search.out / "best.yaml")
    assert {"train.learning_rate": params.train.learning_rate, "augment.share": params.augment.share} == best["params"]
    assert params.tune == small.tune
    page = (search.out / "tune.html").read_text()
    assert page.count('<figure class="card') == 3
    assert (search.out / "trials.csv").read_text().startswith("number,state,score,names,mood,rating,train.learning_rate,augment.share,")


def test_a_trial_is_judged_by_the_validations_that_choose_its_weights(
    make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params, seen = searched(train={"score_window": 2, "eval_every": 2}), tmp_path / "seen"

    def watched(*args: Any, **options: Any) -> bool:
        result = train(*args, **options)
        shutil.copytree(args[5], seen)
        return result

    train = trials.train
    monkeypatch.setattr(trials, "train", watched)
    (trial,) = searched_through(params, make_search(params), [0])
    best = json.loads((seen / "run.json").read_text())["best_step"]
    records = validations([json.loads(line) for line in (seen / "history.jsonl").read_text().splitlines()])
    kept = next(i for i, record in enumerate(records) if record["step"] == best)
    assert kept >= 1
    for task, metric in main_metrics(params).items():
        assert trial["tasks"][task] == pytest.approx(sum(record["metrics"][task][metric] for record in records[kept - 1 : kept + 1]) / 2)
    assert [step for step, _ in trial["validations"]] == [record["step"] for record in records]
    assert trial["validations"][kept][1] == trial["score"] == 1


def test_order_and_company_do_not_change_trials(small: Params, make_search: MakeSearch) -> None:
    assert searched_through(small, make_search(small, "a")) == searched_through(small, make_search(small, "b"), [0, 3, 2, 1])


def test_test_rows_are_not_looked_at(small: Params, make_search: MakeSearch) -> None:
    """Other test rows, or none at all: every trial is as it was, and no table that a trial reads has one."""
    plain, poisoned, bare = (make_search(small, name) for name in ("plain", "poisoned", "bare"))
    for path in (poisoned.data / "examples").glob("*.parquet"):
        table = schema.read(path)
        train, test = (table.filter(pc.equal(table["split"], split)) for split in ("train", "test"))
        # Test rows with the texts of train rows: what was augmented would be dropped as a copy, what was learnt would change.
        stolen = train.slice(0, len(test)).to_pylist()
        rows = [{**row, "id": f"poison-{i}", "split": "test", "tokens": row["tokens"][::-1]} for i, row in enumerate(stolen)]
        rows = [{**row, "names": ["O"] * len(row["tokens"])} if "names" in row else {**row, "mood": "unheard-of"} for row in rows]
        kept = table.filter(pc.not_equal(table["split"], "test"))
        schema.write(pa.concat_tables([kept, pa.Table.from_pylist(rows, schema=table.schema)]), path)
        schema.write(kept, bare.data / "examples" / path.name)
    first = searched_through(small, plain, [0, 1])
    assert searched_through(small, poisoned, [0, 1]) == first
    assert searched_through(small, bare, [0, 1]) == first
    tables = [path for path in plain.work.rglob("*.parquet") if "of" not in path.stem.split("-")]
    assert len(tables) == 2
    assert {split for path in tables for split in pq.read_table(path)["split"].to_pylist()} == {"train", "validation"}


def test_a_trial_goes_on_where_it_was_killed_and_is_never_made_twice(
    small: Params, make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searched_through(small, make_search(small, "whole"), [0, 1])
    search, step = make_search(small, "killed"), Loop._step
    steps: list[int] = []

    def dying(loop: Loop) -> None:
        steps.append(loop.progress.step)
        if loop.progress.step == 5 and steps.count(5) % 2:
            raise KeyboardInterrupt  # as good as a kill: nothing is written from here
        step(loop)

    monkeypatch.setattr(Loop, "_step", dying)
    for number in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            run_trial(small, number, search)
        assert not search.trial(number).exists()
        assert run_trial(small, number, search)
    assert (steps.count(0), steps.count(5)) == (2, 4)  # each went on from a checkpoint
    assert searched_through(small, search, [0, 1]) == whole
    count = len(steps)
    search.trial(1).unlink()
    assert not run_trial(small, 1, search)
    assert len(steps) == count
    assert searched_through(small, search, [0, 1]) == whole


def test_settings_that_cannot_be_trained_end_their_trial_and_not_the_search(make_search: MakeSearch) -> None:
    params = searched(method="grid", trials=None, space={"train.learning_rate": [5e-3, 1e30]})
    search = make_search(params)
    trials = searched_through(params, search, [0, 1])
    assert (trials[1]["state"], trials[1]["score"]) == ("failed", None)
    assert "was not finite" in trials[1]["reason"]
    assert "failed: step" in told(Study(params, search.study), 1, workers=1)
    assert "No trial beats the present settings on validation rows (2 trials)." in write_summary(params, search)


def test_present_settings_that_cannot_be_trained_are_an_error(make_search: MakeSearch) -> None:
    params = searched(method="grid", trials=None, space={"train.learning_rate": [5e-3, 1e30]})
    content = params.model_dump(mode="json")
    content["train"]["learning_rate"] = 1e30
    broken = Params.model_validate(content)
    with pytest.raises(UnfitError):
        run_trial(broken, 0, make_search(broken))


@pytest.mark.parametrize("pruning", ["median", "hyperband"])
def test_a_bad_trial_is_ended_before_its_time(pruning: str, make_search: MakeSearch) -> None:
    rates = [5e-3 * (1 + i / 1000) for i in range(5)] + [1e-7]
    params = searched(method="grid", trials=None, pruning=pruning, space={"train.learning_rate": rates})
    content = params.model_dump(mode="json")
    content["train"] |= {"epochs": 3, "eval_every": 3}
    params = Params.model_validate(content)
    search = make_search(params)
    trials = searched_through(params, search, list(range(6)))
    last = trials[5]
    assert last["params"] == {"train.learning_rate": 1e-7}
    assert last["state"] == "pruned"
    assert "is worse than other trials at that point" in last["reason"]
    write_summary(params, search)


def test_trials_with_equal_augmentation_share_their_shards(make_search: MakeSearch) -> None:
    space = {"augment.share": [0.5, 0.9], "augment.methods.swap.rate": [0.3, 0.6]}
    params = searched(method="grid", trials=None, space=space)
    search = make_search(params)
    searched_through(params, search, [0, 1, 2, 3])
    made = {path.parent for path in search.work.rglob("reviews-00000-of-00001.parquet")}
    assert len(made) == 2
