"""Do the number formats reach the same scores, and how fast is each? Trains the joint run in each format over several seeds.

    snakemake --cores all prepare
    python benchmarks/precision.py --data data --encoder data/raw/model.encoder --batch-tokens 16384 --epochs 20

Formats take turns within a seed, after one short run that is not counted. Tokens are real ones, without padding, and their time is
that of the steps, without validation. The noise of the seeds is the standard deviation of the scores of a format.
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
"""The ``run.json`` of a run."""


def run(params: Params, data: Path, encoder: Path | None, precision: str, seed: int, device: str) -> Facts:
    """Train the joint plain run; what it says of itself."""
    import torch

    import mtl.training.run

    spec = mtl.config.Run(tasks=tuple(params.tasks), model="joint", data="plain", seed=seed)
    used = params.model_copy(update={"train": params.train.model_copy(update={"precision": precision})})
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with TemporaryDirectory(prefix="precision-") as out:
        mtl.training.run.train(used, spec, data / "examples", data / "shards", encoder, Path(out), device=device)
        facts: Facts = json.loads(Path(out, "run.json").read_text(encoding="utf-8"))
    return facts


def table(found: dict[str, list[Facts]]) -> str:
    """A line for each format, as Markdown; the first one is what the others are compared with."""
    lines = ["| format | runs | best validation score | tokens/s | speed | peak memory | skipped steps |", "|---" * 7 + "|"]
    first = next(iter(found))
    for name, runs in found.items():
        scores, speed = [facts["best_score"] for facts in runs], median(facts["tokens_per_second"] for facts in runs)
        noise = f" ± {stdev(scores):.3f}" if len(scores) > 1 else ""
        ratio = median(ours["tokens_per_second"] / base["tokens_per_second"] for ours, base in zip(runs, found[first], strict=True))
        memory = max(facts["peak_memory_bytes"] for facts in runs) / 2**20
        cells = [name, len(runs), f"{fmean(scores):.3f}{noise}", f"{speed:,.0f}", f"{ratio:.2f}", f"{memory:,.0f} MiB"]
        lines.append("| " + " | ".join(map(str, [*cells, sum(facts["skipped"] for facts in runs)])) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all formats and print the table."""
    options = _parser().parse_args(arguments)
    params = mtl.config.load(options.params)
    changes = {"batch_tokens": options.batch_tokens, "epochs": options.epochs}
    changed = params.train.model_copy(update={key: value for key, value in changes.items() if value is not None})
    params = params.model_copy(update={"train": changed})
    warm_up = params.model_copy(update={"train": changed.model_copy(update={"epochs": 1e-9})})
    found: dict[str, list[Facts]] = defaultdict(list)
    for name in options.formats:
        run(warm_up, options.data, options.encoder, name, 0, options.device)
    for seed in options.seeds:
        for name in options.formats:
            found[name].append(facts := run(params, options.data, options.encoder, name, seed, options.device))
            print(json.dumps({"precision": name, **facts}), file=sys.stderr)
    print(f"{found[options.formats[0]][0]['device']}\n\n{table(found)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="a project's data folder, prepared")
    parser.add_argument("--encoder", type=Path, help="folder of the transformer; other encoders need none")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--batch-tokens", type=int, help="instead of that of the params: small batches keep a GPU waiting")
    parser.add_argument("--epochs", type=float, help="instead of those of the params")
    return parser


if __name__ == "__main__":
    sys.exit(main())
