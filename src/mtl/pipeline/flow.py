"""What the Snakefile needs: the checked settings, the state files, and the hand-over of results to DVC."""

import functools
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

import mtl.config
from mtl.config import Params
from mtl.errors import ParamsError, PipelineError, StorageError
from mtl.files import describe, write_text
from mtl.pipeline.fingerprint import fingerprint, read_mapping
from mtl.pipeline.stages import BESIDE, STAGES, stage_of
from mtl.pipeline.state import State
from mtl.pipeline.versions import unlike

PARAMS_FILE = Path("params.yaml")
HANDED_OVER = Path("work/handed_over.json")
"""A fingerprint of what DVC recorded last."""


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``override`` put in, mapping by mapping."""
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


class Flow:
    """One invocation of Snakemake on a project folder."""

    def __init__(self, params: Params, *, overridden: bool, main: bool, workflow: Any = None) -> None:
        self.params = params
        self._overridden, self._workflow = overridden, workflow
        dvc_stage = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
        self._dvc_stage = dvc_stage if dvc_stage in STAGES else None
        self._lock: FileLock | None = None
        self._valid: dict[str, bool] = {}
        self._notes: list[str] = []
        self._started = False
        self.state = State(params)
        content = mtl.config.dump(params)
        self.settings = Path("work/settings") / f"{fingerprint(content)[:16]}.json"
        """The settings of this run, overrides included: what jobs read."""
        if main:
            self._begin(content)

    def _begin(self, content: str) -> None:
        """Take the lock and make the state files tell the truth; beside another Snakemake, leave them alone (see ``start``).

        Writes below ``work/`` only: a dry run comes by here too.
        """
        write_text(self.settings, content)
        with suppress(PipelineError):
            self._lock = workflow_lock()
            self._notes = [
                f"{path}: written by an earlier version of mtl, or damaged; the stage {path.stem} is built again"
                f" (the record is kept as {self.state.set_aside(path)})"
                for path in self.state.earlier_records()
            ]
            if self._tells_dvc() and (reason := obstacle()):
                self._notes.append(f"DVC will not record the results: {reason}")
            self._valid = self.state.sync(self._dvc_stage)
            damaged = self.state.store.damaged
            self._notes += [f"{path}: is not what was stored; it is restored from data/, or built again" for path in damaged]

    def start(self) -> None:
        """Before the first job (and not in a dry run): stop where another Snakemake works.

        Raises:
            WorkflowError: another Snakemake works in this folder.
        """
        from snakemake.exceptions import WorkflowError

        if self._lock is None:
            raise WorkflowError("another Snakemake works in this folder; wait for it, or end it")
        for folder in (self.state.data, Path("work")):
            if folder.exists() and not os.access(folder, os.W_OK):
                raise WorkflowError(f"{folder}: cannot be written to: a read-only disk, or another user's folder")
        self._started = True
        _make_beside()

    def pass_on_sigterm(self) -> None:
        """At SIGTERM Snakemake starts no more jobs and waits for those that run: tell these too, so that training saves and ends."""
        import psutil

        finish = signal.getsignal(signal.SIGTERM)

        def stop(number: int, frame: FrameType | None) -> None:
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            if callable(finish):
                finish(number, frame)

        signal.signal(signal.SIGTERM, stop)

    @classmethod
    def open(cls, workflow: Any) -> "Flow":
        """Read the settings of a Snakemake workflow: ``params.yaml``, or the file of ``--configfile``, then ``--config``.

        Snakemake reads files as YAML 1.1 and values of ``--config`` as strings, so both are read here as YAML 1.2.

        Raises:
            WorkflowError: the settings are wrong; lists every issue. Or the disk is full or read-only.
        """
        from snakemake.exceptions import WorkflowError

        if repeated := _repeated_option(sys.argv):
            raise WorkflowError(f"{repeated} is given twice, and Snakemake would use the last one only; give it once, with all its values")
        options = workflow.config_settings
        files = [Path(file) for file in options.configfiles] or [PARAMS_FILE]
        source = " + ".join([*map(str, files), *(["--config"] if options.config_args else [])])
        if os.pathsep in str(Path.cwd()):
            raise WorkflowError(f"{Path.cwd()}: Python cannot import from a folder with {os.pathsep!r} in its path; rename it")
        try:
            layers = [*map(mtl.config.read_yaml, files), *map(mtl.config.read_option, options.config_args or ())]
            content = functools.reduce(merge, layers)
            params = mtl.config.parse(content, source)
            if issues := mtl.config.issues(params):
                raise ParamsError(source, issues)
        except ParamsError as error:
            raise WorkflowError(str(error)) from None
        overridden = bool(options.configfiles or options.config_args)
        try:
            return cls(params, overridden=overridden, main=workflow.is_main_process, workflow=workflow)
        except StorageError as error:
            raise WorkflowError(str(error)) from None
        except OSError as error:
            raise WorkflowError(describe(error)) from None

    @property
    def params_file(self) -> str:
        """``params.yaml``, or the last file of ``--configfile``."""
        return str([PARAMS_FILE, *self._workflow.config_settings.configfiles][-1])

    def after(self, stage: str) -> list[str]:
        """The state files of the stages that a stage reads; of an outdated stage also a new file, which makes Snakemake publish again.

        Its published files are there, so that Snakemake would take them as they are where one of them is the target.
        """
        outdated = self.state.outdated(stage)
        return [*self._ageless(map(self.state.marker, STAGES[stage].after)), *([str(outdated)] if outdated.exists() else [])]

    def jobs(self, stage: str) -> list[str]:
        """The state files of a stage's jobs, where Snakemake may have to run one."""
        return self._job_markers(job.id for job in self.state.jobs_of(stage))

    def inputs(self, rule: str, name: str, without: str | None = None) -> list[str]:
        """The state files of the jobs that a job reads, where Snakemake may have to run one of them.

        A job that does not exist says so when it runs.

        Args:
            rule: of the job.
            name: of the job.
            without: a rule whose jobs are left out.
        """
        job = self.state.jobs.get(f"{rule}/{name}")
        return self._job_markers(after for after in (job.after if job else ()) if after.partition("/")[0] != without)

    def _job_markers(self, jobs: Iterable[str]) -> list[str]:
        """State files, without those of valid stages: what need not run needs no place in the graph, which thousands of runs make slow.

        A forced run and one that only draws or lists see all.
        """
        plugin = self._workflow and self._workflow.executor_plugin
        whole = self._forced() or not plugin or plugin.common_settings.touch_exec
        needed = (job for job in jobs if whole or not self._valid.get(stage_of(job.partition("/")[0])))
        return self._ageless(map(self.state.marker, needed))

    def _ageless(self, paths: Iterable[Path]) -> list[str]:
        """Inputs whose time Snakemake ignores: that they exist says all. Not so below a job that Snakemake forces."""
        from snakemake.io import ancient

        forced = self._forced()
        return [str(path) if forced else ancient(str(path)) for path in paths]

    def _forced(self) -> bool:
        settings = self._workflow and self._workflow.dag_settings  # not there yet while the Snakefile is parsed
        return bool(settings and (settings.forcerun or settings.forceall or settings.force_incomplete))

    def published(self, stage: str) -> list[str]:
        """The files that a stage publishes, as far as their names are known, and its record."""
        files = [str(self.state.data / job.into / file) for job in self.state.jobs_of(stage) for file in job.files]
        return [*files, str(self.state.record(stage))]

    def shell_prefix(self) -> str:
        """Make ``python`` the interpreter of Snakemake and ``mtl`` the package of this folder, and let a failure in a pipe count.

        The hash seed is fixed, since foreign augmenters iterate over sets of strings. Shell and ``tee`` ignore the signals that ask a job
        to end, so that its last lines are printed.
        """
        path, source = (shlex.quote(str(folder)) for folder in (Path(sys.executable).parent, Path("src").resolve()))
        interpreter = f'export PATH={path}:"$PATH" PYTHONPATH={source} PYTHONHASHSEED=0; '
        prefix = f"set -euo pipefail; {interpreter}" + "trap : INT TERM; tee() { trap '' INT TERM; exec tee \"$@\"; }; "
        return prefix.replace("{", "{{").replace("}", "}}")  # Snakemake formats the prefix

    def gpus_of_run(self) -> int:
        """GPUs that a run takes: 1 where the machine has any, else 0, so that on CPUs runs go side by side."""
        return int(any(Path("/dev").glob("nvidia[0-9]*")))

    def launcher(self, processes: int) -> str:
        """The command that starts a training run: ``python``, or a launcher where a profile gives it several processes of one machine."""
        return "python" if processes == 1 else f"python -m torch.distributed.run --standalone --nproc-per-node {processes}"

    def closing_words(self) -> str:
        """The last lines of a successful run: what DVC recorded, different versions among the runs, and where the results are."""
        comparisons, report = Path("data/results/comparisons.json"), "data/report/report.html"
        lines = [self.hand_over() or "", unlike(read_mapping(comparisons).get("versions", []))]
        places = [path for path in ("data/results/metrics.json", report) if Path(path).exists() and not self._dvc_stage]
        return "\n".join([line for line in lines if line] + [f"  {path}" for path in places])

    def hand_over(self) -> str | None:
        """After a direct run: record the valid stages in ``dvc.lock``, so that ``dvc repro`` finds nothing to do.

        Returns:
            What was done, in words, or None where there was nothing to do.
        """
        if not self._tells_dvc():
            return None
        if self._overridden:
            return "settings were overridden on the command line, so DVC was not told of the results; edit params.yaml to keep them"
        if mtl.config.load(PARAMS_FILE) != self.params:
            return "params.yaml was changed while the workflow ran, so DVC was not told of the results; run again"
        if missing := untracked_sections(mtl.config.read_yaml(PARAMS_FILE)):
            return missing
        if reason := obstacle():
            return f"DVC did not record the results: {reason}"
        # Code or data may have been edited meanwhile too: only what is valid for what lies here now may be recorded.
        stages = [name for name, is_valid in self.state.sync().items() if is_valid]
        return self._commit(stages) if stages and not self._is_handed_over(stages) else None

    def _tells_dvc(self) -> bool:
        """Whether DVC is to know of the results: the project uses it, and it does not run this Snakemake itself."""
        return not self._dvc_stage and self._lock is not None and Path(".dvc").is_dir() and Path("dvc.yaml").exists()

    def _commit(self, stages: list[str]) -> str:
        """Let DVC record stages; returns what was done, or DVC's own words where it failed."""
        _make_beside()
        command = [sys.executable, "-m", "dvc", "commit", "--force", *stages]  # with --quiet it would keep its reasons to itself
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            output = done.stderr + done.stdout
            reason = output.partition("ERROR: ")[2].partition("\n\n")[0] or output
            return f"DVC could not record the results (dvc commit --force {' '.join(stages)}): {reason.strip()}"
        write_text(HANDED_OVER, self._stamp(stages))
        changed = uncommitted(PARAMS_FILE, Path("dvc.lock"))
        advice = f"; commit {' and '.join(changed)} before an experiment: dvc exp show compares with the last commit" if changed else ""
        return f"DVC recorded: {', '.join(stages)}{advice}"

    def notes(self) -> str:
        """What to say before any job runs: of records of an earlier version, and why DVC cannot record results here."""
        return "\n".join(self._notes)

    def settle(self) -> str:
        """At the end of a Snakemake that had no job to run, which calls no hook: a line of what DVC recorded.

        DVC may have to be told all the same, after an edit that changes no result, say. A dry run, a list or a graph does nothing.
        """
        if self._started or self._lock is None or not _executes(self._workflow):
            return ""
        _make_beside()
        if not all(self._valid.values()) or self._is_handed_over(list(STAGES)):
            return ""
        words = self.hand_over()
        return f"{words}\n" if words else ""

    def _is_handed_over(self, stages: list[str]) -> bool:
        return HANDED_OVER.exists() and HANDED_OVER.read_text(encoding="utf-8") == self._stamp(stages)

    def _stamp(self, stages: list[str]) -> str:
        """A fingerprint of all that DVC looks at."""
        code = sorted(Path(mtl.config.__file__).parent.rglob("*.py"))
        files = (*code, Path("dvc.lock"), PARAMS_FILE, *map(self.state.record, stages))
        return fingerprint({str(path): self.state.checksums.of(path) for path in files})


def untracked_sections(content: dict[str, Any]) -> str:
    """What to write where a params file leaves out sections that DVC tracks by their names; empty where it has them all."""
    tracked = dict.fromkeys(section for stage in STAGES.values() for section in stage.sections)
    missing = [section for section in tracked if section not in content]
    if not missing:
        return ""
    names, lines = (", ".join(f"`{text}`" for text in texts) for texts in (missing, [f"{section}: {{}}" for section in missing]))
    return f"DVC was not told of the results: {PARAMS_FILE} lacks {names}, which DVC tracks by name; write {lines}"


def uncommitted(*files: Path) -> list[str]:
    """Those of the files that differ from the last commit; none where there is no git."""
    with suppress(OSError):
        command = ["git", "status", "--porcelain", "--", *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [line[3:] for line in done.stdout.splitlines()]
    return []


def _repeated_option(arguments: Iterable[str]) -> str | None:
    """The option of settings that a command line has more than once."""
    options = {"-C": "--config", "--config": "--config", "--configfile": "--configfile", "--configfiles": "--configfile"}
    used = [options.get(word.partition("=")[0]) for word in arguments]
    return next((option for option in options.values() if used.count(option) > 1), None)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def obstacle() -> str:
    """Why DVC cannot record results in this folder; empty where it can."""
    here = Path.cwd()
    for out in ("data", *(f"data/{out}" for stage in STAGES.values() for out in stage.outs)):
        if not (target := Path(out).resolve()).is_relative_to(here):
            return f"{out} is a link to {target}, outside of this project; make it a folder, and move DVC's cache there (dvc cache dir)"
    if {"{", "}"} & set(str(here)):
        return f"DVC fails in a folder with a brace in its path; rename {here}"
    return ""


def _executes(workflow: Any) -> bool:
    """Whether Snakemake runs jobs: not so in a dry run, and where it only lists, draws or touches."""
    plugin = workflow.executor_plugin
    return plugin is not None and not plugin.common_settings.dryrun_exec and not plugin.common_settings.touch_exec


def _make_beside() -> None:
    """DVC's stage report depends on these folders, also where no search and no audit was made."""
    for path in BESIDE:
        (Path("data") / path).parent.mkdir(parents=True, exist_ok=True)


def workflow_lock() -> FileLock:
    """Take the lock of a project folder; the system releases it when the process ends, however it ends.

    Raises:
        PipelineError: another process holds it.
    """
    Path("work").mkdir(exist_ok=True)
    lock = FileLock("work/workflow.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PipelineError("another Snakemake works in this folder; wait for it, or end it") from None
    return lock
