"""Do two processes train what one trains? On one GPU they share it and are connected by gloo; with two GPUs each has its own, and NCCL.

    python benchmarks/two_processes.py --project work/project [--json]

Trains a small encoder without dropout in fp32, once per balancing, in one process and in two. Prints the largest difference of the
losses, relative, and of the weights, absolute; the exit status is 1 if one of them is above 1e-3, or the losses' above 2e-3.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from baselines import device_name, show
from safetensors.torch import load_file

import mtl.config
from mtl.config import Params

BALANCING: dict[str, Any] = {"static": "static", "gradient_norm": {"type": "gradient_norm", "interval": 3}}
ENCODER = {"type": "fnn", "width": 64, "window": 1, "layers": 2, "vocabulary": 2_000, "max_length": 64, "dropout": 0.0}
LIMIT = {"losses": 2e-3, "weights": 1e-3}
SECONDS = 120
"""Limit of one run."""


def changed(params: Params, balancing: Any, steps_of: int, epochs: float) -> Params:
    """The settings of a run: small encoder, no dropout, fp32, and records of every step."""
    content = params.model_dump(mode="json")
    train = {"precision": "fp32", "balancing": balancing, "batch_tokens": steps_of, "epochs": epochs}
    return mtl.config.parse({**content, "encoder": ENCODER, "train": content["train"] | train})


def train(settings: Path, project: Path, out: Path) -> None:
    """In one process of a run: train the joint plain run."""
    from mtl.training import distributed, run

    torch.set_num_threads(1)
    single_gpu = torch.cuda.device_count() == 1
    if single_gpu:  # NCCL refuses two processes on one GPU
        connect = distributed.dist.init_process_group
        distributed.dist.init_process_group = lambda backend: connect("gloo")
    params = mtl.config.load(settings)
    spec = next(spec for spec in params.runs().values() if (spec.model, spec.data) == ("joint", "plain"))
    run.train(params, spec, project / "examples", project / "shards", None, out, device="cuda:0" if single_gpu else "auto")


def start(number: int, settings: Path, project: Path, out: Path) -> float:
    """Train in so many processes; the tokens per second.

    Raises:
        SystemExit: a process failed.
    """
    out.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(number)}
    command = [sys.executable, __file__, "--child", str(settings), str(out), "--project", str(project)]
    children = [subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(i), "LOCAL_RANK": str(i)}) for i in range(number)]
    try:
        statuses = [child.wait(SECONDS) for child in children]
    finally:
        for child in children:
            child.kill()
    if any(statuses):
        raise SystemExit(f"{number} process(es): exit statuses {statuses}")
    return float(json.loads((out / "cost.json").read_text())["tokens_per_second"])


def differences(one: Path, two: Path) -> dict[str, float]:
    """The largest difference of losses, relative, and of weights, absolute, between two runs."""
    histories = [[json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()] for out in (one, two)]
    pairs = [(a["loss"][task], b["loss"][task]) for a, b in zip(*histories, strict=True) if a["kind"] == "train" for task in a["loss"]]
    weights, others = (load_file(out / "model.safetensors") for out in (one, two))
    return {
        "losses": max(abs(a - b) / max(abs(a), 1e-9) for a, b in pairs),
        "weights": max(float((weight.float() - others[name].float()).abs().max()) for name, weight in weights.items()),
    }


def compare(params: Params, project: Path, steps_of: int, epochs: float) -> dict[str, Any]:
    """Train with each balancing in one process and in two."""
    results: dict[str, Any] = {"device": device_name(torch.device("cuda" if torch.cuda.is_available() else "cpu"))}
    for balancing, section in BALANCING.items():
        with TemporaryDirectory(prefix="two-processes-") as name:
            settings, one, two = (Path(name, part) for part in ("params.json", "one", "two"))
            settings.write_text(mtl.config.dump(changed(params, section, steps_of, epochs)))
            speeds = [start(number, settings, project, out) for number, out in ((1, one), (2, two))]
            largest = differences(one, two)
        results[balancing] = {**largest, "equal": all(largest[key] <= limit for key, limit in LIMIT.items()), "tokens_per_second": speeds}
    return results | {"equal": all(results[balancing]["equal"] for balancing in BALANCING)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="folder with params.json and examples")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--child", type=Path, nargs=2, metavar=("SETTINGS", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        train(options.child[0], options.project, options.child[1])
        return 0
    params = mtl.config.load(options.project / "params.json")
    results = compare(params, options.project, options.batch_tokens, options.epochs)
    show(results, options.json)
    return 0 if results["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
