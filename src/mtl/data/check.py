"""What is checked over all datasets before anything is trained: leakage between them, and whether each task can be learned and scored."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl.config import SPLITS, Params
from mtl.data import schema
from mtl.data.card import leaks_by_type, rows_at, sample, sampled, texts_of
from mtl.data.duplicates import Matches, matches
from mtl.data.keys import Keys, KeysWriter, Numbers, joined
from mtl.data.scan import Codes
from mtl.data.spill import ROWS
from mtl.errors import DataError
from mtl.files import write_json
from mtl.names import ACROSS_DATASETS

NAMED = 10
"""Classes that a warning names, at most."""


class Texts(NamedTuple):
    """The texts of a canonical table."""

    table: Path
    keys: Keys
    splits: Codes
    """Of each text, by its place in ``SPLITS``."""


def check_examples(params: Params, examples: Path, out: Path) -> list[str]:
    """Write ``across-datasets.json``: texts that one dataset holds out and another one trains on, and warnings about the labels of tasks.

    Args:
        params: all settings.
        examples: folder of the canonical tables and data cards.
        out: an existing folder.

    Returns:
        All warnings.

    Raises:
        DataError: a task has no labelled row of train or test, has only one label to learn, or names a class that does not occur; lists
            all such tasks.
    """
    labels = {task: task_labels(params, task, examples) for task in params.tasks}
    if errors := [error for task in params.tasks for error in label_errors(params, task, labels[task])]:
        raise DataError("\n".join(errors))
    warnings = [warning for task in params.tasks for warning in label_warnings(task, labels[task])]
    leaks = leakage(params, examples, out) if len(params.datasets) > 1 else []
    content = {"leakage": leaks, "warnings": warnings}
    write_json(out / ACROSS_DATASETS, content, sort_keys=False)
    return all_warnings(content)


def all_warnings(across: Mapping[str, Any]) -> list[str]:
    """What ``across-datasets.json`` warns of."""
    return [*(f"{entry['held_out']}: {describe_leak(entry)}" for entry in across.get("leakage", ())), *across.get("warnings", ())]


def describe_leak(entry: Mapping[str, Any]) -> str:
    """A pair of datasets in a sentence: what the second one trains on of what the first one holds out."""
    exact, near = (sum(entry[type_].values()) for type_ in ("exact", "near"))
    tasks = entry["tasks"]
    names = f"{', '.join(tasks)} {'learns' if len(tasks) == 1 else 'learn'} too" if tasks else "only other tasks learn"
    texts = "held-out text is" if exact + near == 1 else "held-out texts are"
    return f"{exact + near:,} {texts} in train of {entry['train']}, from which {names}: {exact:,} exactly, {near:,} nearly."


def leakage(params: Params, examples: Path, out: Path) -> list[dict[str, Any]]:
    """Pairs of datasets of which one trains on texts that the other holds out, with counts and samples as in a data card.

    Args:
        params: all settings.
        examples: folder of the canonical tables.
        out: where scratch files may be written.
    """
    learners = {name: [task for task in params.tasks if name in params.used_datasets([task])] for name in params.datasets}
    with TemporaryDirectory(dir=out) as scratch:
        texts = {name: _texts(examples / f"{name}.parquet", Path(scratch) / name) for name in learners}
        keys = joined([own.keys for own in texts.values()])
        return [entry for train in learners for entry in _leakage_into(train, texts, keys, learners)]


def _leakage_into(train: str, texts: Mapping[str, Texts], keys: Keys, learners: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """The held-out texts of other datasets in the train rows of one."""
    starts = dict(zip(texts, itertools.accumulate((len(own.splits) for own in texts.values()), initial=0), strict=False))
    held_out = {name: starts[name] + np.flatnonzero(own.splits) for name, own in texts.items() if name != train}
    rows = starts[train] + np.flatnonzero(texts[train].splits == 0)
    leaked = matches(keys, np.concatenate(list(held_out.values())), rows)
    ends = np.cumsum([len(own) for own in held_out.values()])[:-1]
    parts = zip(*(np.split(values, ends) for values in leaked), strict=True)
    for name, found in zip(held_out, itertools.starmap(Matches, parts), strict=True):
        if (found.others >= 0).any():
            both = [task for task in learners[name] if task in learners[train]]
            places = np.flatnonzero(texts[name].splits)
            splits = {split: texts[name].splits[places] == number for number, split in enumerate(SPLITS) if number}
            samples = _samples(found, texts[name].table, places, texts[train].table, starts[train])
            yield {"held_out": name, "train": train, "tasks": both, **leaks_by_type(found, splits), "samples": samples}


def _samples(found: Matches, held_out: Path, places: Numbers, train: Path, start: int) -> list[dict[str, Any]]:
    """Leaked rows with their train rows; ``places`` are those of the matched texts in their table, and ``start`` is where train begins."""
    chosen = sampled(found)
    own, other = places[chosen].tolist(), (found.others[chosen] - start).tolist()
    rows, train_rows = rows_at(held_out, own), rows_at(train, other)
    return [sample(rows[i], train_rows[j], x) for i, j, x in zip(own, other, found.similarities[chosen].tolist(), strict=True)]


def _texts(path: Path, scratch: Path) -> Texts:
    """The texts of a canonical table by which rows are compared."""
    columns = [schema.columns_of(field)[0] for field in schema.fields_of(schema.read_schema(path))]
    splits = [np.array([], np.int8)]
    with KeysWriter(scratch) as writer:
        for part in schema.read_parts(path, ROWS, ["split", *columns]):
            writer.add(texts_of(part))
            splits.append(pc.index_in(part.column("split").cast(pa.string()), pa.array(SPLITS)).to_numpy().astype(np.int8))
    return Texts(path, writer.keys, np.concatenate(splits))


class Labels(NamedTuple):
    """The labels of a task in one split, of all its datasets."""

    rows: int
    values: Counter[str]
    """How often each class or entity type occurs; empty for labels of other types."""
    summaries: list[Mapping[str, Any]]
    """Statistics of the data cards."""

    @property
    def constant(self) -> str | None:
        """The label of all rows, where they have the same."""
        if self.values:
            value, count = self.values.most_common(1)[0]
            return repr(value) if len(self.values) == 1 and count == self.rows and self._are("classes") else None
        if self._are("entities"):
            return "free of entities"
        ends = {summary[end] for summary in self.summaries for end in ("min", "max") if end in summary}
        return f"{ends.pop():g}" if len(ends) == 1 else None

    def _are(self, name: str) -> bool:
        return bool(self.summaries) and all(name in summary for summary in self.summaries)


def task_labels(params: Params, task: str, examples: Path) -> dict[str, Labels]:
    """The labels of a task by split, from the data cards of its datasets."""
    cards = [json.loads((examples / f"{name}.json").read_text(encoding="utf-8")) for name in params.datasets_of(task)]
    return {split: _labels([card["labels"][params.tasks[task].label].get(split, {}) for card in cards]) for split in SPLITS}


def _labels(summaries: Sequence[Mapping[str, Any]]) -> Labels:
    known = [summary for summary in summaries if summary.get("rows")]
    values: Counter[str] = Counter()
    for summary in known:
        values.update(next((counts for counts in summary.values() if isinstance(counts, Mapping)), {}))
    return Labels(sum(summary["rows"] for summary in known), values, known)


def label_errors(params: Params, task: str, labels: Mapping[str, Labels]) -> Iterator[str]:
    """Why a task cannot be learned or scored."""
    names, label = ", ".join(params.datasets_of(task)), params.tasks[task].label
    for split in ("train", "test"):
        if not labels[split].rows:
            yield f"task {task}: no {split} row of {names} has the label {label!r}; give {split} a share or a source with labelled rows"
    if labels["train"].rows and (value := labels["train"].constant):
        yield f"task {task}: label {label!r} is {value} in every train row of {names}, so there is nothing to learn"
    known = labels["train"].values
    for key, classes in params.tasks[task].named_classes().items():
        for name in sorted(set(classes) - set(known)):
            yield f"tasks.{task}.{key}: no train row of {names} has {name!r}; choose from: {', '.join(sorted(known))}"


def label_warnings(task: str, labels: Mapping[str, Labels]) -> Iterator[str]:
    """What is odd about the labels of a task, though it can be learned and scored."""
    if not labels["validation"].rows:
        yield f"{task}: no validation row has its label"
    train = labels["train"].values
    if rare := [value for value, count in train.items() if count == 1]:
        yield f"{task}: classes or entity types with only 1 train label: {_listed(rare)}"
    for split in ("validation", "test"):
        if unseen := [value for value in labels[split].values if value not in train]:
            yield f"{task}: the {split} split has {_listed(unseen)}, never seen in training"
    if unscored := [value for value in train if value not in labels["test"].values]:
        yield f"{task}: the test split lacks {_listed(unscored)}, so predicting one is always wrong"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(sorted(names)[:NAMED]) + (f" and {more} more" if more > 0 else "")
