"""The command line: the only module that reads arguments, prints or sets the exit status."""

import argparse
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import mtl.config
import mtl.config.space
from mtl.errors import DataError, EncoderError, Issue, MtlError, ParamsError
from mtl.jobs import JOBS, RESUMABLE, dismiss
from mtl.pipeline.flow import workflow_lock
from mtl.pipeline.search import Search
from mtl.pipeline.stages import ENCODER, STAGES, key_of, sources
from mtl.pipeline.state import State
from mtl.plan import plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for an error that the user can mend, 143 for a job that was asked to stop."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except MtlError as error:
        print(error, file=sys.stderr)
        return getattr(error, "exit_status", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"{error.filename or 'input or output'}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mtl", description="Multi-task text training: the commands behind the workflow.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check a params file and print the plan")
    check.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"))
    check.add_argument("--offline", action="store_true", help="do not look whether remote sources exist")
    check.set_defaults(run=_check)
    checksums = commands.add_parser("checksums", help="print the sum of every source; --write puts them into the file")
    checksums.add_argument("file", nargs="?", type=Path, default=Path("params.yaml"))
    checksums.add_argument("--write", action="store_true")
    checksums.set_defaults(run=_checksums)
    schema = commands.add_parser("schema", help="print the JSON schema of params.yaml")
    schema.set_defaults(run=lambda _: print(json.dumps(mtl.config.json_schema(), indent=1)))
    predict = commands.add_parser("predict", help="predict new texts with a trained model")
    predict.add_argument("--model", type=Path, required=True, help="folder of a trained model")
    predict.add_argument("--task", action="append", help="only this task; may be given again")
    predict.add_argument("--format", choices=("auto", "text", "jsonl"), default="auto", help="auto: by the first line")
    predict.add_argument("file", nargs="?", default="-", help="text lines or JSON lines; - for standard input")
    predict.set_defaults(run=_predict)
    prune = commands.add_parser("prune", help="delete built jobs that the present settings do not use")
    prune.set_defaults(run=_prune)
    synonyms = commands.add_parser("synonyms", help="build: make the synonym table anew from WordNet's files (Debian: wordnet-base)")
    synonyms.add_argument("action", choices=("build",))
    synonyms.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of WordNet's dictionary files")
    synonyms.add_argument("--encoder", type=Path, default=Path("data/raw") / ENCODER, help="folder of the encoder that judges likeness")
    synonyms.add_argument("--out", type=Path, help="file to write; the package's own table if not given")
    synonyms.set_defaults(run=_synonyms)
    publish = commands.add_parser("publish", help="(workflow) put the built jobs of a stage into data/")
    publish.add_argument("stage", choices=tuple(STAGES))
    publish.add_argument("--settings", type=Path, required=True)
    publish.set_defaults(run=lambda options: State(mtl.config.load(options.settings)).publish(options.stage))
    trial = commands.add_parser("tune_trial", help="(workflow) make one trial of the search")
    trial.add_argument("--settings", type=Path, required=True)
    trial.add_argument("--number", type=int, required=True)
    trial.add_argument("--workers", type=int, default=1, help="trials at a time, by which the time that is left is reckoned")
    trial.set_defaults(run=_tune_trial)
    tune = commands.add_parser("tune", help="(workflow) write what the search found")
    tune.add_argument("--settings", type=Path, required=True)
    tune.set_defaults(run=_tune)
    for stage, spec in STAGES.items():
        job = commands.add_parser(spec.rule, help=f"(workflow) build one job of {stage}")
        job.add_argument("--settings", type=Path, required=True)
        job.add_argument("--job", required=True)
        job.set_defaults(run=_job, stage=stage)
    return parser


def _job(options: argparse.Namespace) -> None:
    if options.stage == "augment":
        _slim_arrow()
    params = mtl.config.load(options.settings)
    state = State(params)
    job = STAGES[options.stage].rule
    processes, rank = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", "1"), ("RANK", "0")))
    if rank:  # the first of several processes builds the job; this one only helps it to train, and writes nothing
        JOBS[job](params, options.job, state.data, Path())
        return

    def produce(out: Path) -> None:
        JOBS[job](params, options.job, state.data, out)

    start = time.monotonic()
    if state.build(options.stage, options.job, produce, resume=job in RESUMABLE):
        print(f"built {options.stage} {options.job} in {time.monotonic() - start:.1f} s")
        return
    if processes > 1:
        dismiss()
    print(f"kept {options.stage} {options.job}: inputs, settings and code are as when it was built")


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


def _slim_arrow() -> None:
    """Make pyarrow small, before its first use. It is to believe that pandas is not there: it would import it for its first array, a third
    of what a shard's job needs to start (0.2 s and 35 MiB), and nothing there asks for it. And it gets an allocator that gives memory
    back, unless one was chosen: with the one it would take, a shard's job needs half as much again."""
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
    """Print the plan; with every issue of the settings and every source that cannot be found, if there are any."""
    from mtl.data.sources import exists, is_local

    params = mtl.config.load(options.file)
    issues = mtl.config.scoring_issues(params) + mtl.config.space.issues(params)
    issues += [
        Issue(key_of(name, job), reason)
        for name, jobs in sources(params).items()
        for job, source in jobs.items()
        if (options.offline is False or is_local(source.url)) and (reason := exists(source))
    ]
    if issues:
        raise ParamsError(str(options.file), issues)
    print(plan(params))


def _checksums(options: argparse.Namespace) -> None:
    """Print the sum of every source, and with ``--write`` put them into the file, its comments kept."""
    from ruamel.yaml import YAML

    from mtl.data.sources import checksum

    params = mtl.config.load(options.file)
    yaml = YAML()
    yaml.width = 1_000_000
    content = yaml.load(options.file.read_text(encoding="utf-8"))
    for name, jobs in sources(params).items():
        for job, source in jobs.items():
            key = key_of(name, job)
            found = checksum(source)
            node = content
            for step in key.split("."):
                node = node[step]
            node["sha256"] = found
            print(f"{found}  {key}  {'as stated' if found == source.sha256 else f'stated: {source.sha256}'}")
    if options.write:
        temporary = options.file.with_name(f".{options.file.name}.tmp")
        with temporary.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
        temporary.replace(options.file)


def _predict(options: argparse.Namespace) -> None:
    """Read texts and print one JSON object a line with every task's prediction."""
    from mtl.predict import decoded, predict_lines

    # Python has None for a stream that was closed before it started.
    if options.file == "-" and sys.stdin is None:
        raise DataError("standard input is closed")
    if sys.stdout is None:
        raise DataError("standard output is closed")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        with sys.stdin.buffer if options.file == "-" else Path(options.file).open("rb") as lines:
            for prediction in predict_lines(options.model, decoded(lines, options.file), tasks=options.task, form=options.format):
                print(json.dumps(prediction, ensure_ascii=False))
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{options.file}: cannot be read: {error}") from None


def _synonyms(options: argparse.Namespace) -> None:
    from mtl.augment import wordnet

    out = options.out or wordnet.TABLE
    if not options.encoder.is_dir():
        raise EncoderError(f"{options.encoder}: no such folder; run: snakemake download, or name one by --encoder")
    wordnet.build(options.wordnet, options.encoder, out)
    print(f"{out}: {len(wordnet.load(out))} words")


def _prune(options: argparse.Namespace) -> None:
    state = State(mtl.config.load(Path("params.yaml")))
    with workflow_lock():
        deleted = state.prune()
    print(f"{deleted} job(s) deleted from {state.store.folder}")
