"""Six small tasks, each trained with each other one: is the pick of validation the best model, and do cosines of gradients forecast gains?

    python benchmarks/groups.py --data DIR --work work/groups --cores 2 --json

    task       rows             from
    reviews    150 sentences    customer_reviews: sentiment of product reviews
    films      1,000 sentences  sst2: sentiment of film reviews
    questions  300 questions    trec: their type
    news       1,000 sentences  conll2003: entities
    papers     150 sentences    crossner_ai: entities
    slots      300 requests     snips: the slots of all intents

``--data`` has a folder for each set (``customer_reviews/two_thirds.txt``; ``sst2/train.txt``; ``trec/train.txt``; ``conll2003/train.txt``;
``crossner_ai/train.txt``, ``dev.txt``; ``snips/train/seq.in``, ``seq.out``). Rows are drawn once: as many train rows as the table
says, a third of that for validation (100 at least), and up to 1,500 test rows. The script writes a params file and runs the workflow in
``--work`` up to the comparisons, with ``groups: pairs``; what is there is kept, and more ``--seeds`` train only their own runs.

rank_correlation       Spearman's, of the cosine of a pair in the joint runs with the measured gain of each of its tasks
pairs                  that were measured
picks_within_a_point   tasks whose pick is less than .01 below the best that was measured on test rows: with any other, with all, or apart
largest_shortfall      of a pick, in the task's metric
race_spared            share of the runs that ``snakemake race``, and the experiment with what it chooses, would not have trained
race_within_a_point    as picks_within_a_point, of what the race chooses

With --json the last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from baselines import show
from transfer import TRAIN, read

import mtl.config
from mtl.config import Params
from mtl.files import checksum
from mtl.names import members_of

ROOT = Path(__file__).parents[1]
SNAKEMAKE = "import sys; from snakemake.cli import main; sys.exit(main())"
POINT = 0.01
TEST_ROWS = 1_500
Row = dict[str, Any]


class Set(NamedTuple):
    """The files of a task, the type of its label, and how many train rows are used."""

    files: tuple[str, ...]
    type: str
    rows: int


SETS = {
    "reviews": Set(("customer_reviews/two_thirds.txt",), "class", 150),
    "films": Set(("sst2/train.txt",), "class", 1_000),
    "questions": Set(("trec/train.txt",), "class", 300),
    "news": Set(("conll2003/train.txt",), "tags", 1_000),
    "papers": Set(("crossner_ai/train.txt", "crossner_ai/dev.txt"), "tags", 150),
    "slots": Set(("snips/train/seq.in",), "tags", 300),
}
TYPES = {"class": "classification", "tags": "token_classification"}


# --- data and settings ------------------------------------------------------------------------------------------------


def rows_of(path: Path, type_: str) -> Iterator[Row]:
    """Tokens and label of every row of a file; the slots of requests are in the file beside it."""
    if path.name != "seq.in":
        yield from read(path, type_)
        return
    sides = (file.read_text(encoding="utf-8").splitlines() for file in (path, path.with_name("seq.out")))
    for text, slots in zip(*sides, strict=True):
        yield {"tokens": text.split(), "label": slots.split()}


def write_set(source: Set, data: Path, out: Path) -> dict[str, float]:
    """Write unlike rows in random order; the shares of its splits."""
    unique = {tuple(row["tokens"]): row for file in source.files for row in rows_of(data / file, source.type) if row["tokens"]}
    validation = max(100, source.rows // 3)
    count = min(len(unique), source.rows + validation + TEST_ROWS)
    rows = list(unique.values())
    drawn = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))[:count]]
    out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in drawn), encoding="utf-8")
    return {"train": source.rows / count, "validation": validation / count, "test": 1 - (source.rows + validation) / count}


def settings(data: Path, folder: Path, encoder: dict[str, Any], epochs: float, seeds: int) -> dict[str, Any]:
    """Every pair of tasks, all together and each apart, with the same number of updates."""
    datasets = {}
    for name, source in SETS.items():
        split = write_set(source, data, folder / f"{name}.jsonl")
        datasets[name] = {
            "source": {"url": f"{name}.jsonl", "sha256": checksum(folder / f"{name}.jsonl")},
            "reader": {"format": "jsonl"},
            "text": "tokens",
            "tokens": True,
            "language": "en",
            "labels": {name: {"type": source.type, "column": "label"}},
            "split": split,
        }
    return {
        "seed": 1,
        "datasets": datasets,
        "tasks": {name: {"type": TYPES[source.type], "label": name} for name, source in SETS.items()},
        "augment": {},
        "encoder": encoder,
        "train": {**TRAIN, "epochs": epochs, "score_window": 2},
        "experiment": {"seeds": list(range(1, seeds + 1)), "joint": ["plain"], "single_task": ["plain"], "groups": "pairs"},
    }


def default_encoder() -> dict[str, Any]:
    """That of the default params file, with texts cut at 64 subwords."""
    source = mtl.config.load(ROOT / "params.yaml").encoder.model_dump(mode="json", exclude_defaults=True)
    return source | {"max_length": 64}


# --- figures ----------------------------------------------------------------------------------------------------------


def scores(comparisons: dict[str, Any]) -> pd.DataFrame:
    """The score of each task (a row) on test rows, as trained with each other one, with all (``joint``) and apart."""
    found = comparisons["transfer"]["comparisons"]
    table: dict[str, dict[str, float]] = {item["task"]: {} for item in found}
    for item in [*found, *(item for item in comparisons["comparisons"] if item["kind"] == "joint")]:
        others = [task for task in members_of(item["within"]) if task != item["task"]] if item["kind"] == "group" else ["joint"]
        table[item["task"]] |= {others[0]: item["first"], "apart": item["second"]}
    return pd.DataFrame(table).T.reindex(columns=[*table, "joint", "apart"])


def picks(serving: Mapping[str, str], table: pd.DataFrame) -> pd.DataFrame:
    """By task the model that was picked for it, and how far below the best it is on test rows."""
    rows = {}
    for task, model in serving.items():
        pick = model if model == "joint" else next((other for other in members_of(model) if other != task), "apart")
        best = table.loc[task].astype(float).idxmax()
        rows[task] = {"pick": pick, "score": table.loc[task, pick], "best": best, "best score": table.loc[task, best]}
    frame = pd.DataFrame(rows).T
    return frame.assign(shortfall=frame["best score"] - frame["score"])


def race(params: Params, models: Path) -> tuple[set[str], Mapping[str, str]]:
    """What a race makes of runs that are all trained: those that need not have been, and the model that it chooses for each task."""
    from mtl.pipeline.race import Race
    from mtl.tuning.race import decide, scores_of, spared, with_chosen

    racing = Race(params)
    results: dict[str, dict[str, Any]] = {}
    for name, run in racing.runs.items():
        reason = spared(racing, name, {other: results[other] for other in racing.before_seed(run.seed)})
        results[name] = {"reason": reason} if reason else {"scores": scores_of(racing, run, models / name)}
    chosen = decide(racing, results).serving
    wanted = with_chosen(params, set(chosen.values())).runs()
    return {name for name, result in results.items() if "reason" in result and name not in wanted}, chosen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--cores", default="1")
    parser.add_argument("--small", action="store_true", help="a small network instead of the default encoder, to try the benchmark out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    small = {"type": "fnn", "width": 32, "layers": 1, "vocabulary": 2_000, "max_length": 64}
    content = settings(options.data, options.work, small if options.small else default_encoder(), options.epochs, options.seeds)
    (options.work / "params.yaml").write_text(json.dumps(content, indent=1), encoding="utf-8")
    params = mtl.config.parse(content)
    if not (code := options.work / "src").exists():
        code.symlink_to(ROOT / "src")  # jobs take the package of their folder
    workflow = ["--snakefile", ROOT / "workflow/Snakefile", "--cores", options.cores]
    subprocess.run([sys.executable, "-c", SNAKEMAKE, "evaluate", *workflow], cwd=options.work, check=True)
    comparisons = json.loads((options.work / "data/results/comparisons.json").read_text(encoding="utf-8"))
    table, forecast = scores(comparisons), comparisons["transfer"]["forecast"]
    picked = picks(comparisons["transfer"]["groupings"][-1]["serving"], table)
    unneeded, chosen = race(params, options.work / "data/models")
    raced = picks(chosen, table)
    print(table.to_string(float_format="{:.3f}".format), picked.to_string(), raced.to_string(), sep="\n\n")
    figures = {
        "pairs": len(forecast["cosines"]),
        "rank_correlation": forecast["rank_correlation"],
        "picks_within_a_point": int((picked["shortfall"] < POINT).sum()),
        "largest_shortfall": round(float(picked["shortfall"].max()), 4),
        "race_spared": round(len(unneeded) / len(params.runs()), 3),
        "race_within_a_point": int((raced["shortfall"] < POINT).sum()),
    }
    show(figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
