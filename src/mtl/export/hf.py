"""Each task as a folder that transformers loads: the encoder with the task's own layers, its head or decoder, and the tokenizer."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import processors
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from mtl.encoders.tokenizer import Frame, SubwordTokenizer
from mtl.encoders.transformer import TransformerEncoder
from mtl.errors import ExportError
from mtl.export import writing
from mtl.export.target import new_folder
from mtl.model import folder as models
from mtl.model.joining import chosen
from mtl.model.model import Model
from mtl.tasks.base import PlainHead


class Pooled(NamedTuple):
    """Where a model for whole texts has the two linear layers of its head, with tanh between them."""

    dense: str
    out: str


_BERT, _ROBERTA = Pooled("base_model.pooler.dense", "classifier"), Pooled("classifier.dense", "classifier.out_proj")
HEADS = {"bert": _BERT, "camembert": _ROBERTA, "ernie": _BERT, "roberta": _ROBERTA, "xlm-roberta": _ROBERTA}
"""Model types whose layers are those of BERT, and their heads for whole texts."""
SMALL = 2.0**-14
"""Factor before tanh, which then changes nothing: for values up to 20, by less than 1e-6 of them."""
LARGE, RATIO = 2.0**40, 2.0**-15
"""Of the mean's layer: the constant beside which a residual does not count, and the size of a logit in units of it."""
TARGET = "target"
"""Folder of the tokenizer of target texts, in that of a task that writes."""
SPECIAL = {"unk_token": ("[UNK]", "<unk>"), "pad_token": ("[PAD]", "<pad>"), "mask_token": ("[MASK]", "<mask>")}


def export(model_folder: Path, out: Path, tasks: Iterable[str] | None = None) -> list[str]:
    """Write a folder for transformers for each task. Returns the names of the tasks.

    Args:
        model_folder: of a trained model.
        out: a new folder, for the folders of the tasks.
        tasks: names of the tasks to export; without it, all.

    Raises:
        ExportError: transformers has no such encoder or head; ``out`` exists.
        ModelError: the folder is not a complete model, or has no such task.
    """
    model = models.load(model_folder)
    names = chosen(model.tasks, tasks)
    heads = {name: _head(model, name) for name in model.tasks}
    for name in names:
        if isinstance(reason := heads[name], str):
            able = ", ".join(name for name, head in heads.items() if not isinstance(head, str)) or "none"
            raise ExportError(f"task {name} cannot be exported to transformers: {reason}; choose with --task from: {able}")
    encoder = _checked(model, model_folder, [name for name in names if heads[name] is not None])
    with new_folder(out) as folder, torch.no_grad(), _quiet():
        for name in names:
            head = heads[name]
            plain = _model(encoder, name, head, model) if isinstance(head, PlainHead) else writing.plain(model, name)
            plain.save_pretrained(folder / name)
            _tokenizer(model.tokenizer, encoder.model.config, model.max_length).save_pretrained(folder / name)
            if head is None:
                writing.tokenizer(model).save_pretrained(folder / name / TARGET)
    return names


def _checked(model: Model, folder: Path, labelling: Sequence[str]) -> TransformerEncoder:
    """The encoder, if transformers has it with heads for these tasks; an encoder-decoder has them for none."""
    encoder, types = model.encoder, ", ".join(HEADS)
    if not isinstance(encoder, TransformerEncoder):
        raise ExportError(f"{folder}: an encoder of type {encoder.config()['type']} is not one of transformers'; choose from: {types}")
    config: Any = encoder.model.config
    if config.model_type not in HEADS and (labelling or not encoder.has_decoder):
        written = ", ".join(name for name, task in model.tasks.items() if task.writes) if encoder.has_decoder else ""
        only = f"; of this model, tasks that write text can be: {written}" if written else f"; choose from: {types}"
        raise ExportError(f"{folder}: an encoder of type {config.model_type} cannot be exported to transformers{only}")
    if encoder.word_shape_ids is not None:
        raise ExportError(f"{folder}: models of transformers have no word shapes; train with encoder.word_shape: false")
    return encoder


def _head(model: Model, name: str) -> PlainHead | str | None:
    """The head of a task, which gives calibrated logits, or why transformers has none; None if the task writes with the decoder."""
    task = model.tasks[name]
    if task.writes:
        return writing.reason_against(model, name)
    try:
        head = task.plain_head(model.heads[name])
    except ValueError as error:
        return str(error)
    return head._replace(weight=head.weight / task.temperature, bias=head.bias / task.temperature)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars."""
    library: Any = logging  # untyped
    shown = library.is_progress_bar_enabled()
    library.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bar()


def _model(encoder: TransformerEncoder, task: str, head: PlainHead, model: Model) -> Any:
    """The model of transformers with all weights."""
    encoder_config: Any = encoder.model.config
    config, mean = copy.deepcopy(encoder_config), head.problem_type is not None and encoder.pooling == "mean"
    names = list(head.labels) or [f"LABEL_{number}" for number in range(len(head.bias))]
    config.id2label, config.label2id = dict(enumerate(names)), {name: number for number, name in enumerate(names)}
    config.problem_type, config.num_hidden_layers = head.problem_type, encoder_config.num_hidden_layers + mean
    if head.thresholds is not None:
        config.thresholds = list(head.thresholds)
    plain = getattr(transformers, head.auto).from_config(config, dtype=torch.float32).eval()
    loaded = plain.base_model.load_state_dict(encoder.weights(task), strict=False)
    own = ("pooler.", f"encoder.layer.{encoder_config.num_hidden_layers}.")
    if loaded.unexpected_keys or [name for name in loaded.missing_keys if not name.startswith(own)]:
        raise ExportError(f"weights do not fit: {loaded}")
    if head.problem_type is None:
        _set(plain.qa_outputs if hasattr(plain, "qa_outputs") else plain.classifier, head.weight, head.bias)
    else:
        dense, out = (plain.get_submodule(name.replace("base_model", plain.base_model_prefix)) for name in HEADS[config.model_type])
        (_mean_head if mean else _first_head)(plain, dense, out, head)
    return plain


def _first_head(plain: Any, dense: nn.Linear, out: nn.Linear, head: PlainHead) -> None:
    """The head on the first position."""
    width = head.weight.shape[1]
    _set(dense, SMALL * torch.eye(width), torch.zeros(width))
    _set(out, head.weight / SMALL, head.bias)


def _mean_head(plain: Any, dense: nn.Linear, out: nn.Linear, head: PlainHead) -> None:
    """The head on the mean of all positions, which one more layer computes.

    Its attention has equal scores for all positions: the result is the mean of the values. Values are the logits, times a factor beside
    which the residual does not count, in dimensions from 3; and constants ±``LARGE`` in the first two. By the constants, the deviation that
    layer normalisation divides by is known. The mean that it subtracts is read from the third dimension, whose value is 0.

    Raises:
        ExportError: there are more outputs than dimensions.
    """
    outputs, width = head.weight.shape
    if outputs + 3 > width:
        raise ExportError(f"the task has {outputs} outputs; of an encoder of width {width}, {width - 3} can be exported")
    layer, here = plain.base_model.encoder.layer[-1], slice(3, 3 + outputs)
    for weight in layer.parameters():
        weight.zero_()
    for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
        norm.weight.fill_(1.0)
    value, scale = layer.attention.self.value, LARGE * RATIO
    value.weight[here], value.bias[here] = scale * head.weight, scale * head.bias
    value.bias[:2] = torch.tensor([LARGE, -LARGE])
    layer.attention.output.dense.weight.copy_(torch.eye(width))
    difference = torch.zeros(width, width)
    difference[here, here], difference[here, 2] = torch.eye(outputs), -1.0
    _set(dense, SMALL * difference, torch.zeros(width))
    back = torch.zeros(outputs, width)
    back[:, here] = torch.eye(outputs) / (SMALL * RATIO * (width / 2) ** 0.5)
    _set(out, back, torch.zeros(outputs))


def _set(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)


def _tokenizer(tokenizer: SubwordTokenizer, config: Any, max_length: int) -> Any:
    """Framed by the same special subwords, with the same segment ids, as the model's rows."""
    own = tokenizer.copy()
    vocabulary = own.get_vocab(with_added_tokens=True)
    own.post_processor = processors.TemplateProcessing(
        single=_template(tokenizer.single, pair=False), pair=_template(tokenizer.pair, pair=True), special_tokens=_names(tokenizer, own)
    )
    special = {role: next((name for name in names if name in vocabulary), None) for role, names in SPECIAL.items()}
    ends = {"cls_token": tokenizer.single.first[:1], "sep_token": tokenizer.single.last[-1:]}  # T5 and Marian have no first one
    special |= {role: own.id_to_token(int(index)) for role, part in ends.items() for index in part}
    inputs = (
        ["input_ids", "token_type_ids", "attention_mask"] if getattr(config, "type_vocab_size", 0) > 1 else ["input_ids", "attention_mask"]
    )
    library: Any = PreTrainedTokenizerFast  # untyped
    return library(tokenizer_object=own, model_max_length=max_length, model_input_names=inputs, **special)


def _template(frame: Frame, *, pair: bool) -> list[str]:
    first, middle, last = ([str(index) for index in part] for part in frame)
    if not pair:
        return [*(f"{index}:0" for index in first), "$A:0", *(f"{index}:0" for index in last)]
    return [*(f"{i}:0" for i in first), "$A:0", *(f"{i}:0" for i in middle), "$B:1", *(f"{i}:1" for i in last)]


def _names(tokenizer: SubwordTokenizer, own: Any) -> list[Any]:
    every = {int(index) for frame in (tokenizer.single, tokenizer.pair) for part in frame for index in part}
    return [{"id": str(index), "ids": [index], "tokens": [own.id_to_token(index)]} for index in sorted(every)]
