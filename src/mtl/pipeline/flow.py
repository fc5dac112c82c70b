"""What the Snakefile needs: the checked settings, the state files, and the hand-over of results to DVC."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mtl.params
from mtl.errors import ParamsError
from mtl.params import Params
from mtl.pipeline.fingerprint import sum_of, write_json, write_text
from mtl.pipeline.milestones import MILESTONES
from mtl.pipeline.state import State

PARAMS_FILE = Path("params.yaml")


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``override`` put in, mapping by mapping."""
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


class Flow:
    """One invocation of Snakemake on a project folder."""

    def __init__(self, params: Params, *, overridden: bool, main: bool) -> None:
        self.params = params
        self._overridden = overridden
        self._stage = os.environ.get("DVC_STAGE", "").rpartition(":")[2] or None
        self.state = State(params)
        content = mtl.params.dump(params)
        self.settings = Path("work/settings") / f"{sum_of(content)[:16]}.json"
        """The settings of this run, overrides included: what jobs read."""
        if main:
            write_text(self.settings, content)
            if not _locked():
                self.state.sync(self._stage)

    @classmethod
    def open(cls, workflow: Any) -> "Flow":
        """Read the settings of a Snakemake workflow: ``params.yaml``, or the file of ``--configfile``, then ``--config``.

        Raises:
            WorkflowError: the settings are wrong; lists every fault.
        """
        from snakemake.exceptions import WorkflowError

        given = workflow.config_settings
        files = [Path(file) for file in given.configfiles] or [PARAMS_FILE]
        try:
            content: dict[str, Any] = {}
            for file in files:
                content = merge(content, mtl.params.read_yaml(file))
            params = mtl.params.parse(merge(content, dict(given.config)), source=" + ".join(map(str, files)))
        except ParamsError as error:
            raise WorkflowError(str(error)) from None
        overridden = bool(given.configfiles or given.config)
        return cls(params, overridden=overridden, main=workflow.is_main_process)

    def after(self, milestone: str) -> list[str]:
        """The state files of the milestones that a milestone reads."""
        return [str(self.state.marker(before)) for before in MILESTONES[milestone].after]

    def parts(self, milestone: str) -> list[str]:
        """The state files of a milestone's parts."""
        return [str(self.state.marker(milestone, part)) for part in self.state.parts(milestone)]

    def shell_prefix(self) -> str:
        """Makes ``python`` the interpreter that runs Snakemake, activated or not, and a failure in a pipe count."""
        return f"set -euo pipefail; export PATH='{Path(sys.executable).parent}':\"$PATH\"; "

    def gpus_of_run(self) -> int:
        """GPUs that a training run takes: 1 where the machine has any, else 0, so that on CPUs runs go side by side."""
        return int(any(Path("/dev").glob("nvidia[0-9]*")))

    def closing_words(self) -> str:
        """What to say when all went well: what DVC was told, and where the results lie."""
        words = self.hand_over()
        places = [path for path in ("data/results/metrics.json", "data/report/report.html") if Path(path).exists()]
        return "\n".join(([words] if words else []) + [f"  {path}" for path in places if not self._stage])

    def hand_over(self) -> str | None:
        """After a direct run: record the valid milestones in ``dvc.lock``, so that ``dvc repro`` finds nothing to do.

        Returns what was done, in words, or None where there was nothing to do.
        """
        if self._stage or not Path(".dvc").is_dir() or not Path("dvc.yaml").exists():
            return None
        if self._overridden:
            return "settings were overridden on the command line, so DVC was not told of the results; edit params.yaml to keep them"
        stages = [name for name in MILESTONES if self.state.marker(name).exists()]
        stamp = {"lock": _text(Path("dvc.lock")), "records": {name: _text(self.state.record(name)) for name in stages}}
        known = Path("work/handed_over.json")
        if not stages or _text(known).strip() == f'"{sum_of(stamp)}"':
            return None
        command = [sys.executable, "-m", "dvc", "commit", "--force", "--quiet", *stages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"DVC could not record the results (dvc commit --force {' '.join(stages)}): {done.stderr.strip()}"
        write_json(known, sum_of({**stamp, "lock": _text(Path("dvc.lock"))}))
        return f"DVC recorded: {', '.join(stages)}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _locked() -> bool:
    """Whether another Snakemake works in this folder: then its state files are not touched."""
    locks = Path(".snakemake/locks")
    return locks.is_dir() and any(locks.iterdir())
