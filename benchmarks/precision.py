"""Scores and speed of number formats: trains the joint run in each format with several seeds.

    snakemake --cores all prepare
    python benchmarks/precision.py --data data --encoder data/raw/model.encoder --batch-tokens 16384 --epochs 20

For each seed the formats run one after the other, after one short warm-up run each. Tokens per second count real tokens, without
padding, and the time of training steps, without validation. The ± is the standard deviation of a format's scores over seeds.
With --json the last line is one JSON object.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from tempfile import TemporaryDirectory
from typing import Any

import mtl.config
from mtl.config import Params

FORMATS = ["fp32", "tf32", "bf16", "fp16"]
Facts = dict[str, Any]
"""The ``run.json`` and ``cost.json`` of a run."""


def run(params: Params, data: Path, encoder: Path | None, precision: str, seed: int, device: str) -> Facts:
    """Train the joint plain run and return its facts."""
    import torch

    import mtl.training.run

    spec = mtl.config.Run(tasks=tuple(params.tasks), model="joint", data="plain", seed=seed)
    changed = params.model_copy(update={"train": params.train.model_copy(update={"precision": precision})})
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with TemporaryDirectory(prefix="precision-") as out:
        mtl.training.run.train(changed, spec, data / "examples", data / "shards", encoder, Path(out), device=device)
        facts: Facts = {
            key: value
            for name in ("run", "cost")
            for key, value in json.loads(Path(out, f"{name}.json").read_text(encoding="utf-8")).items()
        }
    return facts


def table(results: dict[str, list[Facts]]) -> str:
    """A line for each format, as Markdown. Speeds are relative to the first format."""
    lines = ["| format | runs | best validation score | tokens/s | speed | peak memory | skipped steps |", "|---" * 7 + "|"]
    baseline = next(iter(results))
    for name, runs in results.items():
        scores, speed = [facts["best_score"] for facts in runs], median(facts["tokens_per_second"] for facts in runs)
        noise = f" ± {stdev(scores):.3f}" if len(scores) > 1 else ""
        ratio = median(ours["tokens_per_second"] / base["tokens_per_second"] for ours, base in zip(runs, results[baseline], strict=True))
        memory = max(facts["peak_memory_bytes"] for facts in runs) / 2**20
        cells = [name, len(runs), f"{fmean(scores):.3f}{noise}", f"{speed:,.0f}", f"{ratio:.2f}", f"{memory:,.0f} MiB"]
        lines.append("| " + " | ".join(map(str, [*cells, sum(facts["skipped"] for facts in runs)])) + " |")
    return "\n".join(lines)


def summary(results: dict[str, list[Facts]]) -> dict[str, Any]:
    """The figures of the table by format, as JSON."""
    baseline = next(iter(results))
    return {
        name: {
            "scores": [facts["best_score"] for facts in runs],
            "tokens_per_second": round(median(facts["tokens_per_second"] for facts in runs)),
            f"vs_{baseline}": round(
                median(own["tokens_per_second"] / base["tokens_per_second"] for own, base in zip(runs, results[baseline], strict=True)), 3
            ),
            "peak_memory_mib": round(max(facts["peak_memory_bytes"] for facts in runs) / 2**20),
            "skipped": sum(facts["skipped"] for facts in runs),
        }
        for name, runs in results.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all formats and print the table."""
    options = _parser().parse_args(arguments)
    params = mtl.config.load(options.params)
    changes = {"batch_tokens": options.batch_tokens, "epochs": options.epochs}
    changed = params.train.model_copy(update={key: value for key, value in changes.items() if value is not None})
    params = params.model_copy(update={"train": changed})
    warm_up = params.model_copy(update={"train": changed.model_copy(update={"epochs": 1e-9})})
    results: dict[str, list[Facts]] = defaultdict(list)
    for name in options.formats:
        run(warm_up, options.data, options.encoder, name, 0, options.device)
    for seed in options.seeds:
        for name in options.formats:
            results[name].append(facts := run(params, options.data, options.encoder, name, seed, options.device))
            print(json.dumps({"precision": name, **facts}), file=sys.stderr)
    device = results[options.formats[0]][0]["device"]
    print(f"{device}\n\n{table(results)}")
    if options.json:
        print(json.dumps({"device": device, **summary(results)}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="data folder of a project with prepared datasets")
    parser.add_argument("--encoder", type=Path, help="folder of the transformer; not needed for other encoders")
    parser.add_argument("--params", type=Path, default=Path("examples/tweets/params.yaml"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--batch-tokens", type=int, help="overrides the params; small batches leave a GPU idle")
    parser.add_argument("--epochs", type=float, help="overrides the params")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
