"""Encoder and heads as one graph for ONNX Runtime."""

import logging
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtl.encoders.tokenizer import Marker
from mtl.errors import ExportError
from mtl.export.int8 import quantize
from mtl.export.runtime import CONFIG, FORMAT, GRAPH, INPUTS, TOKENIZER, OnnxPredictor, labels_name, output_name
from mtl.export.target import new_folder
from mtl.files import write_json
from mtl.model import folder as models
from mtl.model.batch import Batch, Pair, collate, encode_rows
from mtl.model.joining import chosen
from mtl.model.model import Model
from mtl.tasks.base import TaskType

NEEDED = ("onnx", "onnxscript")
"""What torch's exporter imports; it does not say so when they are missing."""
TOLERANCE = 1e-3
"""Largest difference between outputs of the graph and of torch, relative to their size above 1."""
LARGEST = 1_900_000_000
"""Bytes of weights that fit into the graph's own file, which may hold 2 GiB; more are written beside it."""


class Graph(nn.Module):
    """A model as a function of arrays: what ``TaskType.activate`` gives for each task."""

    def __init__(self, model: Model, tasks: Iterable[str]) -> None:
        super().__init__()
        model.encoder.pad()
        self.model, self.names = model.eval(), list(tasks)
        thresholds = {name: model.tasks[name].thresholds for name in self.names}
        self.thresholds = {name: torch.tensor(values) for name, values in thresholds.items() if values is not None}
        self.outputs = [*map(output_name, self.names), *map(labels_name, self.thresholds)]

    def forward(self, subwords: Tensor, mask: Tensor, word_shape_ids: Tensor, segment_ids: Tensor) -> tuple[Tensor, ...]:
        """One tensor per task, and which classes reach their threshold where a task has thresholds; see ``INPUTS``."""
        first: Any = torch.where(word_shape_ids % 2 == 1, 0, -1)  # heads only ask where tokens start
        batch = Batch(subwords, mask, word_shape_ids, first, targets={}, counts={}, segment_ids=segment_ids)
        # As in ``mtl.model.prediction``: a logit that is NaN counts as 0.
        outputs = {name: logits.float().nan_to_num(nan=0.0) for name, logits in self.model(batch, self.names).items()}
        activated = {name: self.model.tasks[name].activate(outputs[name]) for name in self.names}
        return *activated.values(), *(activated[name] >= values for name, values in self.thresholds.items())


def export(model_folder: Path, out: Path, tasks: Iterable[str] | None = None, int8: Path | None = None) -> list[str]:
    """Write a folder that ``OnnxPredictor`` reads, and compare it with the model. Returns the names of its tasks.

    Args:
        model_folder: of a trained model.
        out: a new folder.
        tasks: names of the tasks to export; without it, all.
        int8: texts or examples on which to compare a graph with 8-bit weights, which is then written instead; see
            ``mtl.export.int8.quantize``.

    Raises:
        ExportError: the encoder or a task cannot be exported, or the graph computes something else; ``out`` exists.
        ModelError: the folder is not a complete model, or has no such task.
    """
    for needed in NEEDED:
        import_module(needed)
    model = models.load(model_folder)
    names = chosen(model.tasks, tasks)
    _check_tasks({name: model.tasks[name] for name in names})
    specs, graph = models.read_config(model_folder)["tasks"], Graph(model, names)
    with new_folder(out) as folder:
        _write_graph(graph, folder / GRAPH, model_folder)
        model.tokenizer.save(folder / TOKENIZER)
        kept = {name: specs[name] for name in names}
        write_json(
            folder / CONFIG, {"format": FORMAT, "mtl": version("mtl"), "max_length": model.max_length, "tasks": kept}, sort_keys=False
        )
        if (card := model_folder / "README.md").is_file():
            shutil.copyfile(card, folder / card.name)
        compare(graph, OnnxPredictor(folder), model_folder)
        if int8 is not None:
            quantize(folder, int8)
    return names


def _check_tasks(tasks: dict[str, TaskType]) -> None:
    lacking = [name for name, task in tasks.items() if type(task).predict is TaskType.predict]
    if lacking:
        types = sorted({tasks[name].name for name in lacking})
        choices = ", ".join(name for name in tasks if name not in lacking) or "none"
        raise ExportError(f"tasks of type {', '.join(types)} cannot be exported: {', '.join(lacking)}; choose with --task from: {choices}")


def _write_graph(graph: Graph, path: Path, source: Path) -> None:
    """By torch's exporter; number and length of rows are dynamic."""
    ids = torch.ones(2, 3, dtype=torch.int64)
    shapes = {name: {0: torch.export.Dim("rows"), 1: torch.export.Dim("positions")} for name in INPUTS}
    large = sum(weight.numel() * weight.element_size() for weight in graph.parameters()) > LARGEST
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                graph,
                (ids, ids > 0, ids.clone(), ids * 0),  # the exporter takes one tensor given twice for one input
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=list(INPUTS),
                output_names=graph.outputs,
                verbose=False,
            )
    except Exception as error:  # its reasons fill pages
        found = graph.model.encoder.config()["type"]
        raise ExportError(f"{source}: torch cannot make a graph of an encoder of type {found}; use a transformer, cnn or fnn") from error
    _strip(program.model)
    program.save(path, external_data=large)


def _strip(graph_model: Any) -> None:
    """Take out where in which source file each node was made: paths of this machine."""
    for part in (graph_model.graph, *graph_model.functions.values()):
        part.metadata_props.clear()
        for node in part.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of what it does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            yield
    finally:
        logger.setLevel(level)


def compare(graph: Graph, predictor: OnnxPredictor, source: Path) -> None:
    """Outputs on a few rows of different lengths, of one field and of two."""
    model = graph.model
    words: list[str | Marker] = ["The", "quick", "brown", "fox", "jumps", "over", "12", "lazy", "dogs", "."]
    marked = [*words, *map(Marker, model.markers), *words]
    for rows in ([words[:3], marked, words], [Pair(words[:2], words[:7]), Pair(words[:5], marked)]):
        encoded = encode_rows(model.tokenizer, rows, model.max_length, windows=False)
        places = np.arange(len(rows))
        batch = collate(encoded, places)
        segment_ids = torch.zeros_like(batch.subwords) if batch.segment_ids is None else batch.segment_ids
        with torch.inference_mode():
            expected = graph(batch.subwords, batch.mask, batch.word_shape_ids, segment_ids)
        actual = predictor.outputs(encoded, places, graph.names)
        for name, own in zip(graph.names, expected, strict=False):  # labels follow them, and come from the same probabilities
            a, b = own.numpy(), actual[name][0]
            if a.ndim == 3:
                a, b = a[batch.mask.numpy()], b[batch.mask.numpy()]
            worst = float(np.max(np.abs(a - b) / np.maximum(np.abs(a), 1), initial=0.0))
            if not worst <= TOLERANCE:
                raise ExportError(f"{source}: the graph's outputs for task {name} differ by {worst:.2g} from the model's")
