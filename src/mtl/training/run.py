"""Train one run of the experiment: read its rows, train, write the model folder. The loop itself is in ``loop.py``."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch

from mtl.config import Params, Run
from mtl.model.device import choose_device, choose_precision
from mtl.progress import note, progress_bar
from mtl.training import checkpoint
from mtl.training.distributed import join
from mtl.training.live import live_metrics
from mtl.training.loop import Loop, Save, Show
from mtl.training.memory import memory_errors
from mtl.training.prepare import prepare
from mtl.training.results import write_results
from mtl.training.resume import identity, resume
from mtl.training.signals import Preempted, stop_signals
from mtl.training.splits import read_splits
from mtl.training.subwords import Subwords

__all__ = ["Preempted", "dismiss", "train"]

Watch = Callable[[Sequence[Mapping[str, Any]], float], None]
"""Takes the history of a run and the share of its steps that is done."""


def train(
    params: Params,
    run: Run,
    examples: Path,
    shards: Path,
    encoder: Path | None,
    out: Path,
    *,
    progress: bool = False,
    device: str = "auto",
    live: Path | None = None,
    subwords: Path | None = None,
    start: Path | None = None,
    watch: Watch = lambda history, done: None,
) -> bool:
    """Train one run and write its model folder.

    Called again after it was killed, it goes on from its last checkpoint; the result is bitwise the one of an undisturbed run. Called in
    each of several processes (see ``distributed.py``), they train the run together.

    Args:
        params: the settings.
        run: one of ``params.runs()``.
        examples: folder of the canonical tables.
        shards: folder of the augmented shards; unused by a plain run.
        encoder: local folder of a transformer; unused by the others.
        out: an existing folder; empty, or with the checkpoints of this run.
        progress: show a bar on stderr.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        live: folder for metrics that can be read while the run trains (see ``live.py``).
        subwords: folder of tokenised tables, which runs share (see ``subwords.py``); this run's own if not given.
        start: folder of a model whose weights the run starts from (see ``start.py``); by default those of the encoder.
        watch: called after each checkpoint, so not after the last validation; may end the run by an exception.

    Returns:
        Whether this process wrote the model folder.

    Raises:
        DataError: a table or shard is missing or damaged.
        EncoderError: the encoder cannot be used.
        ModelError: the model to start from cannot be read.
        TrainingError: training cannot go on.
        Preempted: SIGTERM or Ctrl-C came; the state is saved, and the same call goes on from there.
    """
    with join() as processes:
        # Where the first process has nothing to train, it says so, and the others end too (see ``dismiss``).
        if not processes.from_first(lambda: True):
            return False
        place = choose_device(processes.device(device))
        precision = choose_precision(params.train.precision, place, encoder)
        splits = read_splits(params, run, examples, shards)
        checkpoints = out / "checkpoint"
        with _own_random_state(place), memory_errors(place):
            loop, warnings = prepare(params, run, splits, encoder, precision, processes, Subwords(subwords), start)
            key = identity(params, run, loop, start)
            processes.check_equal(key, loop.model)
            warnings += resume(loop, checkpoints, key)
            save = _saver(loop, checkpoints, key, watch)
            with (
                precision.float32_products(),
                stop_signals(insist=processes.number == 1) as stop_requested,
                _display(run, loop, live, warnings, visible=progress) as show,
            ):
                loop.run(save, stop_requested, show)
        if processes.first:
            write_results(params, run, splits, loop, warnings, out)
            checkpoint.remove(checkpoints)
        return processes.first


def dismiss() -> None:
    """End the other processes, which wait in ``train``: there is nothing to train. Does nothing where there are none."""
    with join() as processes:
        processes.from_first(lambda: False)


def _own_random_state(place: torch.device) -> AbstractContextManager[None]:
    """Within it, numbers drawn do not change what is drawn after it. What is drawn must not depend on what ran before: all is seeded."""
    return torch.random.fork_rng(devices=[place] if place.type == "cuda" else [])


def _saver(loop: Loop, folder: Path, key: str, watch: Watch) -> Save:
    """What writes a checkpoint, in the first process only."""

    def save(step: int, state: dict[str, Any]) -> None:
        if loop.processes.first:
            checkpoint.write(folder, step, key, state)
            watch(loop.progress.history, step / loop.steps)

    return save


@contextmanager
def _display(run: Run, loop: Loop, live: Path | None, warnings: Sequence[str], *, visible: bool) -> Iterator[Show]:
    """A progress bar and live metrics, in the first process only; gives what moves them. Warnings follow at the end."""
    first = loop.processes.first
    with (
        progress_bar(run.name, loop.steps, initial=loop.progress.step, shown=visible and first) as bar,
        live_metrics(live if first else None, lambda: loop.progress.history) as update,
    ):

        def show(step: int, line: str) -> None:
            update()
            bar.set_postfix_str(line, refresh=False)
            bar.update(step - bar.n)

        if loop.precision.reason:
            note(bar, f"{run.name}: precision {loop.precision.name}: {loop.precision.reason}")
        yield show
        for warning in (*warnings, *loop.warnings()):
            note(bar, f"{run.name}: warning: {warning}")
