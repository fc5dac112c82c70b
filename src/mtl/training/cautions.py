"""Warnings about settings and data: what is odd, though nothing forbids it."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl.config import Params, Run, SmallEncoder
from mtl.encoders import Encoded
from mtl.encoders.products import has_bf16_units
from mtl.encoders.store import Stored
from mtl.model.device import Precision
from mtl.tasks.base import TaskType
from mtl.training.splits import Splits
from mtl.training.subsets import size_cautions
from mtl.training.texts import Texts

FEW_ROWS = 0.2
"""Share of the train rows with a variant below which augmentation changes little."""
RISING = 0.02
"""Relative rise of the validation score in the last quarter of a run from which its budget counts as too small."""
MIN_VALIDATIONS = 8
"""With fewer, a rise says little."""


def cautions(params: Params, run: Run, splits: Splits, precision: Precision) -> Iterator[str]:
    """Warnings about settings and labels."""
    yield from _of_precision(precision)
    if params.train.freeze_layers and isinstance(params.encoder, SmallEncoder):
        yield f"train.freeze_layers {params.train.freeze_layers}: this encoder is trained from scratch, so they stay random"
    if run.data == "augmented":
        yield from _of_variants(params, run, splits)
    yield from size_cautions(params, run, splits.train)
    if run.size != "all":  # of all rows, mtl.data.check has said it
        for task in run.tasks:
            yield from _of_labels(task, splits)


def _of_precision(precision: Precision) -> Iterator[str]:
    if precision.device.type != "cpu":
        return
    if precision.dtype is not None and not (precision.name == "bf16" and has_bf16_units()):
        yield f"precision {precision.name} on a CPU: without instructions for it this is many times slower than fp32"
    if precision.name == "tf32":
        yield "precision tf32 on a CPU has no effect: all is computed in fp32"


def _of_variants(params: Params, run: Run, splits: Splits) -> Iterator[str]:
    """Consistency without rows; datasets of an augmented run without variants, or with variants of few rows."""
    rows, variants = splits.train, splits.variants
    for task in run.tasks:
        if params.tasks[task].consistency and not (rows.without_label([task]).any() and variants.without_label([task]).any()):
            missing = "variant of a row" if rows.without_label([task]).any() else "train row"
            yield f"{task}: consistency finds no {missing} without a label in {', '.join(params.unlabelled_of(task))}"
    augmented = set(variants.groups.tolist())
    for i, name in enumerate(params.datasets):
        if name in params.used_datasets(run.tasks) and i not in augmented:
            applied = name in params.augmented_datasets(run.tasks)
            if not applied and any(method.datasets and name not in method.datasets for method in params.augment.methods.values()):
                continue  # the settings say which datasets are augmented, and this one is not
            reason = "its shards hold none that the run learns from" if applied else "no method that the run learns from is applied to it"
            yield f"{name}: this run is augmented, but the dataset has no variants: {reason}"
        elif i in augmented:
            count = int(((rows.labelled(run.tasks) | rows.without_label(run.tasks)) & (rows.groups == i)).sum())
            share = pc.count_distinct(variants.parents.array.filter(pa.array(variants.groups == i))).as_py() / count
            if share < FEW_ROWS:
                yield f"{name}: only {share:.0%} of its train rows have a variant, so augmentation changes little"


def _of_labels(task: str, splits: Splits) -> Iterator[str]:
    """Labels that are all the same in a sample of the train rows, or that it lacks."""
    labels = splits.train.labels[task]
    known = labels.vocabulary()
    distinct = known or labels.distinct()
    if len(distinct) == 1:
        yield f"{task}: every label of the train split is {next(iter(distinct))}, so there is nothing to learn from it"
    for split, texts in (("validation", splits.validation), ("test", splits.test)):
        if unseen := sorted(texts.labels[task].vocabulary() - known):
            yield f"{task}: the {split} split has {', '.join(unseen)}, never seen in training"


def cut_off(tasks: Mapping[str, TaskType], texts: Texts, encoded: Encoded | Stored, max_length: int) -> list[str]:
    """A warning if training loses the ends of long rows: tokens, and the gold entities among them. Elsewhere rows are cut into windows."""
    rows = np.flatnonzero(texts.labelled(tasks) & (encoded.lost[: len(texts)] > 0))
    if not len(rows):
        return []
    lost, items = int(encoded.lost[rows].sum()), 0
    kept = _kept(encoded.take(rows))
    for name, task in tasks.items():
        labels = ((texts.labels[name][row], seen) for row, seen in zip(rows.tolist(), kept[task.field], strict=True))
        items += sum(task.items_cut(label, seen) for label, seen in labels if label is not None)
    return [f"encoder.max_length {max_length} cuts train rows: {len(rows)} (tokens lost: {lost}, gold entities and ranges: {items})"]


def _kept(encoded: Encoded) -> list[list[range]]:
    """Tokens of each text field with a subword, ``[2][rows]``."""
    first, rows = encoded.word_ids >= 0, np.repeat(np.arange(len(encoded)), encoded.lengths)
    counts = [np.bincount(rows[first & (encoded.segment_ids == field)], minlength=len(encoded)) for field in (0, 1)]
    begin = np.zeros(len(encoded), dtype=np.int64) if encoded.begin is None else encoded.begin
    begins = [begin * ~encoded.pairs, begin]
    return [[range(a, a + n) for a, n in zip(*own, strict=True)] for own in zip(begins, counts, strict=True)]


def still_rising(scores: Sequence[float], window: int) -> list[str]:
    """A warning if a run that was not stopped early was still getting better at its end.

    Args:
        scores: of all validations.
        window: validations that are judged together.
    """
    if len(scores) < MIN_VALIDATIONS:
        return []
    judged = [float(np.mean(scores[max(0, i - window) : i])) for i in range(1, len(scores) + 1)]
    before = max(judged[: 3 * len(judged) // 4])
    rise = (judged[-1] - before) / max(abs(before), 1e-9)
    if judged[-1] < max(judged) or rise < RISING:
        return []
    return [f"the validation score still rises at the last step, by {rise:.0%} in the last quarter of the run: raise train.epochs"]
