"""Are wrong labels found? Planted ones among classes, or those that people have corrected among tags.

    python benchmarks/label_audit.py --data trec/train.txt --encoder data/raw/model.encoder --work work/label_audit --json
    python benchmarks/label_audit.py --data conll2003/valid.txt --corrected corrected.txt --encoder … --work … --json

``--data`` is a file of lines that begin with a class, such as ``sst2/train.txt`` (``1 a good film``) or ``trec/train.txt``
(``DESC:manner How …``: what stands before the colon counts). Rows with equal tokens are taken once. Of ``--rows`` rows, a tenth is the
validation split and the others are train. The label of ``--noise`` of the train rows becomes another class, drawn at random.

With ``--corrected``, both are CoNLL files (the token first, its IOB2 tag last) of the same tokens, such as those of CoNLL-2003 and of a
corrected version. The labels are those of ``--data``; those of ``--corrected`` say which are wrong. ``--more`` adds sentences to learn
from, which count neither as right nor as wrong.

Finished folds stay in ``--work`` and are skipped. With --json the last line is one JSON object: precision and recall of the named labels,
precision over the share of wrong labels (``precision_vs_chance``), the same for rows with a wrong label (``rows_precision``,
``rows_precision_vs_chance``), and the highest recall of a beginning of their ranking that has a precision of at least .5.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import mtl.config
from mtl.config import ConllReader, Params
from mtl.data import schema
from mtl.data.readers import conll
from mtl.data.readers.rows import Malformed

NAME = "texts"
Label = tuple[str, int]
"""Id of the row, and the place of the token: 0 for the class of a row."""


@dataclass(frozen=True)
class Labelled:
    """A text with its class or its tags, and the places of the wrong ones; None where nobody knows them."""

    tokens: tuple[str, ...]
    label: str | list[str]
    wrong: Collection[int] | None = ()


# --- rows -------------------------------------------------------------------------------------------------------------


def classes(path: Path) -> list[Labelled]:
    """Class and tokens of each line, of equal tokens the first."""
    unique: dict[tuple[str, ...], str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        label, _, words = line.partition(" ")
        if words.split():
            unique.setdefault(tuple(words.split()), label.partition(":")[0])
    return [Labelled(tokens, label) for tokens, label in unique.items()]


def planted(rows: Sequence[Labelled], share: float, seed: int) -> list[Labelled]:
    """The rows, a share of them with another class."""
    draw, names = np.random.default_rng(seed), sorted({str(row.label) for row in rows})
    wrong = set(draw.choice(len(rows), size=round(share * len(rows)), replace=False).tolist())
    others = {name: [other for other in names if other != name] for name in names}
    return [
        Labelled(row.tokens, str(draw.choice(others[str(row.label)])), {0}) if number in wrong else row for number, row in enumerate(rows)
    ]


def tagged(path: Path, corrected: Path) -> list[Labelled]:
    """The sentences of a CoNLL file; wrong are the tags that another one corrects."""
    rows = []
    for own, right in itertools.zip_longest(sentences(path), sentences(corrected)):
        if own is None or right is None or own.tokens != right.tokens:
            raise SystemExit(f"{corrected}: the tokens differ from those of {path}: {own and own.tokens}, {right and right.tokens}")
        wrong = {place for place, (old, new) in enumerate(zip(own.label, right.label, strict=True)) if old != new}
        rows.append(Labelled(own.tokens, own.label, wrong))
    return rows


def sentences(path: Path) -> Iterator[Labelled]:
    """Those of a CoNLL file, with nothing known of wrong tags."""
    with path.open(encoding="utf-8") as file:
        skipped = len(file.readline().split()) - 2
    settings = ConllReader(format="conll", columns=("token", *["_"] * skipped, "tags"))
    for row in conll.read(path, settings, ["utf-8"], ["token", "tags"], print):
        if isinstance(row, Malformed):
            raise SystemExit(f"{path}, line {row.line}: {row.reason}")
        yield Labelled(tuple(row.values["token"]), row.values["tags"], None)


def write(options: argparse.Namespace, folder: Path) -> list[Labelled]:
    """The canonical table; returns the train rows, the first rows of the table."""
    found = tagged(options.data, options.corrected) if options.corrected else classes(options.data)
    order = np.random.default_rng([options.seed, 1]).permutation(len(found))[: options.rows or None]
    rows = [found[number] for number in order.tolist()]
    train = rows[: len(rows) - len(rows) // 10]
    validation = rows[len(train) :]
    if not options.corrected:
        train = planted(train, options.noise, options.seed)
    elif options.more:
        train += sentences(options.more)
    made = [
        {
            "id": f"all-{number}",
            "split": "train" if number < len(train) else "validation",
            "tokens": list(row.tokens),
            "space_after": [True] * (len(row.tokens) - 1) + [False],
            "label": row.label,
            "parent_id": None,
            "augmenter": None,
        }
        for number, row in enumerate(train + validation)
    ]
    kind = "tags" if options.corrected else "class"
    schema.write(pa.Table.from_pylist(made, schema=schema.schema({"label": kind})), folder / f"{NAME}.parquet")
    return train


# --- the audit --------------------------------------------------------------------------------------------------------


def settings(options: argparse.Namespace) -> Params:
    """One task. The encoder is the default one, or without a folder a small one."""
    kind, task = ("tags", "token_classification") if options.corrected else ("class", "classification")
    dataset = {"source": {"url": "made-here"}, "reader": {"format": "jsonl"}, "labels": {"label": {"type": kind, "column": "label"}}}
    pretrained = {"type": "transformer", "source": {"url": "made-here"}, "max_length": 64, "pooling": "mean"}
    pretrained["word_shape"] = bool(options.corrected)  # names are in capitals, which an uncased vocabulary does not see
    return mtl.config.parse(
        {
            "seed": options.seed,
            "datasets": {NAME: {**dataset, "split": {"train": 0.8, "validation": 0.1, "test": 0.1}}},
            "tasks": {"label": {"type": task, "label": "label"}},
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


def scores(ranked: Sequence[Label], wrong: Collection[Label], labels: int, rows: int) -> dict[str, float]:
    """Of the named labels, the first of them named first; ``labels`` and ``rows`` are the numbers of all that could be named."""
    hits = np.cumsum([label in wrong for label in ranked])
    precise = hits[hits / np.arange(1, len(hits) + 1) >= 0.5]
    total, known = float(hits[-1]) if len(hits) else 0.0, max(len(wrong), 1)
    named, bad = {row for row, _ in ranked}, {row for row, _ in wrong}
    precision, rows_precision = total / max(len(ranked), 1), len(named & bad) / max(len(named), 1)
    return {
        "precision": precision,
        "precision_vs_chance": precision / (known / labels),
        "rows_precision": rows_precision,
        "rows_precision_vs_chance": rows_precision / (max(len(bad), 1) / rows),
        "recall": total / known,
        "recall_at_half_precision": float(precise.max(initial=0)) / known,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train the folds, find the issues, and compare them with what is known to be wrong."""
    import pandas as pd
    import pyarrow.parquet as pq

    from mtl.monitoring.label_audit import find_issues, run_fold
    from mtl.pipeline.audit import LabelAudit

    params, examples = settings(options), options.work / "data" / "examples"
    examples.mkdir(parents=True, exist_ok=True)
    train = write(options, examples)
    raw = options.work / "data" / "raw"
    if options.encoder and not raw.exists():
        raw.mkdir()
        (raw / "model.encoder").symlink_to(options.encoder.resolve())
    audit = LabelAudit(params, options.work)
    for number in range(options.folds):
        run_fold(params, number, audit)
        print(f"fold {number} is done", file=sys.stderr, flush=True)
    judged = pd.concat([pq.read_table(path).to_pandas() for path in audit.folds()], ignore_index=True)
    judged["right"] = [row["choices"][int(np.argmax(row["probabilities"]))] == row["label"] for _, row in judged.iterrows()]
    known = {f"all-{number}": row.wrong for number, row in enumerate(train) if row.wrong is not None}
    wrong = {(row, place) for row, places in known.items() for place in places}
    named = [(issue["id"], issue["place"]) for issue in find_issues(judged) if issue["id"] in known]
    judged = judged[judged["id"].isin(known)]
    return {
        "rows": len(known),
        "labels": len(judged),
        "wrong": len(wrong),
        "named": len(named),
        "agreement": float(judged["right"].mean()),
        **scores(named, wrong, len(judged), len(known)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="file of lines that begin with a class, or CoNLL file")
    parser.add_argument("--corrected", type=Path, help="CoNLL file of the same tokens with corrected tags; no labels are changed then")
    parser.add_argument("--more", type=Path, help="with --corrected: CoNLL file of sentences to learn from as well")
    parser.add_argument("--encoder", type=Path, help="folder of the pretrained encoder; a small network without it")
    parser.add_argument("--work", type=Path, required=True, help="folder where finished folds are kept")
    parser.add_argument("--rows", type=int, default=0, help="rows that are drawn; 0: all")
    parser.add_argument("--noise", type=float, default=0.05, help="share of the train labels that is changed, without --corrected")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.more and not options.corrected:
        parser.error("--more needs --corrected")
    figures = measure(options)
    print(
        f"{figures['wrong']} wrong labels among {figures['labels']}: {figures['named']} named, recall {figures['recall']:.3f}, "
        f"precision {figures['precision']:.3f} ({figures['precision_vs_chance']:.1f} times chance), "
        f"recall at a precision of .5 or more {figures['recall_at_half_precision']:.3f}",
        flush=True,
    )
    if options.json:
        print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
