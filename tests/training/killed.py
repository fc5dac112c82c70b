"""Runs ``train`` and dies by SIGKILL at given points, each time in a process of its own, until a run comes to its end.

Usage: ``killed.py SETTINGS RUN PROJECT OUT ENCODER POINT…``, where a point is a step to die in, ``write:N`` to die half-way through
writing the N-th checkpoint of the process, ``end`` to die after the model is written, or ``finish``. Imports are done once,
before the forks.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from mtl.config import Params
from mtl.training import checkpoint, run
from mtl.training.gradients import StepResult
from mtl.training.loop import Loop


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(point: str) -> None:
    """Make this process die at a point."""
    step, save, write = Loop._step, torch.save, run.write_results
    count = 0

    def dying_step(loop: Loop) -> StepResult | None:
        result = step(loop)
        if loop.progress.step + 1 == int(point):
            die()
        return result

    def dying_save(content: Any, file: Any) -> None:
        nonlocal count
        count += 1
        save(content, file)
        if point == f"write:{count}":
            file.flush()
            file.truncate(file.tell() // 2)
            die()

    def dying_write(*arguments: Any) -> None:
        write(*arguments)
        die()

    if point.isdigit():
        Loop._step = dying_step  # type: ignore[method-assign]
    elif point.startswith("write:"):
        checkpoint.torch.save = dying_save  # type: ignore[attr-defined]
    elif point == "end":
        run.write_results = dying_write


def main(settings: str, name: str, project: str, out: str, encoder: str, *points: str) -> None:
    """Fork a process for each point; every one but ``finish`` must die by SIGKILL."""
    for point in points:
        child = os.fork()
        if not child:
            torch.set_num_threads(1)
            plant(point)
            params = Params.model_validate_json(settings)
            folder = Path(project)
            run.train(params, params.runs()[name], folder / "examples", folder / "shards", Path(encoder) if encoder else None, Path(out))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status == (0 if point == "finish" else signal.SIGKILL), f"{point}: ended with {status}"


if __name__ == "__main__":
    main(*sys.argv[1:])
