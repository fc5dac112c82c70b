"""Which jobs and stages are valid now, kept as state files on whose existence Snakemake decides.

    work/state/<stage>/<job>.json   the job is in the store:             {"key": …, "files": {path below data/: sha256}}
    work/state/<stage>.json          data/<out>/ holds the stage:      {"files": {path below data/: sha256}}
    data/records/<stage>.json        what data/<out>/ was built from:      {"key": …, "jobs": {job: {"key": …, "files": …}}}

The record travels with the data (it is an output of the DVC dvc_stage), the state does not.
A key is a fingerprint of settings, code and the checksums of the files read. Where a stage upstream is not valid, the keys below it are
not known yet: its jobs count as missing, and the job finds at its start, when its inputs are there, whether the store has it already.
"""

import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mtl.config import Params
from mtl.errors import PipelineError
from mtl.files import write_json
from mtl.pipeline import programs
from mtl.pipeline.fingerprint import FileChecksums, fingerprint, fingerprint_code
from mtl.pipeline.stages import BESIDE, STAGES, Job, Stage
from mtl.pipeline.store import Files, Store, files_below, link

MISSING = ".missing-"
"""A job that had to do without an optional program says so by a file ``<name>.missing-<program>`` (see ``mtl.pipeline.programs``); once
the program is there, it is built anew."""


class State:
    """The state of a project folder under given params."""

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params = params
        self.data = root / "data"
        self._state = root / "work" / "state"
        self.checksums = FileChecksums(root / "work" / "checksums.json")
        self.store = Store(root / "work" / "store", self.checksums)

    # --- names ------------------------------------------------------------------------------------------------------

    def marker(self, stage: str, job: str | None = None) -> Path:
        """The state file of a stage, or of one of its jobs."""
        return self._state / (f"{stage}.json" if job is None else f"{stage}/{job}.json")

    def record(self, stage: str) -> Path:
        """The record of what a stage's published data was built from."""
        return self.data / "records" / f"{stage}.json"

    def jobs(self, stage: str) -> list[str]:
        """The names of a stage's jobs."""
        return [job.name for job in STAGES[stage].jobs(self.params)]

    # --- when the Snakefile is parsed -------------------------------------------------------------------------------

    def sync(self, dvc_stage: str | None = None) -> dict[str, bool]:
        """Make the state files tell the truth; returns which stages are valid.

        Args:
            dvc_stage: the DVC dvc_stage that Snakemake runs in. DVC has decided that it must run and that all before it is right,
                so the stages that it reads are taken as they lie in ``data/``.
        """
        valid: dict[str, bool] = {}
        for name, stage in STAGES.items():
            if dvc_stage and name in STAGES[dvc_stage].after:
                write_json(self.marker(name), {"files": self._published(stage)})
                valid[name] = True
            elif dvc_stage and name != dvc_stage:
                valid[name] = False
            elif all(valid[before] for before in stage.after):
                valid[name] = self._sync_stage(name, stage)
            else:
                valid[name] = self._forget(name)
        self.checksums.save()
        return valid

    def _sync_stage(self, name: str, stage: Stage) -> bool:
        record = _read(self.record(name))
        keys = self._keys(name)
        for job, key in keys.values():
            if not self._settle(name, job, key, record):
                self.marker(name, job.name).unlink(missing_ok=True)
        recorded = {job: entry["files"] for job, entry in record.get("jobs", {}).items()}
        files: Files = {path: found for entry in recorded.values() for path, found in entry.items()}
        built_so = record.get("key") == _stage_key(keys) and not any(map(_improvable, files))
        if built_so and files == self._published(stage):
            write_json(self.marker(name), {"files": files})
            return True
        self.marker(name).unlink(missing_ok=True)
        return False

    def _forget(self, name: str) -> bool:
        self.marker(name).unlink(missing_ok=True)
        shutil.rmtree(self._state / name, ignore_errors=True)
        return False

    # --- in a job ---------------------------------------------------------------------------------------------------

    def build(self, stage: str, name: str, produce: Callable[[Path], None], *, resume: bool = False) -> bool:
        """Build one job, unless the store or the published data has it; returns whether it was built.

        Raises:
            PipelineError: there is no such job, a stage that it reads is not there, or what it reads was changed meanwhile.
        """
        inputs = self._inputs(stage)
        keys = self._keys(stage, inputs)
        if name not in keys:
            raise PipelineError(f"{stage} has no job {name!r}; choose from: {', '.join(keys)}")
        job, key = keys[name]
        reads = self._reads(job, inputs)
        with self.store.lock(key):  # a job whose workflow was killed may still be at it: then its result is waited for
            if self._settle(stage, job, key, _read(self.record(stage))):
                return False
            self._check(reads, name)
            produce(self.store.begin(key, resume))
            try:
                self._check(reads, name)
            except PipelineError:
                self.store.abandon(key)
                raise
            self._mark(stage, job, key, self.store.finish(key))
        return True

    def _check(self, reads: Files, name: str) -> None:
        """The key of a job names what it reads: that, and nothing else, must lie there from beginning to end.

        Raises:
            PipelineError: a file was changed since the workflow began, by a checkout, say.
        """
        for path, found in reads.items():
            if self.checksums.of(self.data / path) != found:
                raise PipelineError(f"{self.data / path} is not what it was when the workflow looked, so {name} was not built; run again")

    def publish(self, stage: str) -> None:
        """Put all jobs of a stage into its folder below ``data/``, and the record last.

        Raises:
            PipelineError: a job is not built.
        """
        keys, record = self._keys(stage), _read(self.record(stage))
        markers = {name: _read(self.marker(stage, name)) for name in keys}
        for name, (job, key) in keys.items():
            # A job of other settings, whose workflow was killed, may have ended after ours and marked its own.
            if markers[name].get("key") != key and self._settle(stage, job, key, record):
                markers[name] = _read(self.marker(stage, name))
            if markers[name].get("key") != key:
                raise PipelineError(f"{stage}: job {name!r} is not built for the present settings")
        self.record(stage).unlink(missing_ok=True)
        wanted: Files = {path: found for marker in markers.values() for path, found in marker["files"].items()}
        folder = self.data / STAGES[stage].out
        for path in set(self._published(STAGES[stage])) - set(wanted):
            (self.data / path).unlink()
        for name, (job, key) in keys.items():
            for path, found in markers[name]["files"].items():
                if self.checksums.of(self.data / path) != found:
                    link(self.store.folder / key / Path(path).relative_to(job.into), self.data / path)
        for empty in sorted((path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())), reverse=True):
            empty.rmdir()
        jobs = {name: {"key": key, "files": markers[name]["files"]} for name, (_, key) in keys.items()}
        write_json(self.record(stage), {"key": _stage_key(keys), "jobs": jobs})
        write_json(self.marker(stage), {"files": wanted})
        self.checksums.save()

    def prune(self) -> int:
        """Delete from the store what the present params do not use; returns how many jobs.

        Raises:
            PipelineError: not all is built, so that it is not known what will be used.
        """
        missing = [name for name, valid in self.sync().items() if not valid]
        if missing:
            raise PipelineError(f"not all is built ({', '.join(missing)}); run snakemake first, or delete work/ altogether")
        return self.store.prune({_read(path).get("key", "") for path in self._state.glob("*/*.json")})

    # --- keys -------------------------------------------------------------------------------------------------------

    def _keys(self, stage: str, inputs: Files | None = None) -> dict[str, tuple[Job, str]]:
        """Each job and its key, by its name; of these ``inputs``, or of those that lie there now.

        Raises:
            PipelineError: a stage that it reads is not there.
        """
        spec, inputs = STAGES[stage], self._inputs(stage) if inputs is None else inputs
        code = fingerprint_code(spec.code)
        keys = {}
        for job in spec.jobs(self.params):
            reads = self._reads(job, inputs)
            keys[job.name] = job, fingerprint([stage, job.name, job.into, job.settings, code, reads])[:32]
        return keys

    def _inputs(self, stage: str) -> Files:
        """What the jobs of a stage may read.

        Raises:
            PipelineError: a stage that it reads is not there.
        """
        inputs: Files = {}
        for before in STAGES[stage].after:
            marker = _read(self.marker(before))
            if not marker:
                raise PipelineError(f"{stage} reads {before}, which is not there; run: snakemake --cores all {before}")
            inputs |= marker["files"]
        return inputs | {path: found for path in BESIDE if (found := self.checksums.of(self.data / path))}

    @staticmethod
    def _reads(job: Job, inputs: Files) -> Files:
        """Those that a job reads."""
        return {path: found for path, found in inputs.items() if any(fnmatchcase(path, pattern) for pattern in job.reads)}

    def _settle(self, stage: str, job: Job, key: str, record: dict[str, Any]) -> bool:
        """Mark a job as built if the store has it, or the published data does."""
        files = self.store.files(key)
        recorded = record.get("jobs", {}).get(job.name, {})
        if files is None and recorded.get("key") == key:
            relative = {Path(path).relative_to(job.into).as_posix(): found for path, found in recorded["files"].items()}
            if self.store.adopt(key, self.data / job.into, relative):
                files = relative
        if files is None or any(map(_improvable, files)):
            return False
        self._mark(stage, job, key, files)
        return True

    def _mark(self, stage: str, job: Job, key: str, files: Files) -> None:
        published = {f"{job.into}/{path}": found for path, found in files.items()}
        write_json(self.marker(stage, job.name), {"key": key, "files": published})

    def _published(self, stage: Stage) -> Files:
        """The files that lie in a stage's folder."""
        folder = self.data / stage.out
        return {f"{stage.out}/{path}": self.checksums.of(folder / path) or "" for path in files_below(folder)}


def _improvable(path: str) -> bool:
    _, missing, program = path.partition(MISSING)
    return bool(missing) and programs.found(program)


def _stage_key(keys: dict[str, tuple[Job, str]]) -> str:
    return fingerprint({name: key for name, (_, key) in keys.items()})[:32]


def _read(path: Path) -> dict[str, Any]:
    """A JSON mapping, or an empty one where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
