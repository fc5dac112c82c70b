"""The stages of the workflow: one table that the Snakefile, ``dvc.yaml`` (by a test) and the fingerprints agree on."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mtl.config import BackTranslate, Params, Source, TransformerEncoder

ENCODER = "model.encoder"
"""The download of a pretrained encoder; the dot keeps it apart from the names of datasets."""
BESIDE = ("tune/summary.json",)
"""Files below ``data/`` that no stage makes, but that one may read where they are."""


class Job(NamedTuple):
    """One job of a stage."""

    name: str
    into: str
    """Folder below ``data/`` where its files are published."""
    reads: tuple[str, ...]
    """Patterns of the files below ``data/`` that it reads."""
    settings: Any
    """All of the params that decide its result."""


class Stage(NamedTuple):
    """A step of the workflow: a rule and a DVC stage of the same name."""

    rule: str
    """Rule and command of one job."""
    out: str
    """Folder below ``data/``."""
    code: tuple[str, ...]
    """Modules and packages of ``mtl`` that decide the result."""
    after: tuple[str, ...]
    """Stages whose data it reads."""
    sections: tuple[str, ...]
    """Sections of ``params.yaml`` that decide the result."""
    jobs: Callable[[Params], Iterator[Job]]


def _settings(params: Params, *sections: str) -> dict[str, Any]:
    content = params.model_dump(mode="json")
    return {section: content[section] for section in sections}


def sources(params: Params) -> dict[str, dict[str, Source]]:
    """Everything to download: ``{download: {job of it: source}}``."""
    wanted = {name: dataset.sources for name, dataset in params.datasets.items()}
    if isinstance(params.encoder, TransformerEncoder):
        wanted[ENCODER] = {"": params.encoder.source}
    for name, method in params.augment.methods.items():
        if isinstance(method, BackTranslate) and method.models:
            wanted[f"model.{name}"] = method.models
    return wanted


def key_of(download: str, job: str) -> str:
    """The dotted path in the params file of one of the ``sources``."""
    if download == ENCODER:
        return "encoder.source"
    if download.startswith("model."):
        return f"augment.methods.{download.removeprefix('model.')}.{job}"
    return f"datasets.{download}.source" + ("" if job == "all" else f".{job}")


def _download(params: Params) -> Iterator[Job]:
    for name, wanted in sources(params).items():
        yield Job(name, f"raw/{name}", (), {key: source.model_dump(mode="json") for key, source in wanted.items()})


def _prepare(params: Params) -> Iterator[Job]:
    for name, dataset in params.datasets.items():
        yield Job(name, "examples", (f"raw/{name}/*",), {"seed": params.seed, "name": name, "dataset": dataset.model_dump(mode="json")})


def _augment(params: Params) -> Iterator[Job]:
    shards = params.augment.shards
    for dataset in params.datasets:
        methods = {name: method.model_dump(mode="json") for name, method in params.methods_of(dataset).items()}
        reads = [f"examples/{dataset}.parquet", *(f"raw/model.{name}/*" for name in methods)]
        similar = {}
        if params.augment.min_similarity is not None:  # of the encoder, its files decide and none of its settings
            reads.append(f"raw/{ENCODER}/*")
            similar["min_similarity"] = params.augment.min_similarity
        for index in range(shards):
            settings = {"seed": params.seed, "dataset": dataset, "index": index, "shards": shards, "methods": methods, **similar}
            yield Job(f"{dataset}-{index:05d}-of-{shards:05d}", "shards", tuple(reads), settings)


def _train(params: Params) -> Iterator[Job]:
    order = {"order": list(params.datasets), "datasets": {task: params.datasets_of(task) for task in params.tasks}}
    settings = _settings(params, "tasks", "encoder", "train")
    for name, run in params.runs().items():
        augmented = run.data == "augmented"
        reads = ("examples/*.parquet", f"raw/{ENCODER}/*", *(("shards/*",) if augmented else ()))
        share = params.augment.share if augmented else 0.0
        yield Job(name, f"models/{name}", reads, {**settings, **order, "run": run.model_dump(mode="json"), "share": share})


def _predict(params: Params) -> Iterator[Job]:
    learnt = {task: params.datasets_of(task) for task in params.tasks}
    for name, run in params.runs().items():
        reads = (f"models/{name}/model.safetensors", f"models/{name}/*.json", "examples/*.parquet")
        settings = {**_settings(params, "tasks"), "datasets": learnt, "run": run.model_dump(mode="json")}
        yield Job(name, "predictions", reads, settings)


def _evaluate(params: Params) -> Iterator[Job]:
    yield Job(
        "all",
        "results",
        ("predictions/*", "models/*/history.jsonl", "models/*/run.json"),
        _settings(params, "tasks", "experiment", "evaluate"),
    )


def _report(params: Params) -> Iterator[Job]:
    reads = ("examples/*", "shards/*", "predictions/*", "results/*", "models/*", *BESIDE)
    yield Job("all", "report", reads, params.model_dump(mode="json", exclude={"tune"}))


_SOURCES = ("data/sources.py", "data/packages.py", "data/downloads.py", "data/archives.py")

STAGES: dict[str, Stage] = {
    "download": Stage("download_source", "raw", _SOURCES, (), ("datasets", "augment", "encoder"), _download),
    "prepare": Stage("prepare_dataset", "examples", ("data",), ("download",), ("seed", "datasets"), _prepare),
    "augment": Stage(
        "augment_shard",
        "shards",
        ("augment", "data/coded.py", "data/schema.py", "data/tokens.py", *_SOURCES),
        ("download", "prepare"),
        ("seed", "datasets", "augment"),
        _augment,
    ),
    "train": Stage(
        "train_run",
        "models",
        (
            "encoders",
            "tasks",
            "training",
            "data/coded.py",
            "data/schema.py",
            "evaluation/bootstrap.py",
            "evaluation/predictions.py",
            "model",
            "seeds.py",
        ),
        ("download", "prepare", "augment"),
        ("datasets", "tasks", "augment", "encoder", "train", "experiment"),
        _train,
    ),
    "predict": Stage(
        "predict_run",
        "predictions",
        ("evaluation/predictions.py", "encoders", "model", "tasks", "data/coded.py", "data/schema.py"),
        ("prepare", "train"),
        ("datasets", "tasks", "experiment"),
        _predict,
    ),
    "evaluate": Stage(
        "evaluate_runs",
        "results",
        ("evaluation", "tasks", "data/schema.py"),
        ("train", "predict"),
        ("tasks", "experiment", "evaluate"),
        _evaluate,
    ),
    "report": Stage(
        "render_report",
        "report",
        ("report", "evaluation", "augment", "tasks", "data"),
        ("prepare", "augment", "train", "predict", "evaluate"),
        ("seed", "datasets", "tasks", "augment", "encoder", "train", "experiment", "evaluate", "report"),
        _report,
    ),
}
"""Rule and DVC stage name to what it needs, in the order of the data."""
