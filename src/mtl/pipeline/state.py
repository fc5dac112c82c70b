"""Which jobs and stages are valid now, kept as state files on whose existence Snakemake decides.

    work/state/<rule>/<job>.json     the job is in the store          {"key": …, "files": {path below data/: sha256}}
    work/state/<stage>.json          its folders below data/ hold it  {"key": …}
    data/records/<stage>.json        what they were built from        {"key": …, "jobs": {<rule>/<job>: {"key": …, "files": …}}}

The record travels with the data (it is an output of the DVC stage), the state does not.
A key is a fingerprint of settings, code and the checksums of the files read. Where a job upstream is not valid, the keys below it are
not known yet: its readers count as missing. Each looks at its start, when its inputs are there, whether the store has it already.
"""

import functools
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from mtl.config import Params
from mtl.errors import MtlError, PipelineError
from mtl.files import write_json, write_text
from mtl.pipeline import programs
from mtl.pipeline.fingerprint import FileChecksums, fingerprint, fingerprint_code, read_mapping, remembered_code
from mtl.pipeline.stages import BESIDE, RULES, STAGES, Job, Stage, before, stage_of
from mtl.pipeline.store import Files, Store, are_files, files_below, link

MISSING = ".missing-"
"""A job that had to do without an optional program says so by a file ``<name>.missing-<program>`` (see ``mtl.pipeline.programs``); once
the program is installed, it is built again."""

SUBWORDS = Path("work/subwords")
"""Tokenised tables, which training makes for itself (see ``mtl.training.subwords``): no job's result."""

Produce = Callable[[Path, Path], None]
"""Builds a job: takes a data folder that holds what the job reads and nothing else, and the folder to write into."""


class Input(NamedTuple):
    """A file that a job reads."""

    decides: bool
    """Whether it is part of the job's key."""
    checksum: str
    source: Path
    """Where it lies: in the store, or published where no job of this workflow made it."""


Inputs = dict[str, Input]
"""By path below ``data/``."""


class _Patterns:
    """Patterns of paths. Those without a star take one look-up together: a job that reads all runs has thousands."""

    def __init__(self, patterns: Collection[str]) -> None:
        self._starred = [pattern for pattern in patterns if "*" in pattern]
        self._names = set(patterns).difference(self._starred)

    def __contains__(self, path: str) -> bool:
        return path in self._names or any(fnmatchcase(path, pattern) for pattern in self._starred)


class State:
    """The state of a project folder under given params."""

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params = params
        self.data = root / "data"
        self._state = root / "work" / "state"
        self._views = root / "work" / "inputs"
        self._subwords = root / SUBWORDS
        self.checksums = FileChecksums(root / "work" / "checksums")
        self.store = Store(root / "work" / "store", self.checksums)
        self._code: dict[str, str] = {}
        self._code_checksums = remembered_code(root)

    @functools.cached_property
    def jobs(self) -> dict[str, Job]:
        """All jobs by their ids, each after those that it reads; a job that is built does without."""
        return {job.id: job for stage in STAGES.values() for job in stage.jobs(self.params)}

    # --- names ------------------------------------------------------------------------------------------------------

    def marker(self, name: str) -> Path:
        """The state file of a stage, or of a job by its id."""
        return self._state / f"{name}.json"

    def record(self, stage: str) -> Path:
        """The record of what a stage's published data was built from."""
        return self.data / "records" / f"{stage}.json"

    def set_aside(self, record: Path) -> Path:
        """Keep a record that cannot be read, before Snakemake deletes it to publish its stage anew; returns where."""
        place = self._state.parent / "set_aside" / record.name
        link(record, place)
        return place

    def outdated(self, stage: str) -> Path:
        """A file that exists while a stage is not valid; new each time."""
        return self._state / f"{stage}.outdated"

    def jobs_of(self, stage: str) -> list[Job]:
        """The jobs of a stage."""
        return [job for job in self.jobs.values() if job.rule in STAGES[stage].rules]

    # --- when the Snakefile is parsed -------------------------------------------------------------------------------

    def sync(self, dvc_stage: str | None = None) -> dict[str, bool]:
        """Make the state files tell the truth; returns which stages are valid.

        Args:
            dvc_stage: the DVC stage that Snakemake runs in. DVC has decided that it must run and that all before it is right,
                so these stages are taken as they lie in ``data/``.
        """
        self._code = {}
        self._forget_others()
        valid: dict[str, bool] = {}
        for name, stage in STAGES.items():
            if dvc_stage and name != dvc_stage:
                valid[name] = name in before(dvc_stage)
                if valid[name]:
                    self._trust(name, stage)
            else:
                built = self._sync_jobs(name)
                valid[name] = built and all(valid[upstream] for upstream in stage.after) and self._is_published(name)
                if not valid[name]:
                    self.marker(name).unlink(missing_ok=True)
            self._mark_outdated(name, valid[name])
        self.checksums.save()
        self._code_checksums.save()
        return valid

    def _mark_outdated(self, stage: str, valid: bool) -> None:
        if valid:
            self.outdated(stage).unlink(missing_ok=True)
        else:
            write_text(self.outdated(stage), f"{time.time_ns()}\n")

    def _forget_others(self) -> None:
        """Delete the state files of jobs that the present params do not have."""
        for path in self._state.glob("*/*.json"):
            if path.relative_to(self._state).with_suffix("").as_posix() not in self.jobs:
                path.unlink()

    def _trust(self, name: str, stage: Stage) -> None:
        """Let the jobs of a stage count as built, of the files that lie in its folder."""
        published = self._published(stage)
        for job in self.jobs_of(name):
            paths = [f"{job.into}/{file}" for file in job.files] or [path for path in published if path.startswith(f"{job.into}/")]
            write_json(self.marker(job.id), {"into": job.into, "files": {path: published[path] for path in paths if path in published}})
        write_json(self.marker(name), {})

    def _sync_jobs(self, stage: str) -> bool:
        """Mark those jobs of a stage as built that are, and no others; returns whether all are."""
        record = self._read_record(stage)
        built = [self._is_built(job, record) for job in self.jobs_of(stage)]
        return all(built)

    def _is_built(self, job: Job, record: dict[str, Any]) -> bool:
        try:
            if self._settle(job, self._key(job, self._inputs(job)), record):
                return True
        except PipelineError:  # what it reads is not built
            pass
        self.marker(job.id).unlink(missing_ok=True)
        return False

    def _is_published(self, stage: str) -> bool:
        """Whether a stage's folder holds what its jobs made, and its record says so; then the stage is marked too."""
        record = self._read_record(stage)
        markers = {job.id: _read_marker(self.marker(job.id)) for job in self.jobs_of(stage)}
        files: Files = {path: checksum for marker in markers.values() for path, checksum in marker["files"].items()}
        if record.get("key") != _stage_key(markers) or files != self._published(STAGES[stage]):
            return False
        write_json(self.marker(stage), {"key": record["key"]})
        return True

    # --- in a job ---------------------------------------------------------------------------------------------------

    def job(self, rule: str, name: str) -> Job:
        """A job by its rule and its name.

        Raises:
            PipelineError: there is no such job.
        """
        for job in RULES[rule].jobs(self.params):
            if job.name == name:
                return job
        names = ", ".join(job.name for job in RULES[rule].jobs(self.params))
        raise PipelineError(f"{rule} has no job {name!r}; choose from: {names}")

    def build(self, rule: str, name: str, produce: Produce, *, resume: bool = False) -> bool:
        """Build one job, unless the store or the published data has it; returns whether it was built.

        Raises:
            PipelineError: there is no such job, a job that it reads is not built, or what it reads was changed meanwhile.
        """
        job = self.job(rule, name)
        inputs = self._inputs(job)
        key = self._key(job, inputs)
        with self.store.lock(key):  # a job whose workflow was killed may still be at it: then its result is waited for
            if self._settle(job, key, self._read_record(stage_of(rule))):
                return False
            with self._view(job, inputs) as data:
                produce(data, self.store.begin(key, resume))
            try:
                self._check(job, inputs)
            except PipelineError:
                self.store.abandon(key)
                raise
            self._mark(job, key, self.store.finish(key))
        return True

    def folder(self, rule: str, name: str) -> Path:
        """The folder in the store with the files of a job that is built.

        Raises:
            PipelineError: it is not.
        """
        job = self.job(rule, name)
        return self.store.folder / str(self._built(job, self._read_record(stage_of(rule)))["key"])

    def help_to_build(self, rule: str, name: str, process: int, produce: Callable[[Path], None]) -> None:
        """Run a further process of a job: it reads what the first one reads, and writes nothing.

        Raises:
            PipelineError: as in ``build``.
        """
        job = self.job(rule, name)
        with self._view(job, self._inputs(job), process) as data:
            produce(data)

    @contextmanager
    def _view(self, job: Job, inputs: Inputs, process: int = 0) -> Iterator[Path]:
        """A data folder with links to what a job reads and nothing else, so that publishing may go on beside it.

        Errors name the files as they are named in ``data/``.

        Raises:
            PipelineError: what it reads was changed since the workflow began.
        """
        self._check(job, inputs)
        view = self._views / f"{self._key(job, inputs)}.{process}" / "data"
        shutil.rmtree(view.parent, ignore_errors=True)
        view.mkdir(parents=True)
        for path, file in inputs.items():
            (view / path).parent.mkdir(parents=True, exist_ok=True)
            (view / path).symlink_to(file.source.resolve())
        try:
            yield view
        except MtlError as error:
            error.args = tuple(str(argument).replace(str(view), str(self.data)) for argument in error.args)
            raise
        finally:
            shutil.rmtree(view.parent, ignore_errors=True)

    def _check(self, job: Job, inputs: Inputs) -> None:
        """The key of a job names what it reads: that, and nothing else, must lie there from beginning to end.

        Raises:
            PipelineError: a file was changed since the workflow began, by a checkout, say.
        """
        for path, file in inputs.items():
            if file.decides and self.checksums.of(file.source) != file.checksum:
                raise PipelineError(f"{self.data / path} is not what it was when the workflow looked, so {job.id} was not built; run again")

    def publish(self, stage: str) -> None:
        """Put the files of all jobs of a stage into its folder below ``data/``, and the record last.

        Raises:
            PipelineError: a job is not built.
        """
        record = self._read_record(stage)
        jobs = {job.id: self._built(job, record) for job in self.jobs_of(stage)}
        self.record(stage).unlink(missing_ok=True)
        places = {path: self._stored(self.jobs[name], entry["key"], path) for name, entry in jobs.items() for path in entry["files"]}
        for path in set(self._published(STAGES[stage])) - set(places):
            (self.data / path).unlink()
        for entry in jobs.values():
            for path, checksum in entry["files"].items():
                if self.checksums.of(self.data / path) != checksum:
                    link(places[path], self.data / path)
        for out in STAGES[stage].outs:
            folder = self.data / out
            folder.mkdir(parents=True, exist_ok=True)  # DVC expects it, also of a stage without jobs
            for empty in sorted((path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())), reverse=True):
                empty.rmdir()
        write_json(self.record(stage), {"key": _stage_key(jobs), "jobs": jobs})
        write_json(self.marker(stage), {"key": _stage_key(jobs)})
        self.checksums.save()

    def _built(self, job: Job, record: dict[str, Any]) -> dict[str, Any]:
        """Key and files of a built job.

        Raises:
            PipelineError: it is not built.
        """
        key, marker = self._key(job, self._inputs(job)), _read_marker(self.marker(job.id))
        # A job of other settings, whose workflow was killed, may have ended after ours and marked its own.
        if marker.get("key") != key and self._settle(job, key, record):
            marker = _read_marker(self.marker(job.id))
        if marker.get("key") != key:
            raise PipelineError(f"{job.id} is not built for the present settings; run: snakemake --cores all {stage_of(job.rule)}")
        return {"key": key, "files": marker["files"]}

    def prune(self) -> int:
        """Delete from the store what the present params do not use; returns how many jobs.

        Raises:
            PipelineError: not all is built, so that it is not known what will be used.
        """
        missing = [name for name, valid in self.sync().items() if not valid]
        if missing:
            raise PipelineError(f"not all is built ({', '.join(missing)}); run snakemake first, or delete work/ altogether")
        for folder in (self._views, self._subwords):  # whatever trains next makes those that it needs
            shutil.rmtree(folder, ignore_errors=True)
        deleted = self.store.prune({read_mapping(path).get("key", "") for path in self._state.glob("*/*.json")})
        self.checksums.prune()
        return deleted

    def verify(self) -> list[str]:
        """Read every stored and every published file again; returns those that are not as recorded, or are missing.

        What differs counts as not built from then on.
        """
        self.checksums.read_again()
        damaged = self.store.verify()
        for stage in STAGES:
            files = [item for job in self._read_record(stage).get("jobs", {}).values() for item in job["files"].items()]
            damaged += [str(self.data / path) for path, checksum in files if self.checksums.of(self.data / path) != checksum]
        self.checksums.save()
        return damaged

    def forget(self, runs: Iterable[str]) -> None:
        """Let runs count as not trained: delete them from the store, and what the record of the stage says of them."""
        record = self._read_record("train")
        for run in runs:
            entry = record.get("jobs", {}).pop(f"train_run/{run}", {})
            for key in (entry.get("key"), _read_marker(self.marker(f"train_run/{run}")).get("key")):
                if key:
                    self.store.drop(key)
        if record:
            write_json(self.record("train"), record)

    # --- keys -------------------------------------------------------------------------------------------------------

    def _key(self, job: Job, inputs: Inputs) -> str:
        code = self._code.get(job.rule) or fingerprint_code(RULES[job.rule].code, self._code_checksums.of)
        self._code[job.rule] = code
        reads = {path: file.checksum for path, file in inputs.items() if file.decides}
        return fingerprint([job.rule, job.name, job.into, job.settings, code, reads])[:32]

    def _inputs(self, job: Job) -> Inputs:
        """What a job reads.

        Raises:
            PipelineError: a job that makes it is not built.
        """
        reads, shows = _Patterns(job.reads), _Patterns(job.shows)
        there = {path: (path in reads, checksum, source) for path, checksum, source in self._upstream(job)}
        return {path: Input(*there[path]) for path in sorted(there) if there[path][0] or path in shows}

    def _upstream(self, job: Job) -> Iterator[tuple[str, str, Path]]:
        """What the jobs before a job made, and what lies beside: path below ``data/``, checksum, and where it lies.

        Raises:
            PipelineError: one of them is not built.
        """
        for upstream in job.after:
            marker = _read_marker(self.marker(upstream))
            if not marker:
                stage = stage_of(upstream.partition("/")[0])
                raise PipelineError(f"{job.id} reads {upstream}, which is not built; run: snakemake --cores all {stage}")
            folder = self.store.folder / marker["key"] if "key" in marker else None
            for path, checksum in marker["files"].items():
                yield path, checksum, folder / Path(path).relative_to(marker["into"]) if folder else self.data / path
        for path in BESIDE:
            if found := self.checksums.of(self.data / path):
                yield path, found, self.data / path

    def _stored(self, job: Job, key: str, path: str) -> Path:
        """Where the store has a file of a job, by its path below ``data/``."""
        return self.store.folder / key / Path(path).relative_to(job.into)

    def _settle(self, job: Job, key: str, record: dict[str, Any]) -> bool:
        """Mark a job as built if the store has it, or the published data does."""
        files = self.store.files(key)
        recorded = record.get("jobs", {}).get(job.id, {})
        if files is None and recorded.get("key") == key and all(path.startswith(f"{job.into}/") for path in recorded["files"]):
            relative = {Path(path).relative_to(job.into).as_posix(): checksum for path, checksum in recorded["files"].items()}
            if self.store.adopt(key, self.data / job.into, relative):
                files = relative
        if files is None or any(map(_improvable, files)):
            return False
        self._mark(job, key, files)
        return True

    def _mark(self, job: Job, key: str, files: Files) -> None:
        published = {f"{job.into}/{path}": checksum for path, checksum in files.items()}
        write_json(self.marker(job.id), {"key": key, "into": job.into, "files": published})

    def _published(self, stage: Stage) -> Files:
        """The files that lie in a stage's folders."""
        paths = [f"{out}/{path}" for out in stage.outs for path in files_below(self.data / out)]
        return {path: self.checksums.of(self.data / path) or "" for path in paths}

    # --- records ----------------------------------------------------------------------------------------------------

    def _read_record(self, stage: str) -> dict[str, Any]:
        """The record of a stage; empty where there is none, or it is not one of this version."""
        record = read_mapping(self.record(stage))
        return record if _is_record(record) else {}

    def earlier_records(self) -> list[Path]:
        """The records that an earlier version wrote or that are damaged. What they describe is built again."""
        paths = [self.record(stage) for stage in STAGES]
        return [path for path in paths if path.exists() and not _is_record(read_mapping(path))]


def _is_record(content: dict[str, Any]) -> bool:
    jobs = content.get("jobs")
    return isinstance(content.get("key"), str) and isinstance(jobs, dict) and all(map(_is_entry, jobs, jobs.values()))


def _is_entry(name: str, job: Any) -> bool:
    """Whether a job of a record is sound: records come with data of others, and keys name folders."""
    return (
        "/" in name and isinstance(job, dict) and isinstance(key := job.get("key"), str) and key.isalnum() and are_files(job.get("files"))
    )


def _read_marker(path: Path) -> dict[str, Any]:
    """The state file of a job, or an empty mapping where it is missing or damaged."""
    marker = read_mapping(path)
    files = marker.get("files")
    sound = are_files(files) and isinstance(marker.get("into"), str) and isinstance(marker.get("key", ""), str)
    return marker if sound else {}


def _improvable(path: str) -> bool:
    _, missing, program = path.partition(MISSING)
    return bool(missing) and programs.installed(program)


def _stage_key(jobs: dict[str, dict[str, Any]]) -> str:
    """The key of a stage whose jobs have these keys."""
    return fingerprint({name: job.get("key") for name, job in jobs.items()})[:32]
