"""The stages of the workflow: one table that the Snakefile, ``dvc.yaml`` (by a test) and the fingerprints agree on.

A stage is what DVC versions: folders below ``data/``. Its jobs, of one or more rules, are what Snakemake runs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mtl import plugins
from mtl.config import Params, PretrainedEncoder, Run, Source
from mtl.names import ACROSS_DATASETS, ShardName

ENCODER = "model.encoder"
"""The download of a pretrained encoder; the dot keeps it apart from the names of datasets."""
START = "start.model"
"""The download of the model to start from."""
BESIDE = ("tune/summary.json", "audit/summary.json", "audit/issues.csv", "audit/issues.jsonl")
"""Files below ``data/`` that no stage makes, but that one may read where they are."""


class Job(NamedTuple):
    """One job of a stage."""

    rule: str
    """Its rule, command and function in ``mtl.jobs``, of ``RULES``."""
    name: str
    """Such as a dataset, a shard or a run; unique among the jobs of its rule."""
    into: str
    """Folder below ``data/`` where its files are published."""
    after: tuple[str, ...]
    """Ids of the jobs whose files it reads."""
    reads: tuple[str, ...]
    """Patterns of the files below ``data/`` that it reads."""
    settings: Any
    """All of the params that decide its result."""
    shows: tuple[str, ...] = ()
    """Patterns of files that it shows where they are and that decide nothing, such as the time that something took: not in its key."""
    files: tuple[str, ...] = ()
    """Its files, relative to ``into``, as far as their names are known before it runs."""

    @property
    def id(self) -> str:
        """Such as ``train_run/joint-augmented-1``."""
        return f"{self.rule}/{self.name}"


class Rule(NamedTuple):
    """Jobs of one type."""

    code: tuple[str, ...]
    """Modules and packages of ``mtl`` that decide the result."""
    jobs: Callable[[Params], Iterator[Job]]


class Stage(NamedTuple):
    """A step of the workflow: a Snakemake rule that publishes, and a DVC stage, both of the same name."""

    outs: tuple[str, ...]
    """Folders below ``data/``."""
    rules: tuple[str, ...]
    """The rules of its jobs; those of a later one may read what those of an earlier one made."""
    after: tuple[str, ...]
    """Stages whose data it reads."""
    sections: tuple[str, ...] = ()
    """Sections of ``params.yaml`` that DVC tracks by their names; all of the file if none is named."""

    @property
    def code(self) -> tuple[str, ...]:
        """Modules and packages of ``mtl`` that decide the result."""
        code = dict.fromkeys(code for rule in self.rules for code in RULES[rule].code)
        return tuple(path for path in code if path.partition("/")[0] not in code or "/" not in path)

    def jobs(self, params: Params) -> Iterator[Job]:
        """All jobs, each after those that it reads."""
        for rule in self.rules:
            yield from RULES[rule].jobs(params)


def stage_of(rule: str) -> str:
    """The stage to which a rule belongs."""
    return next(name for name, stage in STAGES.items() if rule in stage.rules)


def before(stage: str) -> set[str]:
    """All stages that lead to a stage."""
    return {name for direct in STAGES[stage].after for name in (direct, *before(direct))}


# --- what the jobs read -----------------------------------------------------------------------------------------------


def sources(params: Params) -> dict[str, dict[str, Source]]:
    """Everything to download: ``{download: {file or folder of it: source}}``."""
    downloads = {name: dataset.sources for name, dataset in params.datasets.items()}
    if isinstance(params.encoder, PretrainedEncoder):
        downloads[ENCODER] = {"": params.encoder.source}
        if params.encoder.start:
            downloads[START] = {"": params.encoder.start}
    for name, method in params.augment.methods.items():
        if method.downloads:
            downloads[f"model.{name}"] = method.downloads
    return downloads


def key_of(download: str, item: str) -> str:
    """The dotted path in the params file of one of the ``sources``."""
    if download == ENCODER:
        return "encoder.source"
    if download == START:
        return "encoder.start"
    if download.startswith("model."):
        return f"augment.methods.{download.removeprefix('model.')}.{item}"
    return f"datasets.{download}.source" + ("" if item == "all" else f".{item}")


class _Reads(NamedTuple):
    """Jobs whose files a job reads, and the patterns of these files."""

    after: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def __or__(self, other: "_Reads") -> "_Reads":
        return _Reads(self.after + other.after, self.patterns + other.patterns)


def _downloads(params: Params, names: Iterable[str]) -> _Reads:
    there = [name for name in names if name in sources(params)]
    return _Reads(tuple(f"download_source/{name}" for name in there), tuple(f"raw/{name}/*" for name in there))


def _examples(datasets: Iterable[str], *suffixes: str) -> _Reads:
    names = tuple(datasets)
    files = tuple(f"examples/{name}{suffix}" for name in names for suffix in suffixes or (".parquet",))
    return _Reads(tuple(f"prepare_dataset/{name}" for name in names), files)


CHECKED = _Reads(("check_examples/all",))
"""Jobs wait for the check of all examples, so that what would fail later fails before them. It does not decide their results."""
COMPARED = _Reads(("check_examples/all",), (f"examples/{ACROSS_DATASETS}",))


def _shards(params: Params, datasets: Iterable[str]) -> _Reads:
    names = [name for dataset in datasets for name in ShardName.all(dataset, params.shards_of(dataset))]
    return _Reads(tuple(f"augment_shard/{name}" for name in names), tuple(f"shards/{name.file}" for name in names))


def _models(runs: Iterable[str], *files: str) -> _Reads:
    names = tuple(runs)
    return _Reads(tuple(f"train_run/{name}" for name in names), tuple(f"models/{name}/{file}" for name in names for file in files))


def _predictions(runs: Iterable[str]) -> _Reads:
    names = tuple(runs)
    return _Reads(tuple(f"predict_run/{name}" for name in names), tuple(f"predictions/{name}.parquet" for name in names))


def _variants(params: Params, run: Run, tasks: Iterable[str]) -> _Reads:
    """The shards of some tasks of an augmented run."""
    return _shards(params, params.used_datasets(tasks)) if run.data == "augmented" else _Reads()


# --- jobs -------------------------------------------------------------------------------------------------------------


def _settings(params: Params, *sections: str) -> dict[str, Any]:
    """Sections of the params, with the code of outside packages that they name."""
    return params.model_dump(mode="json", include=set(sections)) | _outside([getattr(params, section) for section in sections])


def _of_run(params: Params, run: Run, *sections: str) -> dict[str, Any]:
    """Sections of the params, and those of its tasks that a run has: what the others are set to must not build it again."""
    own = {task: params.tasks[task] for task in run.tasks}
    dumped = {task: spec.model_dump(mode="json") for task, spec in own.items()}
    content = params.model_dump(mode="json", include=set(sections))
    return content | {"tasks": dumped} | _outside([own, *(getattr(params, section) for section in sections)])


def _frozen(params: Params, tasks: Iterable[str]) -> dict[str, Any]:
    """The datasets whose test rows are scored, of tasks that have others too."""
    frozen = {task: list(params.frozen_of(task)) for task in tasks if params.frozen_of(task) != params.datasets_of(task)}
    return {"frozen": frozen} if frozen else {}


def _outside(models: Any) -> dict[str, Any]:
    code = plugins.outside_code(models)
    return {"plugins": code} if code else {}


def _dumped(items: Mapping[str, Source]) -> dict[str, Any]:
    return {name: source.model_dump(mode="json") for name, source in items.items()}


def _download(params: Params) -> Iterator[Job]:
    for name, items in sources(params).items():
        yield Job("download_source", name, f"raw/{name}", (), (), _dumped(items))


def _prepare(params: Params) -> Iterator[Job]:
    for name, dataset in params.datasets.items():
        others = {other: params.datasets[other] for other in params.compared_with(name)}
        compared = {"compared": {other: spec.model_dump(mode="json") for other, spec in others.items()}} if others else {}
        own = {"seed": params.seed, "name": name, "dataset": dataset.model_dump(mode="json")}
        own |= {"unlabelled": True} if params.keeps_unlabelled(name) else {}
        settings = own | compared | _outside([dataset, *others.values()])
        settings |= {"segmenters": code} if (code := plugins.outside_packages(plugins.SEGMENTERS)) else {}
        yield Job(
            "prepare_dataset", name, "examples", *_downloads(params, [name, *others]), settings, files=(f"{name}.parquet", f"{name}.json")
        )


def _check(params: Params) -> Iterator[Job]:
    """A job of its own, so that another dataset or task does not prepare the others again."""
    settings = {
        task: [spec.label, params.datasets_of(task), params.unlabelled_of(task), spec.named_classes()]
        for task, spec in params.tasks.items()
    }
    reads = _examples(params.datasets, ".parquet", ".json")
    yield Job("check_examples", "all", "examples", *reads, {"datasets": list(params.datasets), "tasks": settings}, files=(ACROSS_DATASETS,))


def _augment(params: Params) -> Iterator[Job]:
    for dataset in params.datasets:
        applied = params.methods_of(dataset)
        methods = {name: method.model_dump(mode="json") for name, method in applied.items()}
        settings = {"seed": params.seed, "dataset": dataset, "shards": params.augment.shards, "methods": methods, **_outside(applied)}
        models = [f"model.{name}" for name in methods]
        if params.augment.min_similarity is not None:  # of the encoder, its files decide and none of its settings
            models.append(ENCODER)
            settings["min_similarity"] = params.augment.min_similarity
        if (language := params.datasets[dataset].language) is None:
            reads = _examples([dataset], ".parquet", ".json")  # the card has the language as it was guessed
        else:
            settings["language"], reads = language, _examples([dataset])
        settings |= {"languages": code} if (code := plugins.outside_packages(plugins.LANGUAGES)) else {}
        reads |= CHECKED | _downloads(params, models)
        for shard in ShardName.all(dataset, params.shards_of(dataset)):
            yield Job("augment_shard", str(shard), "shards", *reads, {**settings, "index": shard.number}, files=(shard.file,))


MODEL_FILES = ("model.safetensors", "config.json", "tokenizer.json")
"""What a model is loaded from."""


def _train(params: Params) -> Iterator[Job]:
    # The number of steps goes by the labelled rows of all tasks, also in a run of some of them.
    planned = {task: [spec.label, params.datasets_of(task), params.unlabelled_of(task)] for task, spec in params.tasks.items()}
    for name, run in params.runs().items():
        settings = {**_of_run(params, run, "encoder", "train"), "order": list(params.datasets), "planned": planned}
        reads = _examples(params.used_datasets(params.tasks)) | CHECKED | _downloads(params, [ENCODER]) | _variants(params, run, run.tasks)
        reads |= _models([run.start], *MODEL_FILES) if run.start else _downloads(params, [START])
        own = {**settings, "run": run.model_dump(mode="json"), "share": params.augment.share if run.data == "augmented" else 0.0}
        if params.decoder and not params.writing.keys().isdisjoint(run.tasks):  # its vocabulary is that of all tasks that write
            own |= {"decoder": params.decoder.model_dump(mode="json"), "writing": list(params.writing)}
        yield Job("train_run", name, f"models/{name}", *reads, own, files=(*MODEL_FILES, "history.jsonl", "run.json", "cost.json"))


def _predict(params: Params) -> Iterator[Job]:
    for name, run in params.runs().items():
        reads = _examples(params.used_datasets(run.tasks)) | _models([name], *MODEL_FILES)
        learnt = {task: params.datasets_of(task) for task in run.tasks}
        settings = {**_of_run(params, run), "datasets": learnt, "run": run.model_dump(mode="json")}
        yield Job("predict_run", name, "predictions", *reads, settings, files=(f"{name}.parquet",))


def _card(params: Params) -> Iterator[Job]:
    for name, run in params.runs().items():
        content = _of_run(params, run, "encoder", "augment")
        used = params.used_datasets(run.learned)
        reads = _models([name], *MODEL_FILES, "run.json") | _predictions([name])
        reads |= _examples(used, ".parquet", ".json") | COMPARED | _variants(params, run, run.learned)
        settings = {
            "run": run.model_dump(mode="json"),
            "tasks": {task: [content["tasks"][task], params.datasets_of(task)] for task in run.tasks},
            "sources": {name: _dumped(params.datasets[name].sources) for name in used},
            "encoder": content["encoder"],
            "augment": content["augment"] if run.data == "augmented" else None,
            **_outside([params.tasks[task] for task in run.tasks]),
            **_frozen(params, run.tasks),
        }
        yield Job("card_run", name, f"models/{name}", *reads, settings, files=("README.md",))


RESULTS = ("metrics.json", "comparisons.json", "plots/loss.csv", "plots/validation.csv", "plots/confusion.csv")


def _evaluate(params: Params) -> Iterator[Job]:
    reads = _models(params.runs(), "history.jsonl", "run.json") | _predictions(params.runs())
    settings = _settings(params, "tasks", "experiment", "evaluate") | _frozen(params, params.tasks)
    yield Job("evaluate_runs", "all", "results", *reads, settings, files=RESULTS)


REPORTED = ("seed", "datasets", "tasks", "augment", "encoder", "train", "experiment", "evaluate", "report")


def _report(params: Params) -> Iterator[Job]:
    reads = _examples(params.datasets, ".parquet", ".json") | COMPARED | _shards(params, params.datasets)
    reads |= _models(params.runs(), *MODEL_FILES, "history.jsonl", "run.json") | _predictions(params.runs())
    reads |= _Reads(("evaluate_runs/all",), ("results/*", *BESIDE))
    costs = _models(params.runs(), "cost.json").patterns
    yield Job("render_report", "all", "report", *reads, _settings(params, *REPORTED), costs, ("report.html",))


# --- tables -----------------------------------------------------------------------------------------------------------

_SOURCES = ("data/sources.py", "data/packages.py", "data/downloads.py", "data/archives.py")
_TABLE = ("data/coded.py", "data/labels", "data/schema.py", "data/spans.py")
_TASKS = ("tasks", "data/spacing.py", "data/tokens.py")
MODEL = (
    *(
        f"model/{name}.py"
        for name in ("batch", "decisions", "device", "folder", "joining", "micro_batches", "model", "prediction", "speed")
    ),
    "seeds.py",
    "data/model_files.py",
    "data/segmentation.py",
    "data/tokens.py",
)
"""The package ``model`` and what it uses, without the card, so that a reworded card trains nothing."""

RULES: dict[str, Rule] = {
    "download_source": Rule(_SOURCES, _download),
    "prepare_dataset": Rule(("data",), _prepare),
    "check_examples": Rule(("data",), _check),
    "augment_shard": Rule(
        ("augment", *_TABLE, "data/model_files.py", "data/segmentation.py", "data/tokens.py", *_SOURCES, "names.py"), _augment
    ),
    "train_run": Rule(("decoders", "encoders", *_TASKS, "training", *MODEL, *_TABLE, "names.py"), _train),
    "predict_run": Rule(
        (
            *(f"evaluation/{name}.py" for name in ("calibration", "predictions", "raw_text")),
            "decoders",
            "encoders",
            *_TASKS,
            *MODEL,
            *_TABLE,
        ),
        _predict,
    ),
    "card_run": Rule(
        (
            "model/card.py",
            "evaluation/scored.py",
            "evaluation/scores.py",
            "evaluation/bootstrap.py",
            "evaluation/calibration.py",
            "evaluation/parity.py",
            *_TASKS,
            *_TABLE,
            "names.py",
        ),
        _card,
    ),
    "evaluate_runs": Rule(("evaluation", *_TASKS, *_TABLE), _evaluate),
    "render_report": Rule(("report", "evaluation", "augment", "tasks", "data", "names.py"), _report),
}
"""Rule name to what its jobs need."""

STAGES: dict[str, Stage] = {
    "download": Stage(("raw",), ("download_source",), (), ("datasets", "augment", "encoder")),
    "prepare": Stage(("examples",), ("prepare_dataset", "check_examples"), ("download",), ("seed", "datasets", "tasks")),
    "augment": Stage(("shards",), ("augment_shard",), ("download", "prepare"), ("seed", "datasets", "augment")),
    "train": Stage(
        ("models", "predictions"),
        ("train_run", "predict_run", "card_run"),
        ("download", "prepare", "augment"),
        ("datasets", "tasks", "augment", "encoder", "train", "experiment"),
    ),
    "evaluate": Stage(("results",), ("evaluate_runs",), ("train",)),
    "report": Stage(("report",), ("render_report",), ("prepare", "augment", "train", "evaluate")),
}
"""Rule and DVC stage name to what it needs, in the order of the data."""
