"""The command line: the only module that reads arguments, prints or sets the exit status."""

import argparse
import functools
import importlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import mtl.config
from mtl.config.editing import write_checksums
from mtl.errors import DataError, EncoderError, ExportError, Issue, MtlError, ParamsError, PipelineError, printable
from mtl.files import describe, write_text
from mtl.jobs import JOBS, RESUMABLE, dismiss
from mtl.pipeline import versions
from mtl.pipeline.audit import LabelAudit
from mtl.pipeline.flow import workflow_lock
from mtl.pipeline.race import Race
from mtl.pipeline.search import Search
from mtl.pipeline.stages import ENCODER, RULES, STAGES, key_of, sources, stage_of
from mtl.pipeline.state import State
from mtl.plan import language_issues, plan
from mtl.words import plural

KEPT_PRODUCTS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32", "LRU_CACHE_CAPACITY": "32"}
"""Variables that torch reads when it is imported: how many prepared matrix products it keeps. Each size of a batch has its own; 1024 of
them would take hundreds of MiB and save no time."""
FORMS = """onnx: one graph with all heads, for ONNX Runtime; hf: for each task a folder that transformers loads; package: a folder that
predicts by itself"""
"""What `mtl export` can write."""
INT8 = """8-bit weights, compared with float32 on a file with texts, or on the validation rows of a folder of examples, which are then
scored too"""
REFERENCE = """texts to compare with: a file, or a folder of examples, whose validation and test rows are compared (those of training would
differ from any others); default: data/examples"""
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for what a command looked for and found (such as drift), 2 for an error that the user
    can mend, 143 for a job that was asked to stop."""
    options = parser().parse_args(arguments)
    os.environ.update(KEPT_PRODUCTS | os.environ)
    try:
        options.run(options)
    except MtlError as error:
        print(printable(str(error)), file=sys.stderr)
        return getattr(error, "exit_status", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "mtl":
            raise
        extra = getattr(options, "extra", "workflow")
        print(f'{error.name} is not installed; the extra has it: pip install "mtl[{extra}]", or -e ".[{extra}]" here', file=sys.stderr)
        return 2
    except OSError as error:
        print(printable(describe(error)), file=sys.stderr)
        return 2
    return int(getattr(options, "status", 0))


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="mtl", description="Multi-task text training: the commands behind the workflow.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_user_commands(commands)
    _add_workflow_commands(commands)
    return parser


def _add_user_commands(commands: Commands) -> None:
    check = commands.add_parser("check", help="check a params file and print the plan")
    check.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    check.add_argument("--offline", action="store_true", help="do not check that remote sources exist")
    check.add_argument("--versions", action="store_true", help="print the versions that decide results, and which trained runs have others")
    check.set_defaults(run=_check)
    checksums = commands.add_parser("checksums", help="print the checksum of every source")
    checksums.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    checksums.add_argument("--write", action="store_true", help="write the checksums into the file")
    checksums.set_defaults(run=_checksums)
    schema = commands.add_parser("schema", help="print the JSON schema of params.yaml")
    schema.set_defaults(run=lambda _: print(json.dumps(mtl.config.json_schema(), indent=1)))
    ingest = commands.add_parser("ingest", help="append new rows to the datasets that grow, and write their checksums")
    ingest.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"), help="params file; default: params.yaml")
    ingest.set_defaults(run=_ingest)
    predict = commands.add_parser("predict", help="predict new texts with a trained model")
    predict.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    predict.add_argument("--task", action="append", help="predict this task only; repeat for more tasks")
    predict.add_argument("--format", choices=("auto", "text", "jsonl"), default="auto", help="auto: decided by the first line")
    predict.add_argument("--min-confidence", type=_share, default=0.0, metavar="P", help="answer null below this confidence, in 0..1")
    predict.add_argument("--precision", default="fp32", help="fp32; bf16 or int8: faster where the device has it, and rounded")
    predict.add_argument("file", nargs="?", default="-", help="text lines or JSON lines; - for standard input")
    predict.set_defaults(run=_predict)
    _add_serve(commands)
    _add_export(commands)
    _add_drift(commands)
    _add_promote(commands)
    prune = commands.add_parser("prune", help="delete stored results that the present settings do not use")
    prune.add_argument("--other-versions", action="store_true", help="delete runs trained under other versions than those installed")
    prune.set_defaults(run=_prune)
    verify = commands.add_parser("verify", help="read all stored and published files again and name those that are damaged")
    verify.set_defaults(run=_verify)
    synonyms = commands.add_parser("synonyms", help="rebuild the synonym table from WordNet's files (Debian: wordnet-base)")
    synonyms.add_argument("action", choices=("build",))
    synonyms.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of WordNet's dictionary files")
    synonyms.add_argument("--encoder", type=Path, default=Path("data/raw") / ENCODER, help="folder of the encoder that scores similarity")
    synonyms.add_argument("--out", type=Path, help="file to write; default: the table inside the package")
    synonyms.set_defaults(run=_synonyms)


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser("serve", help="predict over HTTP")
    serve.add_argument("--model", type=Path, required=True, help="folder of a trained model, or a link to one")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; beyond this machine, a token is required")
    serve.add_argument("--port", type=int, default=8000, help="0: a free one")
    serve.add_argument("--token-file", type=Path, help="file with the bearer token; default: the environment variable MTL_TOKEN")
    serve.add_argument("--insecure", action="store_true", help="listen beyond this machine without a token")
    serve.add_argument("--corrections", type=Path, metavar="FILE", help="JSON lines file that corrected predictions are appended to")
    serve.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    serve.add_argument("--precision", default="fp32", help="fp32; bf16 or int8: faster where the device has it, and rounded")
    serve.add_argument("--max-body", type=_positive, default=2**20, metavar="BYTES", help="size of a request")
    serve.add_argument("--max-texts", type=_positive, default=256, metavar="N", help="texts of a request")
    serve.add_argument("--max-characters", type=_positive, default=20_000, metavar="N", help="characters of a text")
    serve.add_argument("--queue", type=_positive, default=1024, metavar="N", help="texts that may wait, at least --max-texts")
    serve.add_argument("--batch-tokens", type=_positive, default=4096, metavar="N", help="size of a batch that takes no further request")
    serve.set_defaults(run=_serve, extra="serve")


def _add_export(commands: Commands) -> None:
    export = commands.add_parser("export", help="write a trained model for other programs")
    export.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    export.add_argument("--to", choices=("onnx", "hf", "package"), required=True, help=FORMS)
    export.add_argument("--out", type=Path, required=True, help="folder to write; it must not exist")
    export.add_argument("--task", action="append", help="export this task only; repeat for more tasks")
    export.add_argument("--int8", type=Path, metavar="TEXTS", help=f"onnx and package: {INT8}")
    export.set_defaults(run=_export, extra="export")


def _add_drift(commands: Commands) -> None:
    drift = commands.add_parser("drift", help="test whether new texts differ from those of training; exit status 1 if they do")
    drift.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    drift.add_argument("--reference", type=Path, default=Path("data/examples"), metavar="PATH", help=REFERENCE)
    drift.add_argument("--task", action="append", help="compare what is predicted for this task only; repeat for more tasks")
    drift.add_argument("--level", type=float, default=0.01, help="chance of a false alarm over all tests; default: 0.01")
    drift.add_argument("--texts", type=_positive, default=1000, metavar="N", help="texts of each side, at most; more are sampled")
    drift.add_argument("--json", action="store_true", help="print the results as JSON")
    drift.add_argument("--report", type=Path, metavar="FILE", help="write a page with figures")
    drift.add_argument("file", type=Path, help="new texts: text lines or JSON lines")
    drift.set_defaults(run=_drift)


def _add_promote(commands: Commands) -> None:
    promote = commands.add_parser("promote", help="let a newly trained model replace the promoted one, if no task falls")
    promote.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"), help="params file; default: params.yaml")
    promote.add_argument("--model", type=Path, help="folder of the new model; default: that of the first joint run in data/models")
    promote.add_argument(
        "--drift", type=Path, metavar="FILE", help="results of mtl drift --json; with drift, no task needs to gain; default: promote.drift"
    )
    promote.add_argument("--rollback", action="store_true", help="return to the version before")
    promote.set_defaults(run=_promote)


def _positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _share(text: str) -> float:
    """A number in 0..1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in 0..1")
    return number


def _add_workflow_commands(commands: Commands) -> None:
    """Those that Snakemake runs."""
    publish = _workflow_command(commands, "publish", "publish the built jobs of a stage to data/")
    publish.add_argument("stage", choices=tuple(STAGES))
    publish.set_defaults(run=lambda options: State(mtl.config.load(options.settings)).publish(options.stage))
    trial = _workflow_command(commands, "tune_trial", "run one trial of the search")
    trial.add_argument("--number", type=int, required=True, help="number of the trial, from 0")
    trial.add_argument("--workers", type=int, default=1, help="trials that run at a time, for the estimate of the time left")
    trial.set_defaults(run=_tune_trial)
    tune = _workflow_command(commands, "tune", "write the results of the search")
    tune.set_defaults(run=_tune)
    racing = _workflow_command(commands, "race_run", "train one run of the race, unless it can be spared")
    racing.add_argument("--job", required=True, help="name of the run")
    racing.set_defaults(run=_race_run)
    race = _workflow_command(commands, "race", "write the outcome of the race")
    race.set_defaults(run=_race)
    fold = _workflow_command(commands, "audit_fold", "judge the labels of one fold of the train rows")
    fold.add_argument("--number", type=int, required=True, help="number of the fold, from 0")
    fold.set_defaults(run=_audit_fold)
    audit = _workflow_command(commands, "audit", "write the labels that are likely wrong")
    audit.set_defaults(run=_audit)
    for rule in RULES:
        job = _workflow_command(commands, rule, f"run one job of the stage {stage_of(rule)}")
        job.add_argument("--job", required=True, help="name of the job, such as a dataset or a run")
        job.set_defaults(run=_job, rule=rule)


def _workflow_command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=f"(workflow) {text}")
    command.add_argument("--settings", type=Path, required=True, help="file with all settings, as the workflow writes it to work/settings")
    return command


def _job(options: argparse.Namespace) -> None:
    if options.rule == "augment_shard":
        _slim_arrow()
    params = mtl.config.load(options.settings)
    state = State(params)
    processes, rank = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", "1"), ("RANK", "0")))
    if rank:  # the first of several processes builds the job; this one helps it to train, and writes nothing
        state.help_to_build(options.rule, options.job, rank, lambda data: JOBS[options.rule](params, options.job, data, Path()))
        return
    start = time.monotonic()
    if _build(state, options.rule, options.job):
        print(f"built {options.rule} {options.job} in {time.monotonic() - start:.1f} s")
        return
    if processes > 1:
        dismiss()
    print(f"kept {options.rule} {options.job}: inputs, settings and code have not changed")


def _build(state: State, rule: str, name: str) -> bool:
    """Build one job, unless it is built; returns whether it was built."""
    return state.build(rule, name, functools.partial(JOBS[rule], state.params, name), resume=rule in RESUMABLE)


def _tune_trial(options: argparse.Namespace) -> None:
    from mtl.tuning.study import Study
    from mtl.tuning.trial import run_trial, told

    params = mtl.config.load(options.settings)
    search = Search(params)
    fresh = run_trial(params, options.number, search)
    line = told(Study(params, search.study), options.number, options.workers)
    print(line if fresh else f"kept {line}")


def _tune(options: argparse.Namespace) -> None:
    from mtl.tuning.summary import write_summary

    params = mtl.config.load(options.settings)
    print(write_summary(params, Search(params)))


def _race_run(options: argparse.Namespace) -> None:
    from mtl.tuning.race import run_one

    params = mtl.config.load(options.settings)
    state = State(params)

    def train() -> Path:
        _build(state, "train_run", options.job)
        return state.folder("train_run", options.job)

    print(run_one(Race(params), options.job, train))


def _race(options: argparse.Namespace) -> None:
    from mtl.tuning.race import write_outcome

    params = mtl.config.load(options.settings)
    print(write_outcome(Race(params)))


def _audit_fold(options: argparse.Namespace) -> None:
    from mtl.monitoring.label_audit import run_fold

    params = mtl.config.load(options.settings)
    fresh = run_fold(params, options.number, LabelAudit(params))
    print(f"{'judged' if fresh else 'kept'} fold {options.number}")


def _audit(options: argparse.Namespace) -> None:
    from mtl.monitoring.label_audit import write_issues

    params = mtl.config.load(options.settings)
    print(write_issues(params, LabelAudit(params)))


def _slim_arrow() -> None:
    """Make pyarrow small, before its first use.

    It imports pandas for its first array, a third of what a shard's job needs to start (0.2 s and 35 MiB), and no code there needs it:
    hide it. Unless another allocator was chosen, use one that gives memory back: with the default one, the job needs half as much again.
    """
    if sys.platform == "linux":  # elsewhere pyarrow may lack it
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    stand_in = ModuleType("pandas")
    stand_in.__version__ = "0"  # type: ignore[attr-defined]
    sys.modules["pandas"] = stand_in
    with warnings.catch_warnings(action="ignore"):  # that it is too old
        pa.array([])
    del sys.modules["pandas"]


def _check(options: argparse.Namespace) -> None:
    """Print the plan.

    Raises:
        ParamsError: lists every issue of the settings and every source that cannot be found.
    """
    from mtl.data.sources import exists, is_local

    params = mtl.config.load(options.file)
    if options.versions:
        print(versions.describe(versions.groups(Path("data/models"), list(params.runs()))))
        return
    issues = mtl.config.issues(params) + language_issues(params)
    issues += [
        Issue(key_of(name, item), reason)
        for name, items in sources(params).items()
        for item, source in items.items()
        if (options.offline is False or is_local(source.url)) and (reason := exists(source))
    ]
    if issues:
        raise ParamsError(str(options.file), issues)
    print(printable(plan(params)))


def _checksums(options: argparse.Namespace) -> None:
    """Print the checksum of every source; with ``--write``, write into the file those that it does not state."""
    from mtl.data.sources import checksum

    params = mtl.config.load(options.file)
    new = {}
    for name, items in sources(params).items():
        for item, source in items.items():
            key = key_of(name, item)
            actual = checksum(source)
            if actual != source.sha256:
                new[key] = actual
            stated = "as stated" if actual == source.sha256 else f"stated: {source.sha256}" if source.sha256 else "not stated"
            print(f"{actual}  {key}  {stated}")
    if options.write and new:
        write_checksums(options.file, params, new)


def _ingest(options: argparse.Namespace) -> None:
    """Append the rows of incoming files to the datasets that grow.

    Raises:
        DataError: a file cannot be read, or too many rows are malformed.
    """
    from mtl.data.incoming import ingest
    from mtl.data.sources import checksum

    params = mtl.config.load(options.file)
    grow = {name: dataset for name, dataset in params.datasets.items() if dataset.incoming}
    if not grow:
        raise DataError(f"{options.file}: no dataset has the key incoming, which names files with new rows")
    checksums = {}
    for name, dataset in grow.items():
        result = ingest(name, dataset)
        for line in result.malformed:
            print(printable(f"malformed: {line}"), file=sys.stderr)
        counts = f"{result.known} known, {result.unlabelled} unlabelled, {len(result.malformed)} malformed"
        print(f"{name}: {plural(result.new, 'new row')} from {plural(result.files, 'file')} ({counts})")
        if (actual := checksum(dataset.sources["all"])) != dataset.sources["all"].sha256:
            checksums[f"datasets.{name}.source"] = actual
    if checksums:
        write_checksums(options.file, params, checksums)


def _predict(options: argparse.Namespace) -> None:
    """Read texts and print one JSON object a line with every task's prediction."""
    from mtl.export.runtime import OnnxPredictor, is_exported
    from mtl.predict import decoded, predict_lines

    # Python has None for a stream that was closed before it started.
    if options.file == "-" and sys.stdin is None:
        raise DataError("standard input is closed")
    if sys.stdout is None:
        raise DataError("standard output is closed")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    options.extra = "export" if is_exported(options.model) else "workflow"
    if options.extra == "export" and options.precision != "fp32":
        raise ExportError(f"{options.model}: an exported model predicts in the format that it was exported in; leave out --precision")
    model = OnnxPredictor(options.model) if is_exported(options.model) else options.model
    try:
        with sys.stdin.buffer if options.file == "-" else Path(options.file).open("rb") as lines:
            texts, least = decoded(lines, options.file), options.min_confidence
            for prediction in predict_lines(
                model, texts, tasks=options.task, form=options.format, min_confidence=least, precision=options.precision
            ):
                print(json.dumps(prediction, ensure_ascii=False))
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{options.file}: cannot be read: {error}") from None


def _serve(options: argparse.Namespace) -> None:
    """Serve a model until SIGTERM or SIGINT."""
    from mtl.serving.server import Server
    from mtl.serving.settings import Limits, Settings, read_token

    limits = Limits(
        body_bytes=options.max_body,
        texts=options.max_texts,
        characters=options.max_characters,
        queue=options.queue,
        batch_tokens=options.batch_tokens,
    )
    settings = Settings(
        model=options.model,
        host=options.host,
        port=options.port,
        token=read_token(options.token_file),
        insecure=options.insecure,
        corrections=options.corrections,
        device=options.device,
        precision=options.precision,
        limits=limits,
    )
    server = Server.start(settings)
    print(f"{server.model.version} on {server.address}", flush=True)
    server.run()


def _export(options: argparse.Namespace) -> None:
    """Write a model for other programs."""
    export = importlib.import_module(f"mtl.export.{options.to}").export
    if options.int8 is None:
        names = export(options.model, options.out, options.task)
    elif options.to == "hf":
        raise ExportError("--int8: folders for transformers have float32 weights; choose --to onnx or --to package")
    else:
        names = export(options.model, options.out, options.task, options.int8)
    print(f"{options.out}: {plural(len(names), 'task')}: {', '.join(names)}")


def _drift(options: argparse.Namespace) -> None:
    """Compare new texts with those of training.

    Raises:
        DataError: a file cannot be read, or no task has enough texts.
    """
    from mtl.monitoring.drift import drift
    from mtl.monitoring.page import finding, page

    if not 0 < options.level < 1:
        raise DataError(f"--level: {options.level} is not between 0 and 1")
    results = drift(options.model, options.file, options.reference, tasks=options.task, level=options.level, most=options.texts)
    if options.report:
        write_text(options.report, page(results))
    if options.json:
        print(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        for test in results["tests"]:
            p = f"corrected p {test['corrected_p']:.3g}"
            print(printable(f"{'drift' if test['drift'] else '  -  '}  {test['task']}: {test['test']}  {p} ({test['method']})"))
        print(printable(finding(results)))
    options.status = int(results["drift"])


def _promote(options: argparse.Namespace) -> None:
    """Compare a new model with the promoted one, and promote it or not.

    Raises:
        PipelineError: there is no version to return to.
        ModelError: a model is missing, or lacks a task.
    """
    from mtl.evaluation.results import joint_run
    from mtl.monitoring.promotion import NAME, Versions, promote

    folder = Path("data/promoted")
    if options.rollback:
        print(f"{folder / 'current'} is {NAME}@{Versions(folder).rollback()} again")
        return
    params = mtl.config.load(options.file)
    file = options.drift or (params.promote or mtl.config.Promote()).drift
    model = options.model or Path("data/models") / joint_run(params).name
    decision = promote(params, model, Path("data/examples"), folder, drift=file is not None and _has_drift(Path(file)))
    for one in decision["compared"]:
        scores = f"{one['promoted']:.3f} -> {one['candidate']:.3f}"
        print(
            f"  {one['task']} ({one['split']}, {one['metric']}): {scores}, gain {one['gain']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
        )
    done = {"promote": "promoted as", "refuse": "refused; the promoted model stays", "keep": "nothing to do; the promoted model is"}
    print(f"{model}: {done[decision['action']]} {NAME}@{decision['version']} ({decision['reason']})")


def _has_drift(path: Path) -> bool:
    """Whether ``mtl drift --json``, which printed the file, found drift.

    Raises:
        DataError: the file holds something else.
    """
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["drift"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is not the output of mtl drift --json: {error!r}") from None


def _synonyms(options: argparse.Namespace) -> None:
    from mtl.augment import wordnet

    out = options.out or wordnet.TABLE
    if not options.encoder.is_dir():
        raise EncoderError(f"{options.encoder}: no such folder; run: snakemake download, or name a folder with --encoder")
    wordnet.build(options.wordnet, options.encoder, out)
    print(f"{out}: {plural(len(wordnet.load(out)), 'word')}")


def _verify(_: argparse.Namespace) -> None:
    """Compare every file with its checksum.

    Raises:
        PipelineError: names those that differ.
    """
    state = State(mtl.config.load(Path("params.yaml")))
    with workflow_lock():
        damaged = state.verify()
    if damaged:
        lines = [f"{path}: is missing or differs from its checksum" for path in damaged]
        raise PipelineError("\n".join([*lines, "snakemake --cores all restores each from its other copy, or builds it again"]))
    print("every file in work/store and data is as it was stored")


def _prune(options: argparse.Namespace) -> None:
    state = State(mtl.config.load(Path("params.yaml")))
    with workflow_lock():
        if options.other_versions:
            runs = versions.others(versions.groups(state.data / "models", list(state.params.runs())))
            state.forget(runs)
            print(f"deleted {plural(len(runs), 'run')} of other versions{': ' * bool(runs)}{', '.join(runs)}")
            return
        deleted = state.prune()
    print(f"deleted {plural(deleted, 'stored result')} from {state.store.folder}")
