"""Training beside the usual ways: real subwords per second of CPU time (on a GPU: of wall time), padding not counted.

    python benchmarks/train.py --data data --encoder data/raw/model.encoder [--turns 5] [--quick] [--json] [--ablation]
    python benchmarks/train.py --encoder data/raw/model.encoder --random 768x12 --batch-tokens 16384 --json  # a GPU's: BERT-base's size

All sides train the same model on rows of the same data with the same dropout, number format and rows per update, and take turns of as many
updates in one process, so that what else the machine does bears on all. Figures are medians of the ratios of turns. Before anything is
timed, the losses and gradients of all sides are compared on one step's rows, with dropout off.

ours            static weights, that is the plain sum of losses, as all others have it
tutorial        a data loader for each task, every row padded to 128 subwords, 16 rows a pass, torch's AdamW not fused, as many passes an
                update as it takes for the rows of ours; a text that several tasks learn from is computed for each, but counted once
tutorial_one_pass  the same with one pass for all tasks
hf_default      Hugging Face's Trainer with its defaults, padded to the longest row of the batch; a batch is the rows of an update
hf_grouped      the same with batches of its own length-grouped sampler
hf_default_8,   the same with Trainer's default batch of 8 rows, accumulated to the rows of an update
hf_grouped_8
ours_bf16,      on a CPU with instructions for bfloat16: ours with ``precision: bf16``, and Trainer with ``bf16=True``
hf_grouped_bf16

With --json the last line is one JSON object.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from baselines import Clock, Padded, batch_of, device_name, inputs_of, make_loop, padded, ratio, show
from torch import nn
from transformers import AutoConfig, AutoModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from mtl.data import schema
from mtl.encoders.cheap import Dropout
from mtl.encoders.products import FORMAT, has_bf16_units, onednn
from mtl.model.batch import Batch
from mtl.model.device import Precision
from mtl.training.loop import Loop

WIDTH, TUTORIAL_ROWS, TRAINER_ROWS = 128, 16, 8
Turn = Callable[[], float]
"""Trains a little and returns real subwords per second."""


def steps(loop: Loop, count: int) -> float:
    """Real subwords per second over some steps of our loop."""
    clock, usage = Clock(loop.precision.device), loop.progress.usage
    before = usage.tokens
    start = clock()
    with loop.precision.float32_products():
        for _ in range(count):
            loop._step()
            loop.progress.step += 1
    return (usage.tokens - before) / (clock() - start)


class Others:
    """The usual ways, on copies of one model with its whole vocabulary."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.device, self.clock = loop, loop.precision.device, Clock(loop.precision.device)
        self.module = Padded(padded(loop.model))
        self.rows = np.flatnonzero(loop.feed.data.labelled)
        self.rows_per_update = round(len(self.rows) / loop.feed.plan.epoch_steps)
        self.draw = np.random.default_rng(0)
        self.padding: dict[str, float] = {}
        self.updates: Counter[str] = Counter()
        settings = loop.settings
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=settings.learning_rate, fused=False, foreach=False)

    def inputs(self, rows: Any, width: int | None = None) -> dict[str, torch.Tensor]:
        return inputs_of(self.loop.feed.data.train, rows, self.loop.model.tasks, width)

    def tutorial(self, updates: int, *, one_pass: bool) -> float:
        labels, tasks, subwords, seconds = self.loop.feed.data.train.labels, self.loop.model.tasks, 0, 0.0
        self.module.train()
        for _ in range(updates):
            rows = self.draw.permutation(self.rows)[: self.rows_per_update]
            shares = [rows] if one_pass else [rows[[labels[task][row] is not None for row in rows]] for task in tasks]
            groups = [list(tasks)] if one_pass else [[task] for task in tasks]
            parts = [
                (share[i : i + TUTORIAL_ROWS], names)
                for share, names in zip(shares, groups, strict=True)
                for i in range(0, len(share), TUTORIAL_ROWS)
            ]
            start = self.clock()
            for part, names in parts:
                inputs = inputs_of(self.loop.feed.data.train, part, {name: tasks[name] for name in names}, WIDTH)
                with self.loop.precision.autocast():
                    loss = self.module(**{name: value.to(self.device) for name, value in inputs.items()})["loss"] / len(parts)
                loss.backward()
                loss.item()
            nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            seconds += self.clock() - start
            subwords += int(self.loop.feed.lengths[rows].sum())
        self.updates["tutorial_one_pass" if one_pass else "tutorial"] += updates
        return subwords / seconds

    def trainer(self, updates: int, *, rows: int, grouped: bool, bf16: bool = False) -> float:
        """Some updates of Trainer after one that does not count."""
        accumulated = max(1, round(self.rows_per_update / rows))
        batches = self.batches(rows, grouped, (updates + 1) * accumulated)
        watch = Watch(self.module, self.clock)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, per_device_train_batch_size=rows, gradient_accumulation_steps=accumulated, max_steps=updates + 1, report_to="none",
                save_strategy="no", train_sampling_strategy="sequential", remove_unused_columns=False, disable_tqdm=True,
                learning_rate=self.loop.settings.learning_rate, bf16=bf16 or self.loop.precision.name == "bf16",
                fp16=self.loop.precision.name == "fp16", use_cpu=self.device.type == "cpu",
            )  # fmt: skip
            items = [int(row) for batch in batches for row in batch]
            trainer = Trainer(self.module, arguments, train_dataset=items, data_collator=self.inputs, callbacks=[watch])  # type: ignore[arg-type]
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        name = f"hf_{'grouped' if grouped else 'default'}_{rows}{'_bf16' if bf16 else ''}"
        real = int(watch.real)
        self.padding[name] = 1 - real / watch.computed
        self.updates[name] += trainer.state.global_step - 1
        return real / watch.seconds

    def batches(self, rows: int, grouped: bool, count: int) -> list[Any]:
        """Batches of an epoch of Trainer's sampler, in random order: length-grouped ones come longest first."""
        if grouped:
            lengths = self.loop.feed.lengths[self.rows].tolist()
            generator = torch.Generator().manual_seed(int(self.draw.integers(1 << 30)))
            order = self.rows[list(LengthGroupedSampler(rows, lengths=lengths, generator=generator))]
        else:
            order = self.draw.permutation(self.rows)
        whole = [order[i : i + rows] for i in range(0, len(order) - rows + 1, rows)]
        return [whole[i] for i in self.draw.permutation(len(whole))[:count]]


class Watch(TrainerCallback):
    """Time and subwords from the end of the first update to that of the last."""

    def __init__(self, module: Padded, clock: Clock) -> None:
        self.module, self.clock = module, clock

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            self.start, self.module.real, self.module.computed = self.clock(), 0, 0
        self.seconds, self.real, self.computed = self.clock() - self.start, self.module.real, self.module.computed


def check_equal(ours: Loop, others: Others) -> float:
    """The largest relative difference of losses and gradients between our step and a padded batch of the same rows.

    Both are computed in fp32 and without dropout: in a 16-bit format the order of additions alone makes a difference of some percent.

    Raises:
        SystemExit: it is more than rounding.
    """
    ours.model.eval()
    others.module.eval()
    with in_fp32(ours):
        losses = backward_of_plain_sum(ours)
        planned = ours.feed.plan[ours.progress.step].rows
        inputs = others.inputs(planned[ours.feed.data.labelled[planned]], WIDTH)
        other = others.module.losses(batch_of({name: value.to(others.device) for name, value in inputs.items()}))
        torch.stack(list(other.values())).sum().backward()
    grads = {name: p.grad for name, p in ours.model.named_parameters() if p is not ours.model.encoder.embedding.weight}
    differences = [abs(losses[task] - float(other[task].detach())) / float(other[task].detach()) for task in losses]
    for name, p in others.module.model.named_parameters():
        if (grad := grads.get(name)) is not None and p.grad is not None:
            differences.append(float((grad - p.grad).norm() / (p.grad.norm() + 1e-3)))
    ours.model.zero_grad()
    others.module.zero_grad()
    ours.model.train()
    if (worst := max(differences)) > 1e-3:
        raise SystemExit(f"the sides do not compute the same: losses or gradients differ by {worst:.2g}")
    return worst


def backward_of_plain_sum(loop: Loop) -> dict[str, float]:
    """Add the gradients of the unweighted sum of the next step's losses to the parameters; returns the losses by task."""
    step, totals = loop._batches(), dict.fromkeys(loop.model.tasks, 0.0)
    for batch in step.batches:
        losses = loop.gradients.losses(batch.to(loop.precision.device), list(batch.targets), step.labelled)
        torch.stack(list(losses.values())).sum().backward()
        totals |= {task: totals[task] + float(loss.detach()) for task, loss in losses.items()}
    return totals


@contextmanager
def in_fp32(loop: Loop) -> Iterator[None]:
    """Within it, the loop's losses are computed in fp32."""
    usual = loop.gradients.precision
    loop.gradients.precision = Precision("fp32", usual.device)
    try:
        with loop.gradients.precision.float32_products():
            yield
    finally:
        loop.gradients.precision = usual


class Peak:
    """The rate of the model's matrix products, forward and backward, at the shapes of our micro-batches, and nothing else."""

    def __init__(self, loop: Loop) -> None:
        batch = max(loop._batches().batches, key=lambda batch: batch.real)
        self.order = products(loop, batch)
        number = torch.float32 if loop.precision.dtype is None else loop.precision.dtype
        make = lambda *size: torch.randn(*size, device=loop.precision.device, dtype=number)  # noqa: E731
        self.precision, self.clock = loop.precision, Clock(loop.precision.device)
        self.work = {
            product: (make(product.rows, product.ins), make(product.outs, product.ins), make(product.rows, product.outs))
            for product in set(self.order)
        }
        self.subwords, self.flops = batch.real, 6 * sum(math.prod(product) for product in self.order)
        """Operations of a micro-batch: 2 a weight and row, forward and twice backward."""

    def __call__(self) -> float:
        """Subwords per second, were there nothing else to do."""
        start = self.clock()
        with self.precision.float32_products(), self.precision.autocast(), onednn() if FORMAT.get() == "onednn" else nullcontext():
            for product in self.order:
                inputs, weight, gradient = self.work[product]
                nn.functional.linear(inputs, weight), gradient @ weight, gradient.t() @ inputs
        return self.subwords / (self.clock() - start)


class Product(NamedTuple):
    """A matrix product of ``[rows, ins]`` and ``[ins, outs]``."""

    rows: int
    ins: int
    outs: int


def products(loop: Loop, batch: Batch) -> list[Product]:
    """Those of the encoder's linear layers in one forward pass over a batch."""
    results: list[Product] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        results.append(Product(inputs[0].shape[:-1].numel(), inputs[0].shape[-1], result.shape[-1]))

    handles = [m.register_forward_hook(note) for m in loop.model.encoder.modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        loop.gradients.losses(batch.to(loop.precision.device), list(batch.targets), batch.counts)
    for handle in handles:
        handle.remove()
    return results


def balance_cost(make: Callable[..., Loop], turns: int) -> float:
    """Time of ``train.balancing: gradient_norm`` over that of the plain sum, over whole rounds of steps that measure and that do not."""
    static, balanced = make(balancing="static"), make(balancing="gradient_norm")
    pairs = []
    for loop in (static, balanced):
        steps(loop, 1)
        loop.progress.step = 20
    for _ in range(turns):
        parts = [(steps(static, 1), steps(balanced, 1)) for _ in range(20)]
        pairs.append(sum(1 / b for _, b in parts) / sum(1 / a for a, _ in parts))
    return median(pairs)


def compare(make: Callable[..., Loop], turns: int, updates: int) -> dict[str, Any]:
    ours, others = make(balancing="static"), Others(make(balancing="static", whole=True))
    difference = check_equal(ours, others)
    peak, rows = Peak(ours), others.rows_per_update
    rounded = make(balancing="static", precision="bf16") if both_formats(ours) else None
    sides: dict[str, Turn] = {
        "peak": peak,
        "ours": lambda: steps(ours, updates),
        "hf_grouped": lambda: others.trainer(updates, rows=rows, grouped=True),
        "hf_default": lambda: others.trainer(updates, rows=rows, grouped=False),
        "hf_grouped_8": lambda: others.trainer(updates, rows=TRAINER_ROWS, grouped=True),
        "hf_default_8": lambda: others.trainer(updates, rows=TRAINER_ROWS, grouped=False),
        "tutorial": lambda: others.tutorial(updates, one_pass=False),
        "tutorial_one_pass": lambda: others.tutorial(updates, one_pass=True),
    }
    if rounded is not None:
        loop, peak_bf16 = rounded, Peak(rounded)
        sides |= {
            "peak_bf16": peak_bf16,
            "ours_bf16": lambda: steps(loop, updates),
            "hf_grouped_bf16": lambda: others.trainer(updates, rows=rows, grouped=True, bf16=True),
        }
        steps(loop, 1)
    steps(ours, 1)
    others.tutorial(1, one_pass=True)
    others.updates.clear()
    before = ours.progress.updates
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, turn in sides.items():
            rates[name].append(turn())
            print(f"{name:18}{rates[name][-1]:10.0f} subwords/s", flush=True)
    for name, own in rates.items():
        print(f"{name:18}{median(own):10.0f} subwords/s   ({min(own):.0f} to {max(own):.0f})", flush=True)
    made = {"ours": ours.progress.updates - before, **others.updates}
    if set(made.values()) != {turns * updates}:
        raise SystemExit(f"the sides did not make the same updates: {made}")
    return {
        **{
            f"vs_{name}": round(ratio(rates["ours"], rates[name]), 3)
            for name in sides
            if name.startswith(("tutorial", "hf_")) and "bf16" not in name
        },
        "gemm_share": round(ratio(rates["ours"], rates["peak"]), 3),
        "peak_gflops": round(median(rates["peak"]) / peak.subwords * peak.flops / 1e9, 1),
        "subwords_per_second": round(median(rates["ours"])),
        "padding_share": round(1 - ours.progress.usage.tokens / ours.progress.usage.padded, 4),
        "padding_share_of_others": {name: round(value, 3) for name, value in others.padding.items()},
        "rows_per_update": rows,
        "updates": turns * updates,
        "difference": difference,
        "device": device_name(ours.precision.device),
        **({} if rounded is None else in_bf16(rates, peak_bf16)),
    }


def both_formats(loop: Loop) -> bool:
    """Whether ours is compared in bf16 too: on a CPU with instructions for it, beside fp32."""
    return loop.precision.name == "fp32" and loop.precision.device.type == "cpu" and has_bf16_units()


def in_bf16(rates: Mapping[str, list[float]], peak: Peak) -> dict[str, float]:
    """Ours in bf16 beside ours in fp32, Trainer in bf16, the tutorial's way as it is written, in fp32, and the products by themselves."""
    others = {
        "bf16_vs_fp32": "ours",
        "vs_hf_grouped_bf16": "hf_grouped_bf16",
        "vs_tutorial_bf16": "tutorial",
        "gemm_share_bf16": "peak_bf16",
    }
    ratios = {key: round(ratio(rates["ours_bf16"], rates[name]), 3) for key, name in others.items()}
    return ratios | {"peak_gflops_bf16": round(median(rates["peak_bf16"]) / peak.subwords * peak.flops / 1e9, 1)}


def ablate(make: Callable[..., Loop], turns: int, updates: int) -> dict[str, Any]:
    """The rate of ours over that of ours with one thing undone."""
    loops = {"ours": make(balancing="static")} | {name: undo(make) for name, undo in ABLATIONS.items()}
    for loop in loops.values():
        steps(loop, 1)
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(turns):
        for name, loop in loops.items():
            rates[name].append(steps(loop, updates))
    return {name: round(ratio(rates["ours"], other), 3) for name, other in rates.items()}


def without_packing(make: Callable[..., Loop]) -> Loop:
    loop = make(balancing="static")
    loop.model.encoder.packs = lambda device: False  # type: ignore[method-assign]
    return loop


def with_whole_last_layer(make: Callable[..., Loop]) -> Loop:
    """The last layer computes every position of the rows that have a label."""
    loop = make(balancing="static")
    needed = loop.model._needed
    loop.model._needed = lambda batch, *about: batch.mask & needed(batch, *about).any(1, keepdim=True)  # type: ignore[method-assign]
    return loop


def without_sorting(make: Callable[..., Loop]) -> Loop:
    loop = without_packing(make)
    loop.model.micro_batches = lambda lengths, *_: np.array_split(np.arange(len(lengths)), 3)  # type: ignore[method-assign]
    return loop


def without_mixed_batches(make: Callable[..., Loop]) -> Loop:
    """A micro-batch for the rows of each dataset."""
    loop = make(balancing="static")
    batches = loop._batches
    loop._batches = lambda *, apart=None: batches(apart=True)  # type: ignore[method-assign]
    return loop


def with_plain_dropout(make: Callable[..., Loop]) -> Loop:
    loop = make(balancing="static")
    for module in loop.model.modules():
        module.__class__ = nn.Dropout if type(module) is Dropout else type(module)
    return loop


def with_attention_dropout(make: Callable[..., Loop]) -> Loop:
    loop = make(balancing="static")
    for name, module in loop.model.named_modules():
        if name.endswith("attention.self.dropout"):
            module.p = 0.1  # type: ignore[assignment]
    return loop


def with_plain_adamw(make: Callable[..., Loop]) -> Loop:
    loop = make(balancing="static")
    loop.optimizer = torch.optim.AdamW([{**group, "fused": False, "foreach": False} for group in loop.optimizer.param_groups])
    return loop


ABLATIONS: dict[str, Callable[[Callable[..., Loop]], Loop]] = {
    "without packing: padded micro-batches of like length": without_packing,
    "nor sorting by length": without_sorting,
    "a micro-batch for each dataset": without_mixed_batches,
    "the last layer computed for all positions": with_whole_last_layer,
    "embeddings of the whole vocabulary": lambda make: make(balancing="static", whole=True),
    "torch's dropout": with_plain_dropout,
    "attention dropout 0.1": with_attention_dropout,
    "AdamW not fused": with_plain_adamw,
}


SETTINGS = {
    "seed": 1,
    "datasets": {
        "many": {
            "source": {"url": "made-here"},
            "reader": {"format": "parquet"},
            "labels": {"topic": {"type": "class", "column": "topic"}, "names": {"type": "tags", "column": "names"}},
            "split": {"train": 0.9, "test": 0.1},
        }
    },
    "tasks": {"topic": {"type": "classification", "label": "topic"}, "names": {"type": "token_classification", "label": "names"}},
    "augment": {},
    "encoder": {"type": "fnn"},
    "experiment": {"joint": ["plain"], "single_task": []},
    "evaluate": {},
    "report": {},
}
CHILD = """
import json, resource, sys
from pathlib import Path
import torch
from mtl import config
from mtl.training.run import train
torch.set_num_threads(1)
folder = Path(sys.argv[1])
settings = config.parse(json.loads(sys.argv[2]))
train(settings, settings.runs()["joint-plain-1"], folder, folder, None, folder / "out")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write_many(rows: int, path: Path) -> None:
    """A canonical table of so many train rows of 8 to 32 words, with a class and tags, and a few of validation and test."""
    draw, labels = np.random.default_rng(1), {"topic": "class", "names": "tags"}
    words, tags = pa.array([f"w{i:x}" for i in range(20_000)]), pa.array(["O", "B-name"])
    with schema.Writer(path, schema.schema(labels)) as file:
        for start in range(0, rows, 50_000):
            count = min(50_000, rows - start)
            offsets = np.concatenate([[0], np.cumsum(draw.integers(8, 33, count))]).astype(np.int32)
            total = int(offsets[-1])
            lists = {
                "tokens": words.take(pa.array(np.minimum(draw.zipf(1.3, total), 20_000) - 1)),
                "space_after": pa.array(np.ones(total, dtype=np.bool_)),
                "names": tags.take(pa.array((draw.random(total) < 0.05).astype(np.int64))),
            }
            splits = ["validation"] * 50 + ["test"] * 50 + ["train"] * (count - 100) if not start else ["train"] * count
            columns = {
                "id": pa.array(f"row-{i}" for i in range(start, start + count)),
                "split": pa.array(splits),
                "topic": pa.array(["a", "b"]).take(pa.array(draw.integers(0, 2, count))),
                **{name: pa.ListArray.from_arrays(pa.array(offsets), items) for name, items in lists.items()},
                "parent_id": pa.nulls(count, pa.string()),
                "augmenter": pa.nulls(count, pa.string()),
            }
            names = schema.schema(labels).names
            file.write(pa.table([columns[name] for name in names], schema=schema.schema(labels)))


def memory(many: int, few: int = 50_000) -> dict[str, Any]:
    """The peak of a process that trains on many rows for a few steps, less that of one that trains on few; in MiB."""
    peaks = []
    for rows in (few, many):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_many(rows, folder / "many.parquet")
            (folder / "out").mkdir()
            train = {"epochs": 1000 / rows, "batch_tokens": 1024, "eval_every": 20}
            arguments = [str(folder), json.dumps({**SETTINGS, "train": train})]
            done = subprocess.run([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True, check=True)
            peaks.append(float(done.stdout))
            print(f"{rows} rows: {peaks[-1]:.0f} MiB", flush=True)
    return {"rows": many, "peak_mib": round(peaks[1]), f"peak_mib_of_{few}": round(peaks[0]), "growth_mib": round(peaks[1] - peaks[0])}


def resized(encoder: Path, width: int, layers: int, folder: Path) -> Path:
    """An encoder of another size with random weights, in the folder: speed does not depend on them, and ``encoder`` need have none."""
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": max(1, width // 64), "intermediate_size": 4 * width}
    AutoModel.from_config(AutoConfig.from_pretrained(encoder, **shape)).save_pretrained(folder)
    shutil.copy(encoder / "tokenizer.json", folder)
    return folder


def size(text: str) -> tuple[int, int]:
    """``768x12``: width and number of layers."""
    width, layers = map(int, text.split("x"))
    return width, layers


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("examples/tweets/params.yaml"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--encoder", type=Path, default=Path("data/raw/model.encoder"))
    parser.add_argument("--random", type=size, metavar="WIDTHxLAYERS", help="an encoder of this size with random weights instead")
    parser.add_argument("--batch-tokens", type=int, help="instead of that of the params: small batches keep a GPU waiting")
    parser.add_argument("--turns", type=int, default=5, help="of each side (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one turn: shows that it works, its figures say little")
    parser.add_argument("--ablation", action="store_true", help="what each way brings, instead of the comparison")
    parser.add_argument("--memory", type=int, nargs="?", const=5_000_000, metavar="ROWS", help="memory of training on many rows instead")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)

    with tempfile.TemporaryDirectory() as folder:
        encoder = resized(options.encoder, *options.random, Path(folder)) if options.random else options.encoder
        show(measure(options, encoder), options.json)


def measure(options: argparse.Namespace, encoder: Path) -> dict[str, Any]:
    """What the options ask for."""
    train = {} if options.batch_tokens is None else {"batch_tokens": options.batch_tokens}

    def make(**more: Any) -> Loop:
        return make_loop(options.params, options.data, encoder, **train, **more)

    turns = 1 if options.quick else options.turns
    if options.memory:
        return memory(options.memory)
    if options.ablation:
        return ablate(make, turns, 1 if options.quick else 4)
    results = compare(make, turns, 1 if options.quick else 4)
    return results | {"balance_cost": round(balance_cost(make, 1 if options.quick else 3), 3)}


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    main()
