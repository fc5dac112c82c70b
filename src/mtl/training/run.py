"""Train one run of the experiment: read its rows, train, write the model folder. The loop itself is in ``loop.py``."""

import hashlib
import json
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError

from mtl import encoders, plugins
from mtl.config import Params, Run, SmallEncoder
from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.store import Stored, encode_stored
from mtl.errors import TrainingError, UnfitError
from mtl.files import write_text
from mtl.model.device import Precision, choose_device, choose_precision, peak_memory
from mtl.model.folder import save
from mtl.model.model import Model
from mtl.model.prediction import encode
from mtl.progress import note, progress_bar
from mtl.seeds import seed_of
from mtl.training import checkpoint
from mtl.training.columns import Column, Mask
from mtl.training.corpus import Corpus
from mtl.training.distributed import SINGLE_PROCESS, Processes, join
from mtl.training.live import live_metrics
from mtl.training.loop import Data, Loop, Preempted
from mtl.training.subsets import cautions, subset, variants_within
from mtl.training.texts import Texts, augmented_datasets, read_split, read_variants, used_datasets, variants_of

__all__ = ["Preempted", "dismiss", "train"]

Watch = Callable[[Sequence[Mapping[str, Any]], float], None]
"""Takes the history of a run and the share of its steps that is done."""
VERSIONS = ("mtl", "numpy", "safetensors", "tokenizers", "torch", "torchjd", "transformers")


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows that a run touches. ``train`` knows every task of the settings, the others those of the run; ``variants`` are those that
    teach one of them something.
    """

    train: Texts
    counted: Mask
    """The labelled train rows whatever the size of the run: the number of updates is reckoned by them."""
    variants: Texts
    validation: Texts
    test: Texts


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
    watch: Watch = lambda history, done: None,
) -> bool:
    """Train one run and write its model folder. Called again after it was killed, it goes on from its last checkpoint, bit by bit
    as if it had never stopped. Called in each of several processes (see ``distributed.py``), they train the run together.

    Args:
        params: the settings.
        run: one of ``params.runs()``.
        examples: folder of the canonical tables.
        shards: folder of the augmented shards; unused by a plain run.
        encoder: local folder of a transformer; unused by the others.
        out: an existing folder; empty, or with the checkpoints of this run.
        progress: show a bar on stderr.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
        live: folder for metrics to be looked at while the run trains (see ``live.py``).
        watch: called after each checkpoint but the last validation's; may end the run by an exception.

    Returns:
        Whether it is this process that wrote the model folder.

    Raises:
        DataError: a table or shard is missing or damaged.
        EncoderError: the encoder cannot be used.
        TrainingError: training cannot go on.
        Preempted: SIGTERM or Ctrl-C came; the state is saved, and the same call goes on from there.
    """
    with join() as processes:
        # Where the first process finds that there is nothing to train, it says so, and the others end too (see ``dismiss``).
        if not processes.from_first(lambda: True):
            return False
        place = choose_device(processes.device(device))
        precision = choose_precision(params.train.precision, place)
        rows = _read(params, run, examples, shards)
        checkpoints = out / "checkpoint"
        # What is drawn here must not depend on what ran before in this process, nor change what runs after it.
        with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []), _memory_errors(place):
            loop, warnings = _prepare(params, run, rows, encoder, precision, processes)
            identity = _identity(params, run, loop, precision)
            processes.check_equal(identity, loop.model)
            warnings += _resume(loop, checkpoints, identity)

            def save_state(step: int, state: dict[str, Any]) -> None:
                if processes.first:
                    checkpoint.write(checkpoints, step, identity, state)
                    watch(loop.progress.history, step / loop.steps)

            shown = progress and processes.first
            with (
                precision.float32_products(),
                _stop_signals(processes) as asked_to_stop,
                progress_bar(run.name, loop.steps, initial=loop.progress.step, shown=shown) as bar,
                live_metrics(live if processes.first else None, lambda: loop.progress.history) as update,
            ):
                loop.run(save_state, asked_to_stop, _shower(bar, update))
                for warning in (*warnings, *loop.progress.warnings):
                    note(bar, f"{run.name}: warning: {warning}")
        if not processes.first:
            return False
        loop.model.encoder.restore_vocabulary()
        try:
            _write(params, run, rows, loop, warnings, out)
        except (OSError, SafetensorError) as error:
            raise TrainingError(f"{out}: the model cannot be written: {error}; make room and run again, training then goes on") from None
        checkpoint.remove(checkpoints)
    return True


def dismiss() -> None:
    """End the other processes, which wait in ``train``: there is nothing to train. Does nothing where there are none."""
    with join() as processes:
        processes.from_first(lambda: False)


# --- rows -------------------------------------------------------------------------------------------------------------


def _read(params: Params, run: Run, examples: Path, shards: Path) -> Rows:
    """All rows. The plan of the steps needs the train rows of every task's datasets, also in a run of one task alone.

    Raises:
        TrainingError: a task of the run has no labelled train row.
    """
    every = tuple(params.tasks)
    whole = read_split(params, "train", examples, every)
    train = subset(whole, run)
    for task in run.tasks:
        if not train.labelled([task]).any():
            names = ", ".join(params.datasets_of(task))
            part = "" if run.size == "all" else f" among the {run.size} drawn"
            raise TrainingError(f"task {task!r}: no train row of {names} has a label {params.tasks[task].label!r}{part}")
    return Rows(
        train=train,
        counted=whole.labelled(every),
        variants=variants_within(params, run, train, read_variants(params, shards, run.tasks))
        if run.data == "augmented"
        else Texts(run.tasks),
        validation=read_split(params, "validation", examples, run.tasks),
        test=read_split(params, "test", examples, run.tasks),
    )


def _prepare(
    params: Params, run: Run, rows: Rows, source: Path | None, precision: Precision, processes: Processes = SINGLE_PROCESS
) -> tuple[Loop, list[str]]:
    """Model and data of a run, ready for the first step; and warnings about the data."""
    torch.manual_seed(seed_of("encoder", run.seed))
    # Every run of the same settings gets the same vocabulary, and so the same subwords, lengths and plan.
    encoder, tokenizer = encoders.build(params.encoder, source, rows.train.tokens)
    fitted = {
        name: plugins.task_type(params.tasks[name].type)(
            plugins.task_type(params.tasks[name].type).fit(rows.train.labels[name], params.tasks[name])
        )
        for name in run.tasks
    }
    length, dropout = params.encoder.max_length, params.encoder.dropout
    data, used = _data(params, run, rows, tokenizer)
    # Until the model is written: what never occurs would only cost the optimiser time and memory.
    encoder.prune_vocabulary(used)
    model = Model(encoder, tokenizer, fitted, max_length=length, dropout=dropout, seed=run.seed).to(precision.device)
    weights = {name: params.tasks[name].weight for name in run.tasks} if len(run.tasks) > 1 else dict.fromkeys(run.tasks, 1.0)
    loop = Loop(model, data, params.train, weights, run.seed, precision, processes)
    return loop, _warnings(params, run, rows, precision) + _cut_off(run.tasks, rows.train, data.train.encoded, length)


def _data(params: Params, run: Run, rows: Rows, tokenizer: SubwordTokenizer) -> tuple[Data, npt.NDArray[np.int64]]:
    """Encoded rows: those of the train split, then their variants. And the subwords that occur, which are numbered anew."""
    train, variants, length = rows.train, rows.variants, params.encoder.max_length
    stored = encode_stored(tokenizer, chain(train.tokens.parts(), variants.tokens.parts()), length)
    validation = rows.validation.only(rows.validation.labelled(run.tasks))
    tokens = list(validation.tokens)
    judged = encode(tokenizer, tokens, length, [plugins.task_type(params.tasks[task].type) for task in run.tasks])
    used = np.union1d(stored.used, judged.subwords)
    numbers = np.full(tokenizer.size, -1, dtype=np.int32)
    numbers[used] = np.arange(len(used))
    data = Data(
        train=Corpus(
            replace(stored, numbers=numbers),
            {
                task: Column.joined([train.labels[task], variants.labels[task]] if len(variants) else [train.labels[task]])
                for task in run.tasks
            },
        ),
        ids=train.ids,
        groups=train.groups,
        datasets=tuple(params.datasets),
        planned=train.labelled(params.tasks),
        counted=rows.counted,
        wanted=train.labelled(run.tasks),
        variants=variants_of(train, variants).shifted(len(train)),
        share=params.augment.share,
        validation=Corpus(replace(judged, numbers=numbers), {task: validation.labels[task] for task in run.tasks}),
        validation_tokens=[len(row) for row in tokens],
    )
    return data, used


# --- warnings ---------------------------------------------------------------------------------------------------------


def _warnings(params: Params, run: Run, rows: Rows, precision: Precision) -> list[str]:
    """What is odd about settings and data, though nothing forbids it."""
    found = []
    if precision.device.type == "cpu":
        if precision.dtype is not None:
            found.append(f"precision {precision.name} on a CPU: without matrix units for it this is many times slower than fp32")
        if precision.name == "tf32":
            found.append("precision tf32 on a CPU has no effect: all is computed in fp32")
    if params.train.freeze_layers and isinstance(params.encoder, SmallEncoder):
        found.append(f"train.freeze_layers {params.train.freeze_layers}: this encoder is trained from scratch, so they stay random")
    if run.data == "augmented":
        augmented = set(rows.variants.groups.tolist())
        for i, name in enumerate(params.datasets):
            if name in used_datasets(params, run.tasks) and i not in augmented:
                applied = name in augmented_datasets(params, run.tasks)
                reason = (
                    "its shards hold none that the run learns from" if applied else "no method that the run learns from is applied to it"
                )
                found.append(f"{name}: this run is augmented, but the dataset has no variants: {reason}")
    found += cautions(params, run, rows.train)
    for task in run.tasks:
        known = _values(rows.train.labels[task])
        if (only := _only_value(rows.train.labels[task])) is not None:
            found.append(f"{task}: every label of the train split is {only}, so there is nothing to learn from it")
        for split, texts in (("validation", rows.validation), ("test", rows.test)):
            if not texts.labelled([task]).any():
                found.append(f"{task}: no {split} row has its label")
            if unseen := sorted(_values(texts.labels[task]) - known):
                found.append(f"{task}: the {split} split has {', '.join(unseen)}, never seen in training")
    return found


def _values(labels: Column) -> set[str]:
    """The classes or tags that occur."""
    return labels.vocabulary()


def _only_value(labels: Column) -> str | None:
    """The class, number or tag that all labels are; None if they differ."""
    values = labels.distinct()
    return values.pop() if len(values) == 1 else None


def _cut_off(tasks: Sequence[str], texts: Texts, encoded: Encoded | Stored, max_length: int) -> list[str]:
    """What the longest length keeps from training: tokens, and the gold entities among them. Elsewhere long rows are cut into windows."""
    kept = np.flatnonzero(texts.labelled(tasks) & (encoded.lost[: len(texts)] > 0))
    if not len(kept):
        return []
    lost, entities = encoded.lost[kept], 0
    for task in tasks:
        for row, gone in zip(kept.tolist(), lost.tolist(), strict=True):
            tags = texts.labels[task][row]
            if isinstance(tags, list):
                entities += sum(str(tag).startswith("B-") for tag in tags[-gone:])
    cut = f"{int(lost.sum())} tokens off {len(kept)} train rows, with {entities} gold entities"
    return [f"encoder.max_length {max_length} cuts {cut}"]


# --- going on, and being stopped --------------------------------------------------------------------------------------


def _identity(params: Params, run: Run, loop: Loop, precision: Precision) -> str:
    """Digest of all that must be equal for a checkpoint to be this run's own: settings, data and the code that draws numbers."""
    data = hashlib.sha256(loop.model.encoder.kept.tobytes())
    for corpus in (loop.data.train, loop.data.validation):
        data.update(corpus.encoded.digest().encode())
        for labels in corpus.labels.values():
            data.update(labels.digest())
    ids = hashlib.sha256()
    for part in loop.data.ids.parts():
        ids.update("\n".join([*part, ""]).encode())
    told = {
        "run": run.model_dump(),
        "tasks": {name: task.model_dump() for name, task in params.tasks.items()},
        "encoder": params.encoder.model_dump(),
        "train": params.train.model_dump(),
        "share": params.augment.share,
        "precision": [precision.name, precision.device.type],
        "optimizer": [[group["part"], len(group["params"])] for group in loop.optimizer.param_groups],
        "ids": ids.hexdigest(),
        # The plan goes by the labels of all tasks, also of those that are not the run's.
        "plan": [loop.steps, loop.epoch_steps, hashlib.sha256(loop.groups.tobytes()).hexdigest()],
        "data": data.hexdigest(),
        "versions": {name: version(name) for name in VERSIONS},
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _resume(loop: Loop, folder: Path, identity: str) -> list[str]:
    """Go on from the newest usable checkpoint, if there is one; returns a warning for each one that was passed over."""
    state, warnings = loop.processes.from_first(lambda: checkpoint.read(folder, identity))
    if state is not None:
        loop.load_state_dict(state)
    return warnings


@contextmanager
def _memory_errors(place: torch.device) -> Iterator[None]:
    """Name what to do where memory runs out beside the micro-batches of a step, of which the loop takes care."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise UnfitError(
            f"the memory of {place} does not suffice for model, gradients and optimiser, or for a validation: {reason}; choose a smaller "
            "encoder, train.freeze_layers, or train.optimizer sgd, or end the other programs on the device"
        ) from None


@contextmanager
def _stop_signals(processes: Processes) -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and Ctrl-C into a flag, so that training ends between two steps; a second Ctrl-C ends it at once.

    Not so one of several processes: their launcher passes on the Ctrl-C that they have had already. Only a main thread can set a handler.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT and processes.number == 1:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shower(bar: Any, update: Callable[[], None]) -> Callable[[int, str], None]:
    """What moves a progress bar, and brings the live metrics up to date."""

    def show(step: int, line: str) -> None:
        update()
        bar.set_postfix_str(line, refresh=False)
        bar.update(step - bar.n)

    return show


# --- results ----------------------------------------------------------------------------------------------------------


def _write(params: Params, run: Run, rows: Rows, loop: Loop, warnings: Sequence[str], out: Path) -> None:
    """The model folder; run.json comes last, so that where it is, all is."""
    tasks = {name: {"type": params.tasks[name].type, "label": params.tasks[name].label} for name in run.tasks}
    used = params.model_dump(include={"encoder", "train"}, mode="json") | {"share": params.augment.share}
    save(loop.model, out, {"tasks": tasks, "run": run.model_dump(mode="json"), "params": used})
    write_text(out / "history.jsonl", "".join(json.dumps(record) + "\n" for record in loop.progress.history))
    facts = _facts(params, run, rows, loop, [*warnings, *loop.warnings()])
    write_text(out / "run.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _shown(params: Params, run: Run, train: Texts, loop: Loop) -> dict[str, dict[str, dict[str, float]]]:
    """How often the rows of each dataset and task were trained on: as written or as a variant, and in passes over all of them."""
    now, groups = loop.progress, loop.data.groups
    # A task that was left out at some step learnt from no row after it.
    steps = {task: now.stopped_tasks.get(task, now.step) for task in run.tasks}
    shown = {number: loop.times_shown(number) for number in set(steps.values())}
    times = {task: shown[steps[task]] * train.labelled([task]) for task in run.tasks}
    every, order = np.max(list(times.values()), axis=0), list(params.datasets)

    def counts(times: npt.NDArray[np.integer], rows: Mask) -> dict[str, float]:
        return {"rows": int(times[rows].sum()), "passes": _mean(times[rows]), "coverage": _mean(times[rows] > 0)}

    return {
        "datasets": {name: counts(every, loop.data.wanted & (groups == order.index(name))) for name in used_datasets(params, run.tasks)},
        "tasks": {task: counts(times[task], train.labelled([task])) for task in run.tasks},
    }


def _mean(values: npt.NDArray[np.integer] | Mask) -> float:
    return float(np.mean(values)) if values.size else 0.0


def _facts(params: Params, run: Run, rows: Rows, loop: Loop, warnings: list[str]) -> dict[str, Any]:
    """What run.json says of a finished run."""
    now, used, shown = loop.progress, used_datasets(params, run.tasks), _shown(params, run, rows.train, loop)
    groups = loop.data.groups[loop.data.wanted]
    return {
        "run": run.name,
        "model": run.model,
        "data": run.data,
        "seed": run.seed,
        "size": run.size,
        "tasks": list(run.tasks),
        "budget": loop.steps,
        "steps": now.step,
        "best_step": now.best_step,
        "best_score": now.best_score,
        "stopped": now.stopped,
        "stopped_tasks": now.stopped_tasks,
        "skipped": now.skipped,
        "epochs": {name: counts["passes"] for name, counts in shown["datasets"].items()},
        "shown": shown,
        "rows": {name: int((groups == list(params.datasets).index(name)).sum()) for name in used},
        "seconds": now.seconds + now.validating,
        "tokens": now.tokens,
        "padding_share": 1 - now.tokens / max(now.padded, 1),
        "tokens_per_second": now.tokens / now.seconds if now.seconds else 0.0,
        "balance_cost": loop.balance_cost(),
        "spent": {kind: dict(zip(("steps", "tokens", "seconds"), spent, strict=True)) for kind, spent in sorted(now.spent.items())},
        "precision": loop.precision.name,
        "device": torch.cuda.get_device_name(loop.device) if loop.device.type == "cuda" else f"cpu ({platform.machine()})",
        "threads": torch.get_num_threads(),
        "processes": loop.processes.number,
        "peak_memory_bytes": peak_memory(loop.device),
        "warnings": warnings,
        "parameters": sum(parameter.numel() for parameter in loop.model.parameters()),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
    }
