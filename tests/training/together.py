"""Trains runs with several processes each, as a launcher would start them: when one of them dies, the others are killed.

Usage: ``together.py FILE``, with a JSON list of jobs: ``settings``, ``run``, ``project``, ``out``, ``processes`` and, where something is
to happen, ``rank`` and ``event``. The statuses of the processes go to standard output, a JSON list a line.
"""

import json
import math
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import scipy.stats  # noqa: F401 - this and the next would be imported in every process anew: three seconds
import torch
import torch._dynamo

from mtl.config import Params
from mtl.errors import MtlError
from mtl.tasks.regression import Regression
from mtl.training import run
from mtl.training.gradients import StepResult
from mtl.training.loop import Loop
from mtl.training.signals import Preempted

SIGNALS = {"kill": [signal.SIGKILL], "int": [signal.SIGINT, signal.SIGINT]}


def plant(event: str) -> None:
    """Let something happen to this process in a step: ``kill:N`` and ``int:N`` send signals, ``nan:N`` makes its loss of a task NaN."""
    what, number = event.split(":")
    step, loss = Loop._step, Regression.loss
    now = 0

    def counted(loop: Loop) -> StepResult | None:
        nonlocal now
        now = loop.progress.step + 1
        result = step(loop)
        if what in SIGNALS and now == int(number):
            for sent in SIGNALS[what]:
                os.kill(os.getpid(), sent)
        return result

    def broken(*arguments: Any) -> torch.Tensor:
        return loss(*arguments) * (math.nan if what == "nan" and now == int(number) else 1.0)

    Loop._step = counted  # type: ignore[method-assign]
    Regression.loss = broken  # type: ignore[method-assign]


def train(job: dict[str, Any]) -> int:
    """One process of a job; its exit status."""
    torch.set_num_threads(1)
    if job.get("rank") == int(os.environ["RANK"]):
        plant(job["event"])
    params = Params.model_validate_json(job["settings"])
    folder = Path(job["project"])
    try:
        run.train(params, params.runs()[job["run"]], folder / "examples", folder / "shards", None, Path(job["out"]))
    except MtlError as error:
        sys.stderr.write(f"{error}\n")
        return getattr(error, "exit_status", 2)
    return 0


def together(job: dict[str, Any]) -> list[int]:
    """The processes of a job; their statuses in the order of their ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(job["processes"])}
    children = []
    for rank in range(job["processes"]):
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        child = os.fork()
        if not child:
            status = 1
            try:
                status = train(job)
            finally:
                os._exit(status)
        children.append(child)
    statuses: dict[int, int] = {}
    while len(statuses) < len(children):
        child, status = os.wait()
        statuses[child] = os.waitstatus_to_exitcode(status)
        if statuses[child] not in (0, Preempted.exit_status):
            for other in set(children) - statuses.keys():
                os.kill(other, signal.SIGKILL)
    return [statuses[child] for child in children]


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_text()):
        sys.stdout.write(json.dumps(together(job)) + "\n")
