"""Parts of the train split, for learning curves.

A run of a size learns from that many labelled rows of each dataset. The order in which rows are drawn depends only on the run's seed and
the row's id. So a smaller part lies within a larger one; joint and single-task, augmented and plain runs learn from the same rows; and
another seed draws others. The rows that are left out lose their labels and variants but keep their texts: vocabulary and number of
updates are those of the whole.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from mtl.config import Params, Run
from mtl.names import VariantId
from mtl.seeds import seed_of
from mtl.training.texts import Texts


def subset(texts: Texts, run: Run) -> Texts:
    """The train rows, with the labels of all but ``run.size`` labelled rows of each dataset hidden."""
    if run.size == "all":
        return texts
    by_group: dict[int, list[int]] = defaultdict(list)
    for row in texts.labelled(texts.tasks).nonzero()[0].tolist():
        by_group[int(texts.groups[row])].append(row)
    kept = np.zeros(len(texts), dtype=np.bool_)
    for rows in by_group.values():
        kept[sorted(rows, key=lambda row: seed_of("subset", run.seed, texts.ids[int(row)]))[: run.size]] = True
    part = copy.copy(texts)
    part.labels = {task: labels.masked(kept) for task, labels in texts.labels.items()}
    return part


def variants_within(params: Params, run: Run, train: Texts, variants: Texts) -> Texts:
    """The variants of labelled and compared rows; in a run of a size, none that may contain words of rows that are left out."""
    if run.size == "all":
        return variants
    rows = {train.ids[row] for row in (train.labelled(train.tasks) | train.without_label(train.tasks)).nonzero()[0].tolist()}
    kept = [
        parent in rows and not params.augment.methods[VariantId.parse(row).method].borrows
        for row, parent in zip(variants.ids, variants.parents, strict=True)
    ]
    return variants.only(np.array(kept, dtype=np.bool_))


def size_cautions(params: Params, run: Run, train: Texts) -> Iterator[str]:
    """What to know about a run of a size."""
    if run.size == "all":
        return
    groups = train.groups[train.labelled(train.tasks)]
    for i, name in enumerate(params.datasets):
        if 0 < (count := int((groups == i).sum())) < run.size:
            have = "1 train row has" if count == 1 else f"{count} train rows have"
            yield f"{name}: the size is {run.size}, but only {have} a label"
    left_out = [name for name, method in params.augment.methods.items() if method.borrows]
    if run.data == "augmented" and left_out:
        yield f"variants of {', '.join(left_out)} are left out: they contain words of train rows that this run must not use"
