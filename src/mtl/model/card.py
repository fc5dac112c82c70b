"""A model's card: ``README.md`` in its folder, in the form of the Hugging Face hub (YAML front matter, then text).

It tells what is known of a model for good: tasks, data, settings, versions, checksums, and the scores of this one run on the test split.
How runs compare is for the report. This module only writes the text; the job ``card_run`` gathers what it says.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from mtl import plugins
from mtl.config import Params, PretrainedEncoder, Run
from mtl.tasks.base import code

NAME = "README.md"
RESAMPLES, CONFIDENCE = 1000, 0.95
"""Of the bootstrap behind the intervals: the defaults of ``evaluate``, whose settings would not change a card."""
LICENSE = "unknown"
"""It depends on the encoder and the data; only the user knows their terms."""


class RawText(NamedTuple):
    """A metric on the raw text of the test rows."""

    value: float
    low: float
    """Interval of the difference from the score on tokens."""
    high: float


class Calibration(NamedTuple):
    """Expected calibration errors of a task's confidences on the test split."""

    confidences: int
    before: float
    """With temperature 1."""
    after: float
    """With the fitted temperature."""


class Score(NamedTuple):
    """A metric of a task on the test split, with the interval of the bootstrap over rows."""

    task: str
    metric: str
    value: float
    low: float
    high: float
    rows: int
    raw_text: RawText | None = None
    """Of the main metric of a task about tokens."""
    calibration: Calibration | None = None
    """Of the main metric of a task whose confidences have a temperature."""


class Leak(NamedTuple):
    """Held-out texts of a dataset that are among the train rows of the same or another one."""

    held_out: str
    train: str
    tasks: tuple[str, ...]
    """Those of the run that learn from both."""
    exact: Mapping[str, int]
    """By split."""
    near: Mapping[str, int]


def leaks(params: Params, run: Run, cards: Mapping[str, Mapping[str, Any]], across: Mapping[str, Any]) -> list[Leak]:
    """What a run learns from and is scored by, from data cards and the comparison of datasets. Nothing is in the list twice."""
    own = [{"held_out": name, "train": name, **card.get("leakage", {})} for name, card in cards.items()]
    learners = {name: [task for task in run.learned if name in params.used_datasets([task])] for name in cards}
    return [
        Leak(name, train, tuple(task for task in learners[name] if task in learners[train]), entry.get("exact", {}), entry.get("near", {}))
        for entry in (*own, *across.get("leakage", ()))
        if (name := entry["held_out"]) in cards and (train := entry["train"]) in cards
        if any((*entry.get("exact", {}).values(), *entry.get("near", {}).values()))
    ]


def card(
    params: Params,
    run: Run,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    scores: Sequence[Score],
    checksums: Iterable[tuple[str, str]],
    leaked: Sequence[Leak] = (),
    languages: Sequence[str] = (),
) -> str:
    """The whole text. The same arguments give the same text.

    Args:
        facts: run.json of the model folder.
        config: config.json of the model folder.
        scores: on the test split, the main metric of each task first.
        checksums: name and sha256 of the model's files and of the tables that it was trained on.
        leaked: held-out texts in its train rows.
        languages: tags of BCP 47 of its datasets.
    """
    used = list(params.used_datasets(run.learned))
    paragraphs = [
        f"---\n{front_matter(params, run, used, scores, languages)}\n---",
        f"# {run.name}",
        _summary(params, run),
        "## Tasks",
        _table(["task", "type", "predictions"], [_task(name, task) for name, task in config["tasks"].items()]),
        "## Scores",
        _score_table(run, scores),
        _raw_text_table(config, scores),
        _calibration_table(config, scores),
        _int8_table(facts),
        "## Data",
        _table(["dataset", "source", "sha256"], _sources(params, used)),
        _leaked(leaked),
        _augmented(params, run),
        "## Training",
        _table(["", ""], [[name, str(facts[key])] for name, key in TRAINING_FACTS.items() if facts.get(key) is not None]),
        f"```json\n{json.dumps({'tasks': _own(params, run), **config['params']}, indent=1)}\n```",
        "## Versions",
        _table(["package", "version"], [[name, str(version)] for name, version in facts.get("versions", {}).items()]),
        "## Checksums",
        _table(["file", "sha256"], [[code(name), code(checksum)] for name, checksum in checksums]),
        "## Use",
        USE,
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


TRAINING_FACTS = {
    "steps": "steps",
    "best step": "best_step",
    "precision": "precision",
    "device": "device",
    "parameters": "parameters",
}
"""Rows of the table of training: keys of ``run.json`` that do not depend on the speed of a machine."""

USE = """`mtl predict --model FOLDER texts.txt` predicts new texts, one a line. Weights are safetensors, the rest is JSON.

The licence above is `unknown`: before you pass the model on, look up the terms of the encoder and of the data, and put yours there."""


def front_matter(params: Params, run: Run, used: Sequence[str], scores: Sequence[Score], languages: Sequence[str] = ()) -> str:
    """The YAML that the hub reads, which names languages without script and region."""
    types = [params.tasks[task].type for task in run.tasks]
    hub_tasks = [plugins.task_type(name).hub_task for name in types]
    results = [_result(params, score) for score in scores]
    data = ModelCardData(
        language=list(dict.fromkeys(tag.partition("-")[0].lower() for tag in languages)) or None,
        license=LICENSE,
        library_name="mtl",
        pipeline_tag=hub_tasks[0],
        tags=list(dict.fromkeys([*(["multi-task-learning"] if len(types) > 1 else []), *hub_tasks])),
        datasets=list(used),
        metrics=list(dict.fromkeys(_hub_metric(params, score) for score in scores)) or None,
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
        metric_type=_hub_metric(params, score),
        metric_name=f"{score.metric} ({CONFIDENCE:.0%} interval {score.low:.4f} to {score.high:.4f})",
        metric_value=round(score.value, 4) + 0.0,
    )


def _hub_metric(params: Params, score: Score) -> str:
    """The name of a metric on the hub."""
    return plugins.task_type(params.tasks[score.task].type).test_metric(score.metric).hub or score.metric


def _summary(params: Params, run: Run) -> str:
    heads = f"a head for each of {len(run.tasks)} tasks, trained jointly" if len(run.tasks) > 1 else f"a head for the task {run.tasks[0]}"
    summary = f"One encoder and {heads} on {run.data} data, seed {run.seed}."
    if run.start:
        summary += f" Training started from the model of the run {code(run.start)}."
    if isinstance(params.encoder, PretrainedEncoder):
        summary += f" The encoder was pretrained: {code(params.encoder.source.url)}."
        if params.encoder.start and not run.start:
            summary += f" Training started from the model {code(params.encoder.start.url)}, whose training data is not listed here."
        own_layers: int = getattr(params.encoder, "task_layers", 0)
        if len(run.tasks) > 1 and own_layers:
            summary += f" Each task has its own copy of the top layers: {own_layers} of them."
    return summary


def _own(params: Params, run: Run) -> dict[str, Any]:
    """The settings of the run's tasks."""
    return {task: params.tasks[task].model_dump(mode="json") for task in run.tasks}


def _task(name: str, task: Mapping[str, Any]) -> list[str]:
    """Its name, its type, and what it can predict, by its state in the model's own settings."""
    described = plugins.task_type(task["type"])(task["state"]).describe()
    return [name, task["type"].replace("_", " "), described]


def _score_table(run: Run, scores: Sequence[Score]) -> str:
    rows = [[score.task, score.metric, f"{score.value:.4f}", f"{score.low:.4f} to {score.high:.4f}", str(score.rows)] for score in scores]
    note = (
        f"On the test split, with {CONFIDENCE:.0%} intervals of the percentile bootstrap over rows ({RESAMPLES} resamples). This is one "
        f"run of seed {run.seed}: the intervals do not cover the variance over training seeds. For a comparison with other runs, see "
        "`comparisons.json` and the report."
    )
    return _table(["task", "metric", "score", "interval", "rows"], rows) + "\n\n" + note


def _raw_text_table(config: Mapping[str, Any], scores: Sequence[Score]) -> str:
    rows = [
        [
            score.task,
            score.metric,
            config["tasks"][score.task]["state"]["segmentation"],
            f"{score.value:.4f}",
            f"{score.raw_text.value:.4f}",
            f"{score.raw_text.low:+.4f} to {score.raw_text.high:+.4f}",
        ]
        for score in scores
        if score.raw_text
    ]
    if not rows:
        return ""
    note = "A new text has no tokens until the model splits it. The same test rows, by their tokens and by their raw text:"
    head = ["task", "metric", "new texts are split into", "on tokens", "on raw text", "interval of the difference"]
    return f"{note}\n\n{_table(head, rows)}"


def _int8_table(facts: Mapping[str, Any]) -> str:
    measured: Mapping[str, Any] = facts.get("int8", {})
    if not measured:
        return ""
    rows = [
        [task, one["metric"], f"{one['fp32']:.4f}", f"{one['int8']:.4f}", f"{one['int8'] - one['fp32']:+.4f}"]
        for task, one in measured.items()
    ]
    note = "Prediction in int8 (`--precision int8`) on the validation rows:"
    return f"{note}\n\n{_table(['task', 'metric', 'fp32', 'int8', 'difference'], rows)}"


def _calibration_table(config: Mapping[str, Any], scores: Sequence[Score]) -> str:
    rows = [
        [
            score.task,
            f"{_temperature(config, score.task):.3f}",
            *(f"{error:.4f}" for error in calibration[1:]),
            str(calibration.confidences),
        ]
        for score in scores
        if (calibration := score.calibration)
    ]
    if not rows:
        return ""
    note = (
        "Confidences are calibrated: logits are divided by a temperature, which was fitted on the validation split. How far the stated "
        "confidences are from the share of right ones on the test split (expected calibration error, 15 bins of equal width):"
    )
    return f"{note}\n\n{_table(['task', 'temperature', 'error before', 'error after', 'confidences'], rows)}"


def _temperature(config: Mapping[str, Any], task: str) -> float:
    return float(config["tasks"][task]["state"].get("temperature", 1.0))


def _sources(params: Params, used: Iterable[str]) -> list[list[str]]:
    return [
        [name if item == "all" else f"{name}, {item}", code(source.url), code(source.sha256 or "not stated")]
        for name in used
        for item, source in params.datasets[name].sources.items()
    ]


def _leaked(leaked: Sequence[Leak]) -> str:
    if not leaked:
        return "No text of validation or test is in train, exactly or nearly."
    head = [
        "held-out texts of",
        "in train of",
        "tasks that learn from both",
        "test, same",
        "test, nearly",
        "validation, same",
        "validation, nearly",
    ]
    rows = [
        [leak.held_out, leak.train, ", ".join(leak.tasks) or "none"]
        + [str(counts.get(split, 0)) for split in ("test", "validation") for counts in (leak.exact, leak.near)]
        for leak in leaked
    ]
    return "Held-out texts that are also in train, so that scores may be too high:\n\n" + _table(head, rows)


def _augmented(params: Params, run: Run) -> str:
    if run.data != "augmented":
        return ""
    methods = ", ".join(code(name) for name in params.augment.methods if _learnt_from(params, run, name))
    return f"A row was replaced by one of its variants with probability {params.augment.share:g}. Methods: {methods or 'none'}."


def _learnt_from(params: Params, run: Run, method: str) -> bool:
    """Whether any task of the run learns from a method's variants."""
    if run.size != "all" and params.augment.methods[method].borrows:
        return False
    learners = (task for task in run.learned if params.tasks[task].learns_from(method, 0))
    return any(method in params.methods_of(dataset) for task in learners for dataset in params.datasets_of(task))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *escaped))
