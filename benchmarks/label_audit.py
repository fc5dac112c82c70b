"""Are planted wrong labels found? A share of the train labels is changed; the audit must name those rows, and few others.

    python benchmarks/label_audit.py --data trec/train.txt --encoder data/raw/model.encoder --work work/label_audit --json

``--data`` is a file of lines that begin with a class, such as ``sst2/train.txt`` (``1 a good film``) or ``trec/train.txt``
(``DESC:manner How …``: what stands before the colon counts). Rows with equal tokens are taken once. Of ``--rows`` rows, a tenth is the
validation split and the others are train. The label of ``--noise`` of the train rows becomes another class, drawn at random.

Finished folds stay in ``--work`` and are skipped. With --json the last line is one JSON object: precision and recall of the named rows,
and the highest recall of a beginning of their ranking that has a precision of at least .5.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import mtl.config
from mtl.config import Params
from mtl.data import schema

NAME = "texts"


def read(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Class and tokens of each line, of equal tokens the first."""
    unique: dict[tuple[str, ...], str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        label, _, words = line.partition(" ")
        if words.split():
            unique.setdefault(tuple(words.split()), label.partition(":")[0])
    return [(label, tokens) for tokens, label in unique.items()]


def planted(labels: Sequence[str], share: float, seed: int) -> tuple[list[str], set[int]]:
    """Labels of which a share is changed to another class, and the numbers of the changed ones."""
    draw, classes = np.random.default_rng(seed), sorted(set(labels))
    wrong = set(draw.choice(len(labels), size=round(share * len(labels)), replace=False).tolist())
    others = {name: [other for other in classes if other != name] for name in classes}
    return [str(draw.choice(others[label])) if number in wrong else label for number, label in enumerate(labels)], wrong


def write(options: argparse.Namespace, folder: Path) -> set[str]:
    """The canonical table; returns the ids of the rows with a planted label."""
    found = read(options.data)
    order = np.random.default_rng([options.seed, 1]).permutation(len(found))[: options.rows or None]
    rows = [found[number] for number in order.tolist()]
    train = len(rows) - len(rows) // 10
    labels, wrong = planted([label for label, _ in rows[:train]], options.noise, options.seed)
    made = [
        {
            "id": f"all-{number}",
            "split": "train" if number < train else "validation",
            "tokens": list(tokens),
            "space_after": [True] * (len(tokens) - 1) + [False],
            "label": labels[number] if number < train else label,
            "parent_id": None,
            "augmenter": None,
        }
        for number, (label, tokens) in enumerate(rows)
    ]
    schema.write(pa.Table.from_pylist(made, schema=schema.schema({"label": "class"})), folder / f"{NAME}.parquet")
    return {f"all-{number}" for number in wrong}


def settings(options: argparse.Namespace) -> Params:
    """One task. The encoder is the default one, or without a folder a small one."""
    dataset = {"source": {"url": "made-here"}, "reader": {"format": "jsonl"}, "labels": {"label": {"type": "class", "column": "label"}}}
    pretrained = {"type": "transformer", "source": {"url": "made-here"}, "max_length": 64, "word_shape": False, "pooling": "mean"}
    return mtl.config.parse(
        {
            "seed": options.seed,
            "datasets": {NAME: {**dataset, "split": {"train": 0.8, "validation": 0.1, "test": 0.1}}},
            "tasks": {"label": {"type": "classification", "label": "label"}},
            "augment": {},
            "encoder": pretrained if options.encoder else {"type": "fnn", "width": 64, "layers": 1, "vocabulary": 8_000, "max_length": 64},
            "train": {
                "epochs": options.epochs,
                "batch_tokens": 512,
                "learning_rate": 1e-4 if options.encoder else 3e-3,
                "head_learning_rate": 1e-3 if options.encoder else 3e-3,
                "eval_every": 50,
                "patience": 100,
            },
            "experiment": {"joint": ["plain"], "single_task": []},
            "audit": {"folds": options.folds},
        }
    )


def scores(ranked: Sequence[str], wrong: set[str]) -> dict[str, float]:
    """Precision and recall of all, and the highest recall of a beginning of the ranking that has a precision of at least .5."""
    hits = np.cumsum([row in wrong for row in ranked])
    precise = hits[hits / np.arange(1, len(hits) + 1) >= 0.5]
    total = float(hits[-1]) if len(hits) else 0.0
    best = float(precise.max(initial=0)) / max(len(wrong), 1)
    return {"precision": total / max(len(ranked), 1), "recall": total / max(len(wrong), 1), "recall_at_half_precision": best}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train the folds, find the issues, and compare them with what was planted."""
    import pandas as pd
    import pyarrow.parquet as pq

    from mtl.monitoring.label_audit import find_issues, run_fold
    from mtl.pipeline.audit import LabelAudit

    params, examples = settings(options), options.work / "data" / "examples"
    examples.mkdir(parents=True, exist_ok=True)
    wrong = write(options, examples)
    raw = options.work / "data" / "raw"
    if options.encoder and not raw.exists():
        raw.mkdir()
        (raw / "model.encoder").symlink_to(options.encoder.resolve())
    audit = LabelAudit(params, options.work)
    for number in range(options.folds):
        run_fold(params, number, audit)
        print(f"fold {number} is done", file=sys.stderr, flush=True)
    rows = pd.concat([pq.read_table(path).to_pandas() for path in audit.folds()], ignore_index=True)
    issues = find_issues(rows)
    right = [row["choices"][int(np.argmax(row["probabilities"]))] == row["label"] for _, row in rows.iterrows()]
    return {
        "rows": len(rows),
        "planted": len(wrong),
        "named": len(issues),
        "agreement": float(np.mean(right)),
        **scores([issue["id"] for issue in issues], wrong),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="file of lines that begin with a class")
    parser.add_argument("--encoder", type=Path, help="folder of the pretrained encoder; a small network without it")
    parser.add_argument("--work", type=Path, required=True, help="folder where finished folds are kept")
    parser.add_argument("--rows", type=int, default=0, help="rows that are drawn; 0: all")
    parser.add_argument("--noise", type=float, default=0.05, help="share of the train labels that is changed")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = measure(options)
    print(
        f"{figures['planted']} wrong labels among {figures['rows']}: {figures['named']} named, recall {figures['recall']:.3f}, "
        f"precision {figures['precision']:.3f}, recall at a precision of .5 or more {figures['recall_at_half_precision']:.3f}",
        flush=True,
    )
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
