"""Answers to questions beside a plain transformers loop: the same encoder, rows, steps and rows per step, scored alike.

    snakemake --cores all prepare
    python benchmarks/questions.py --data data --encoder data/raw/model.encoder --task questions

The other side is the usual script: ``AutoModelForQuestionAnswering`` on windows of the tokenizer with an overlap of 128, the first answer,
AdamW with linear warm-up and decay, and the best of 20 starts and ends over all windows of a question. Questions without an answer are left
out on both sides of training. With --json the last line is one JSON object.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import mtl.config
from mtl.config import Params, Run
from mtl.data import schema
from mtl.evaluation.predictions import predict
from mtl.tasks.base import TextRow
from mtl.tasks.question_answering import BEST, QuestionAnswering
from mtl.training.run import train

OVERLAP = 128
Question = dict[str, Any]
"""``id``, ``question``, ``context`` (texts) and ``answers`` (text and first character)."""


def questions(params: Params, task: str, examples: Path, split: str) -> list[Question]:
    """The rows of a split as texts."""
    [name] = params.datasets_of(task)
    dataset, label = params.datasets[name], params.tasks[task].label
    result = []
    for row in schema.read(examples / f"{name}.parquet").to_pylist():
        if row["split"] == split and row[label] is not None:
            fields = [TextRow.of(*(row[column] for column in schema.columns_of(field))) for field in dataset.fields]
            answers = [{"text": answer["text"], "start": fields[1].starts[answer["start"]]} for answer in row[label]]
            result.append({"id": row["id"], "question": fields[0].text, "context": fields[1].text, "answers": answers})
    return result


def ours(params: Params, run: Run, data: Path, encoder: Path) -> tuple[dict[str, float], int]:
    """Scores of our joint run, and its steps."""
    with TemporaryDirectory(prefix="questions-") as out:
        train(params, run, data / "examples", data / "shards", encoder, Path(out))
        rows = predict(params, run, Path(out), data / "examples").to_pylist()
        steps = json.loads(Path(out, "run.json").read_text(encoding="utf-8"))["steps"]
    return QuestionAnswering.metrics([row["gold"] for row in rows], [row["prediction"] for row in rows]), int(steps)


def windows(tokenizer: Any, rows: Sequence[Question], length: int) -> Any:
    """The tokenizer's own windows; ``overflow_to_sample_mapping`` names the row of each."""
    return tokenizer(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=length,
        stride=OVERLAP,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )


def positions(encoded: Any, window: int, row: Question) -> tuple[int, int]:
    """The subwords of the first answer; the first one twice where the window lacks it."""
    answer = row["answers"][0]
    begin, end = answer["start"], answer["start"] + len(answer["text"])
    sides, offsets = encoded.sequence_ids(window), encoded["offset_mapping"][window]
    inside = [i for i, (a, b) in enumerate(offsets) if sides[i] == 1 and a < end and b > begin]
    whole = inside and offsets[inside[0]][0] <= begin and offsets[inside[-1]][1] >= end
    return (inside[0], inside[-1]) if whole else (0, 0)


def padded(encoded: Any, chosen: Sequence[int]) -> dict[str, torch.Tensor]:
    """Windows padded to the longest of them."""
    names = [name for name in ("input_ids", "token_type_ids", "attention_mask") if name in encoded]
    longest = max(len(encoded["input_ids"][i]) for i in chosen)
    return {name: torch.tensor([encoded[name][i] + [0] * (longest - len(encoded[name][i])) for i in chosen]) for name in names}


def plain(params: Params, rows: Sequence[Question], test: Sequence[Question], encoder: Path, steps: int, seed: int) -> dict[str, float]:
    """Scores of the usual loop."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer, get_linear_schedule_with_warmup

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = AutoModelForQuestionAnswering.from_pretrained(encoder)
    encoded = windows(tokenizer, rows, params.encoder.max_length)
    owners = encoded["overflow_to_sample_mapping"]
    targets = [positions(encoded, i, rows[owner]) for i, owner in enumerate(owners)]
    size = math.ceil(len(owners) * params.train.epochs / steps)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params.train.learning_rate, weight_decay=params.train.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, int(params.train.warmup * steps), steps)
    model.train()
    for step, chosen in zip(range(steps), _batches(len(owners), size, seed), strict=False):
        starts, ends = torch.tensor([targets[i] for i in chosen]).T
        loss = model(**padded(encoded, chosen), start_positions=starts, end_positions=ends).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), params.train.clip_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 20 == 0:
            print(f"plain: step {step + 1} of {steps}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
    found = answered(model.eval(), windows(tokenizer, test, params.encoder.max_length), test)
    gold = [json.dumps([{"text": answer["text"]} for answer in row["answers"]]) for row in test]
    return QuestionAnswering.metrics(gold, [json.dumps({"text": text, "answered": True}) for text in found])


def _batches(rows: int, size: int, seed: int) -> Iterator[list[int]]:
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(rows)
        yield from (order[start : start + size].tolist() for start in range(0, rows, size))


def answered(model: Any, encoded: Any, rows: Sequence[Question]) -> list[str]:
    """The text of the best passage of each question."""
    best: dict[int, tuple[float, str]] = defaultdict(lambda: (-math.inf, ""))
    owners = encoded["overflow_to_sample_mapping"]
    with torch.inference_mode():
        for begin in range(0, len(owners), 16):
            chosen = range(begin, min(begin + 16, len(owners)))
            output = model(**padded(encoded, chosen))
            for place, i in enumerate(chosen):
                scores = output.start_logits[place].numpy(), output.end_logits[place].numpy()
                best[owners[i]] = max(best[owners[i]], _passage(*scores, encoded, i, rows[owners[i]]["context"]))
    return [best[i][1] for i in range(len(rows))]


def _passage(start: Any, end: Any, encoded: Any, window: int, context: str) -> tuple[float, str]:
    sides, offsets = encoded.sequence_ids(window), encoded["offset_mapping"][window]
    starts, ends = ([i for i in np.argsort(-side[: len(sides)])[:BEST].tolist() if sides[i] == 1] for side in (start, end))
    pairs = [(float(start[a] + end[b]), a, b) for a in starts for b in ends if a <= b < a + 30]
    score, a, b = max(pairs, default=(-math.inf, 0, 0))
    return score, context[offsets[a][0] : offsets[b][1]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with examples/")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the pretrained encoder")
    parser.add_argument("--task", required=True, help="name of a task of question answering")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    params = mtl.config.load(options.params)
    seed = params.experiment.seeds[0]
    run = Run(tasks=(options.task,), model="joint", data="plain", seed=seed)
    own, steps = ours(params, run, options.data, options.encoder)
    print(_line("ours", own), flush=True)
    rows, test = (questions(params, options.task, options.data / "examples", split) for split in ("train", "test"))
    other = plain(params, [row for row in rows if row["answers"]], test, options.encoder, steps, seed)
    print(_line("plain", other))
    if options.json:
        print(json.dumps({"steps": steps, "train": len(rows), "test": len(test), "ours": own, "plain": other}))
    return 0


def _line(side: str, scores: dict[str, float]) -> str:
    return f"{side}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items())


if __name__ == "__main__":
    sys.exit(main())
