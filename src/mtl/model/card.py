"""A model's card: ``README.md`` in its folder, in the form of the Hugging Face hub (YAML front matter, then text).

It is written when the model is, and tells what is known for good by then: tasks, data, settings, versions, checksums, and the scores of
this one run on the test split. How runs compare is for the report.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from mtl import plugins
from mtl.config import Params, Run, TransformerEncoder
from mtl.errors import DataError
from mtl.evaluation.bootstrap import draws, interval, resample
from mtl.evaluation.predictions import predict
from mtl.files import write_text
from mtl.training.texts import shards_of

NAME = "README.md"
RESAMPLES, CONFIDENCE = 1000, 0.95
"""The defaults of ``evaluate``. Its settings are not asked: they may change after a model was trained."""
LICENSE = "unknown"
"""It depends on encoder and data, of which only the user knows the terms."""
HUB_METRICS = {"macro_f1": "f1", "pearson": "pearsonr", "spearman": "spearmanr"}
"""Metrics whose name on the hub is another one."""


class Score(NamedTuple):
    """A metric of a task on the test split, with the interval of the bootstrap over rows."""

    task: str
    metric: str
    value: float
    low: float
    high: float
    rows: int


def write_card(params: Params, run: Run, data: Path, folder: Path) -> None:
    """Score a trained model on the test split and write its card. Same model and data, same bytes.

    Args:
        data: the data folder, with examples and, for an augmented run, shards.
        folder: the model folder, which gets the card.

    Raises:
        ModelError: the model folder is incomplete or damaged.
    """
    write_text(folder / NAME, card(params, run, data, folder, scores(params, run, data / "examples", folder)))


def scores(params: Params, run: Run, examples: Path, folder: Path) -> list[Score]:
    """All metrics on the test split, the main one of each task first; none if a task has no test row, which ``predict`` will refuse."""
    try:
        rows = predict(params, run, folder, examples)
    except DataError:
        return []
    return [score for task in run.tasks for score in _scores(params, task, [row for row in rows if row["task"] == task])]


def _scores(params: Params, task: str, rows: Sequence[Mapping[str, str]]) -> Iterator[Score]:
    kind = params.tasks[task].type
    gold, prediction = ([row[side] for row in rows] for side in ("gold", "prediction"))
    drawn = draws(kind, gold, prediction, resample([f"{row['dataset']}\x1e{row['id']}" for row in rows], RESAMPLES))
    values = plugins.task_type(kind).metrics(gold, prediction)
    for metric in sorted(values, key=lambda name: name != plugins.task_type(kind).main_metric):
        yield Score(task, metric, values[metric], *interval(drawn[metric], CONFIDENCE), len(rows))


def card(params: Params, run: Run, data: Path, folder: Path, found: Sequence[Score]) -> str:
    """The whole text."""
    about, config = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("run.json", "config.json"))
    used = [name for name in params.datasets if any(name in params.datasets_of(task) for task in run.tasks)]
    parts = [
        f"---\n{front_matter(params, run, used, found)}\n---",
        f"# {run.name}",
        _summary(params, run),
        "## Tasks",
        _table(["task", "type", "predictions"], [_task(name, task) for name, task in config["tasks"].items()]),
        "## Scores",
        _scores_told(run, found),
        "## Data",
        _table(["dataset", "source", "sha256"], _sources(params, used)),
        _augmented(params, run),
        "## Training",
        _table(["", ""], [[name, str(about[key])] for name, key in TOLD.items() if about.get(key) is not None]),
        f"```json\n{json.dumps({'tasks': _own(params, run), **config['params']}, indent=1)}\n```",
        "## Versions",
        _table(["package", "version"], [[name, str(version)] for name, version in about.get("versions", {}).items()]),
        "## Checksums",
        _table(["file", "sha256"], [[_code(name), _code(total)] for name, total in _checksums(params, run, used, data, folder)]),
        "## Use",
        USE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


TOLD = {"steps": "steps", "best step": "best_step", "precision": "precision", "device": "device", "parameters": "parameters"}
"""Rows of the table of training: what of ``run.json`` does not depend on the speed of a machine."""

USE = """New texts, one a line, are answered by `python -m mtl predict --model FOLDER texts.txt`. Weights are safetensors, the rest is JSON.

The licence above is `unknown`: before you pass the model on, look up the terms of the encoder and of the data, and put yours there."""


def front_matter(params: Params, run: Run, used: Sequence[str], found: Sequence[Score]) -> str:
    """The YAML that the hub reads."""
    kinds = [params.tasks[task].type for task in run.tasks]
    hub_tasks = [plugins.task_type(kind).hub_task for kind in kinds]
    results = [_result(params, score) for score in found]
    data = ModelCardData(
        license=LICENSE,
        library_name="mtl",
        pipeline_tag=hub_tasks[0],
        tags=list(
            dict.fromkeys([*(["multi-task-learning"] if len(kinds) > 1 else []), *(plugins.task_type(kind).hub_task for kind in kinds)])
        ),
        datasets=list(used),
        metrics=list(dict.fromkeys(HUB_METRICS.get(score.metric, score.metric) for score in found)) or None,
        model_name=run.name if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml())


def _result(params: Params, score: Score) -> EvalResult:
    names = params.datasets_of(score.task)
    return EvalResult(
        task_type=plugins.task_type(params.tasks[score.task].type).hub_task,
        task_name=score.task,
        dataset_type="-".join(names),
        dataset_name=" and ".join(names),
        dataset_config=params.tasks[score.task].label,  # without it the hub merges tasks of one type and dataset
        dataset_split="test",
        metric_type=HUB_METRICS.get(score.metric, score.metric),
        metric_name=f"{score.metric} ({CONFIDENCE:.0%} interval {score.low:.4f} to {score.high:.4f})",
        metric_value=round(score.value, 4) + 0.0,
    )


def _summary(params: Params, run: Run) -> str:
    heads = f"a head for each of {len(run.tasks)} tasks, trained jointly" if len(run.tasks) > 1 else f"a head for the task {run.tasks[0]}"
    told = f"One encoder and {heads} on {run.data} data, seed {run.seed}."
    if isinstance(params.encoder, TransformerEncoder):
        told += f" The encoder was pretrained: {_code(params.encoder.source.url)}."
        if len(run.tasks) > 1 and params.encoder.task_layers:
            told += f" Each task has its topmost layers, {params.encoder.task_layers} of them, for itself."
    return told


def _own(params: Params, run: Run) -> dict[str, Any]:
    """The settings of the run's tasks."""
    return {task: params.tasks[task].model_dump(mode="json") for task in run.tasks}


def _task(name: str, task: Mapping[str, Any]) -> list[str]:
    """Its name, its type, and what it can prediction, by its state in the model's own settings."""
    described = plugins.task_type(task["type"])(task["state"]).describe()
    return [name, task["type"].replace("_", " "), described]


def _scores_told(run: Run, found: Sequence[Score]) -> str:
    if not found:
        return "None: the test split carries no label of some task."
    rows = [[score.task, score.metric, f"{score.value:.4f}", f"{score.low:.4f} to {score.high:.4f}", str(score.rows)] for score in found]
    note = (
        f"On the test split; intervals: {CONFIDENCE:.0%}, percentile bootstrap over rows, {RESAMPLES} resamples. It is one run, of seed "
        f"{run.seed}: the variance over training seeds is not in the intervals. How it compares with other runs: `comparisons.json` "
        "and the report."
    )
    return _table(["task", "metric", "score", "interval", "rows"], rows) + "\n\n" + note


def _sources(params: Params, used: Iterable[str]) -> list[list[str]]:
    return [
        [name if part == "all" else f"{name}, {part}", _code(source.url), _code(source.sha256 or "not stated")]
        for name in used
        for part, source in params.datasets[name].sources.items()
    ]


def _augmented(params: Params, run: Run) -> str:
    if run.data != "augmented":
        return ""
    methods = ", ".join(_code(name) for name in params.augment.methods if _learnt_from(params, run, name))
    return f"A row was replaced by one of its variants with probability {params.augment.share:g}. Methods: {methods or 'none'}."


def _learnt_from(params: Params, run: Run, method: str) -> bool:
    """Whether any task of the run learns from a method's variants."""
    if run.size != "all" and params.augment.methods[method].borrows:
        return False
    learners = (task for task in run.tasks if params.tasks[task].learns_from(method, 0))
    return any(method in params.methods_of(dataset) for task in learners for dataset in params.datasets_of(task))


def _checksums(params: Params, run: Run, used: Sequence[str], data: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Of the model's files and of the tables that it was trained on."""
    files = [folder / name for name in ("model.safetensors", "config.json", "tokenizer.json")]
    files += [data / "examples" / f"{name}.parquet" for name in used]
    if run.data == "augmented":
        files += [path for _, path in shards_of(params, data / "shards", run.tasks)]
    for path in files:
        with path.open("rb") as file:
            yield path.name, hashlib.file_digest(file, "sha256").hexdigest()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _code(text: str) -> str:
    """Text as code in a cell of a table, whatever it holds."""
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}".replace("|", "\\|")
