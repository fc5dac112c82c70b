"""Model and data of a run, made ready for the first step."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from mtl import decoders, encoders, plugins
from mtl.config import TEXT, Params, Run, SmallEncoder
from mtl.decoders import Decoder
from mtl.encoders import Encoded, Encoder, SubwordTokenizer
from mtl.encoders.store import Layout, Rows, Stored
from mtl.errors import TrainingError
from mtl.model.device import Precision
from mtl.model.joining import wanted_windows
from mtl.model.model import Model
from mtl.seeds import seed_of
from mtl.tasks.base import TaskType
from mtl.training.cautions import cautions, cut_off
from mtl.training.columns import Column, Groups
from mtl.training.consistency import Unlabelled
from mtl.training.corpus import Corpus
from mtl.training.distributed import SINGLE_PROCESS, Processes
from mtl.training.feed import Data
from mtl.training.letters import lost_letters
from mtl.training.loop import Loop
from mtl.training.markers import layout
from mtl.training.segmentations import segmentations, unlike
from mtl.training.splits import Splits
from mtl.training.start import start_from
from mtl.training.subwords import Subwords
from mtl.training.texts import Texts, Tokens, variants_of


def prepare(
    params: Params,
    run: Run,
    splits: Splits,
    source: Path | None,
    precision: Precision,
    processes: Processes = SINGLE_PROCESS,
    subwords: Subwords | None = None,
    start: Path | None = None,
) -> tuple[Loop, list[str]]:
    """The loop of a run, and warnings about settings and data. Without a folder of subwords, all tables are tokenised for this run only.

    Raises:
        EncoderError: the encoder cannot be used.
        ModelError: the model folder to start from cannot be read.
        TrainingError: a task's settings name a class that does not occur.
        UnfitError: more layers are frozen than there are, or the model to start from has another encoder.
    """
    torch.manual_seed(seed_of("encoder", run.seed))
    # Every run of the same settings gets the same vocabulary, and so the same subwords, lengths and plan.
    subwords, texts = subwords or Subwords(), splits.train.tokens
    if isinstance(params.encoder, SmallEncoder):
        source = subwords.learnt(texts, params.encoder.vocabulary)
    encoder, tokenizer = encoders.build(params.encoder, source, texts.texts())
    validation = splits.validation.only(splits.validation.labelled(run.tasks))
    learnt = Tokens(texts.files + splits.variants.tokens.files)
    rows = Tokenised(subwords.rows(tokenizer, learnt), validation, subwords.rows(tokenizer, validation.tokens))
    split_into = segmentations(params, run, splits)
    tasks = {name: _fitted(params, name, splits, split_into[name]) for name in run.tasks}
    if run.size == "all":  # a sample may lack a rare class; mtl.data.check does not see what a search tries
        _check_classes(params, tasks)
    decoder = _decoder(params, run, splits, tasks, encoder)
    markers = tokenizer.add_markers([marker for task in tasks.values() for marker in task.markers])
    encoder.grow_vocabulary(tokenizer.size)
    data, used = encode_data(params, run, splits, rows, encoder, tokenizer, tasks, markers)
    length, dropout = params.encoder.max_length, params.encoder.dropout
    model = Model(encoder, tokenizer, tasks, max_length=length, dropout=dropout, seed=run.seed, decoder=decoder)
    unfit = [] if start is None else start_from(model, start)
    # Until the model is written: subwords that never occur would only cost the optimiser time and memory.
    encoder.prune_vocabulary(used)
    model = model.to(precision.device)
    weights = {name: params.tasks[name].weight for name in run.tasks} if len(run.tasks) > 1 else dict.fromkeys(run.tasks, 1.0)
    loop = Loop(model, data, params.train, weights, run.seed, precision, processes)
    fitted = [warning for name, task in tasks.items() for warning in task.fit_targets(splits.train.labels[name])]
    warnings = (
        cautions(params, run, splits, precision),
        unlike(params, run, splits),
        lost_letters(tokenizer, texts.texts()),
        fitted,
        unfit,
    )
    return loop, [*chain(*warnings), *cut_off(tasks, splits.train, data.train.encoded, length)]


def _fitted(params: Params, name: str, splits: Splits, segmentation: str) -> TaskType:
    """A task that knows the classes, tags or range of its train labels."""
    settings = params.tasks[name]
    task_type: type[TaskType] = plugins.implementation_of(settings)
    dataset = params.datasets[params.datasets_of(name)[0]]
    fields = list(dataset.fields)
    about = {"fields": fields, "field": fields.index(dataset.field_of(settings.label))} if fields != [TEXT] else {}
    chosen = {} if settings.metric is None else {"metric": settings.metric}
    return task_type(task_type.fit(splits.train.labels[name], settings) | about | chosen | {"segmentation": segmentation})


def _decoder(params: Params, run: Run, splits: Splits, tasks: Mapping[str, TaskType], encoder: Encoder) -> Decoder | None:
    """The decoder of the tasks that write, if there are some. The vocabulary of a new one is that of all such tasks of the settings."""
    if not any(task.writes for task in tasks.values()):
        return None
    if (settings := params.decoder) is None:
        found: Decoder = encoder.decoder()
        return found
    texts = (str(label) for name in params.writing for label in splits.train.labels[name] if label is not None)
    return decoders.build(settings, texts, encoder.width, run.seed)


def _check_classes(params: Params, tasks: Mapping[str, TaskType]) -> None:
    """Settings must name classes that there are.

    Raises:
        TrainingError: one does not; names the choices.
    """
    for name, task in tasks.items():
        for key, classes in params.tasks[name].named_classes().items():
            for unknown in sorted(set(classes) - set(task.class_names)):
                choices = ", ".join(task.class_names)
                raise TrainingError(
                    f"tasks.{name}.{key}: {task.noun} {unknown!r} does not occur in the train split; choose from: {choices}"
                )


class Tokenised(NamedTuple):
    """The rows of a run as subwords, before markers and cuts."""

    train: Rows
    """Of the train split, then their variants."""
    texts: Texts
    """The validation rows with a label of a task of the run."""
    validation: Rows


def encode_data(
    params: Params,
    run: Run,
    splits: Splits,
    rows: Tokenised,
    encoder: Encoder,
    tokenizer: SubwordTokenizer,
    tasks: Mapping[str, TaskType],
    markers: Mapping[str, int],
) -> tuple[Data, npt.NDArray[np.int64]]:
    """Encoded rows: those of the train split, then their variants. And the subwords that occur, which are numbered anew."""
    train, variants, validation, length = splits.train, splits.variants, rows.texts, params.encoder.max_length
    labels = {
        task: Column.joined([train.labels[task], variants.labels[task]] if len(variants) else [train.labels[task]]) for task in run.tasks
    }
    stored = Stored.of(rows.train, layout(tokenizer, length, tasks, labels))
    encoded = _windows(rows.validation, layout(tokenizer, length, tasks, validation.labels), tasks)
    used = encoder.needed(np.union1d(np.union1d(stored.used, encoded.subwords), [*markers.values()]).astype(np.int64))
    numbers = np.full(encoder.vocabulary, -1, dtype=np.int32)
    numbers[used] = np.arange(len(used))
    groups = variants_of(train, variants).shifted(len(train))
    data = Data(
        train=Corpus(replace(stored, numbers=numbers), labels),
        ids=train.ids,
        groups=train.groups,
        datasets=tuple(params.datasets),
        planned=train.labelled(params.tasks),
        counted=splits.counted,
        labelled=train.labelled(run.tasks),
        variants=groups.only(np.concatenate([np.zeros(len(train), dtype=np.bool_), variants.labelled(run.tasks)])),
        share=params.augment.share,
        validation=Corpus(replace(encoded, numbers=numbers), {task: validation.labels[task] for task in run.tasks}),
        validation_counts=rows.validation.counts(),
        validation_texts=validation.tokens,
        unlabelled=_unlabelled(params, run, train, variants, groups),
    )
    return data, used


def _unlabelled(params: Params, run: Run, train: Texts, variants: Texts, groups: Groups) -> Unlabelled | None:
    """Rows without labels, where a task of an augmented run has consistency."""
    settings = {task: spec for task in run.tasks if (spec := params.tasks[task].consistency)}
    if not settings or not len(variants):
        return None
    rows = {task: np.concatenate([train.compared[task], variants.compared[task]]) for task in settings}
    compared = np.concatenate([np.zeros(len(train), dtype=np.bool_), variants.without_label(run.tasks)])
    return Unlabelled(settings, train.without_label(params.tasks), rows, groups.only(compared))


def _windows(rows: Rows, layout: Layout, tasks: Mapping[str, TaskType]) -> Encoded:
    """Validation rows as prediction has them: with all windows of a long row if a task wants them, else its beginning."""
    joined, stride = wanted_windows(tasks.values())
    return layout.windows(rows, stride) if joined else replace(layout, passages=None).encode(rows, np.arange(len(rows)))
