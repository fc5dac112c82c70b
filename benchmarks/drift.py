"""Are new texts of the same source taken for drift, and is a change of domain found?

    python benchmarks/drift.py NEWSWIRE [--draws 100] [--rows 500] [--reference 1000] [--json]

NEWSWIRE is a CoNLL file with the token first and the IOB2 tag of entities last, such as the train file of CoNLL-2003. A model with the
default encoder learns entities from a fifth of its sentences. Then all tests of `mtl drift` compare random samples of unseen sentences:

false_alarms      share of draws with drift where the reference and the new texts are both newswire; at most 0.05
detected          share of draws with drift where the new texts are tweets (those of examples/tweets); at least 0.95
train_reference   share of draws with drift where the reference are sentences that the model learnt from and the new texts are newswire: why
                  the reference must be unseen

Each pool is embedded once. With --json the last line is one JSON object.
"""

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import mtl.config
from mtl.config import Params
from mtl.data import schema
from mtl.data.prepare import prepare
from mtl.data.sources import fetch
from mtl.model.prediction import Predictor
from mtl.monitoring.drift import Sample, compare, sample_of
from mtl.predict import fields_of

ROOT = Path(__file__).parents[1]
LEVEL, POOL = 0.01, 4000
"""The level of `mtl drift`, and the sentences of a pool, at most."""


def settings(newswire: Path, quick: bool) -> Params:
    """The default encoder, the tweets of ``examples/tweets``, and entities of newswire."""
    default = mtl.config.read_yaml(ROOT / "examples/tweets/params.yaml")
    own = {
        "source": {"url": str(newswire)},
        "reader": {"format": "conll", "columns": first_and_last(newswire)},
        "labels": {"entities": {"type": "tags", "column": "tags", "scheme": "iob2"}},
        "split": {"train": 0.2, "validation": 0.02, "test": 0.78},
    }
    small = {"type": "cnn", "width": 32, "vocabulary": 2000, "max_length": 64}
    return mtl.config.parse(
        {
            "seed": 1,
            "datasets": {"newswire": own, "tweets": default["datasets"]["tweets_entities"]},
            "tasks": {"entities": {"type": "token_classification", "label": "entities", "datasets": ["newswire"]}},
            "augment": {},
            "encoder": small if quick else default["encoder"] | {"task_layers": 0},
            "train": default["train"] | {"epochs": 1},
            "experiment": {"joint": ["plain"], "single_task": []},
            "evaluate": {},
            "report": {},
        }
    )


def first_and_last(path: Path) -> list[str]:
    """Names of the columns of a CoNLL file."""
    with path.open(encoding="utf-8") as lines:
        width = next(len(line.split()) for line in lines if line.strip() and not line.startswith("-DOCSTART-"))
    return ["token", *(f"column{number}" for number in range(1, width - 1)), "tags"]


def train(params: Params, newswire: Path, folder: Path, tweets: Path | None) -> Path:
    """Prepare both datasets and train the model; returns its folder."""
    import mtl.training.run

    examples, model, encoder = (folder / name for name in ("examples", "model", "encoder"))
    for name, file in (("newswire", newswire), ("tweets", tweets)):
        raw = folder / "raw" / name / "all"
        raw.mkdir(parents=True)
        if file:
            shutil.copy(file, raw)
        else:
            fetch(params.datasets[name].sources["all"], raw)
    for path in (examples, model, encoder):
        path.mkdir()
    for name in params.datasets:
        prepare(params, name, folder / "raw" / name, examples)
    if params.encoder.type == "transformer":
        fetch(params.encoder.source, encoder)
    [run] = params.runs().values()
    mtl.training.run.train(params, run, examples, examples, encoder if params.encoder.type == "transformer" else None, model)
    return model


def pool(predictor: Predictor, table: Path, splits: Sequence[str]) -> Sample:
    """What the model makes of sentences of these splits, at most ``POOL`` of them."""
    rows = [row for row in schema.read(table).to_pylist() if row["split"] in splits]
    kept = np.random.default_rng(1).permutation(len(rows))[:POOL].tolist()
    texts = [schema.text_of(rows[i]["tokens"], rows[i]["space_after"]) for i in kept]
    return sample_of(predictor, "entities", [fields_of(text, predictor.tasks) for text in texts])


def alarms(predictor: Predictor, reference: Sample, new: Sample | None, draws: int, sizes: tuple[int, int]) -> list[dict[str, Any]]:
    """The results of draws from two pools, or without replacement from one."""
    results = []
    for number in range(draws):
        rng = np.random.default_rng(number)
        order = rng.permutation(len(reference.texts))
        old = reference.take(order[: sizes[0]])
        drawn = reference.take(order[sizes[0] : sum(sizes)]) if new is None else new.take(rng.permutation(len(new.texts))[: sizes[1]])
        results.append(compare(predictor.tasks, {"entities": [old, drawn]}, LEVEL))
    return results


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    start, params = time.process_time(), settings(options.newswire, options.quick)
    with TemporaryDirectory(prefix="drift-") as name:
        predictor = Predictor.load(train(params, options.newswire, Path(name), options.tweets))
        tables = [Path(name, "examples", f"{dataset}.parquet") for dataset in ("newswire", "tweets")]
        unseen, tweets = pool(predictor, tables[0], ["test"]), pool(predictor, tables[1], ["train", "validation", "test"])
        learnt = pool(predictor, tables[0], ["train"])
    sizes = (options.reference, options.rows)
    found = {
        "false_alarms": alarms(predictor, unseen, None, options.draws, sizes),
        "detected": alarms(predictor, unseen, tweets, options.draws, sizes),
        "train_reference": alarms(predictor, learnt, unseen, options.draws, sizes),
    }
    shares: dict[str, Any] = {key: float(np.mean([result["drift"] for result in results])) for key, results in found.items()}
    by_test = {key: _by_test(results) for key, results in found.items()}
    return {**shares, "by_test": by_test, "draws": options.draws, "rows": options.rows, "cpu_seconds": time.process_time() - start}


def _by_test(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The share of draws in which each test reports drift."""
    names = [test["test"] for test in results[0]["tests"]]
    return {name: float(np.mean([result["tests"][i]["drift"] for result in results])) for i, name in enumerate(names)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("newswire", type=Path, help="CoNLL file: token first, tag last")
    parser.add_argument("--tweets", type=Path, help="file in place of the tweets of examples/tweets")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--rows", type=int, default=500, help="new texts of a draw")
    parser.add_argument("--reference", type=int, default=1000, help="texts of the reference of a draw")
    parser.add_argument("--quick", action="store_true", help="a small encoder, to try the benchmark out")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON in the last line")
    options = parser.parse_args(arguments)
    figures = measure(options)
    for key in ("false_alarms", "detected", "train_reference"):
        by_test = ", ".join(f"{name} {share:.2f}" for name, share in figures["by_test"][key].items())
        print(f"{key}: {figures[key]:.2f} of {figures['draws']} draws ({by_test})")
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
