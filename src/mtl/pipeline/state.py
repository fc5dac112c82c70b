"""Which parts and milestones are valid now, kept as state files on whose existence Snakemake decides.

    work/state/<milestone>/<part>.json   the part is in the store:             {"key": …, "files": {path below data/: sha256}}
    work/state/<milestone>.json          data/<out>/ holds the milestone:      {"files": {path below data/: sha256}}
    data/records/<milestone>.json        what data/<out>/ was built from:      {"key": …, "parts": {part: {"key": …, "files": …}}}

The record travels with the data (it is an output of the DVC stage), the state does not.
A key is a fingerprint of settings, code and the sums of the files read. Where a milestone upstream is not valid, the keys below it are
not known yet: its parts count as missing, and the job finds at its start, when its inputs are there, whether the store has it already.
"""

import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mtl.errors import PipelineError
from mtl.params import Params
from mtl.pipeline import programs
from mtl.pipeline.fingerprint import FileSums, sum_of, sum_of_code, write_json
from mtl.pipeline.milestones import BESIDE, MILESTONES, Milestone, Part
from mtl.pipeline.store import Files, Store, files_below, link

MISSING = ".missing-"
"""A part that had to do without an optional program says so by a file ``<name>.missing-<program>`` (see ``mtl.pipeline.programs``); once
the program is there, it is built anew."""


class State:
    """The state of a project folder under given params."""

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params = params
        self.data = root / "data"
        self._state = root / "work" / "state"
        self.sums = FileSums(root / "work" / "sums.json")
        self.store = Store(root / "work" / "store", self.sums)

    # --- names ------------------------------------------------------------------------------------------------------

    def marker(self, milestone: str, part: str | None = None) -> Path:
        """The state file of a milestone, or of one of its parts."""
        return self._state / (f"{milestone}.json" if part is None else f"{milestone}/{part}.json")

    def record(self, milestone: str) -> Path:
        """The record of what a milestone's published data was built from."""
        return self.data / "records" / f"{milestone}.json"

    def parts(self, milestone: str) -> list[str]:
        """The names of a milestone's parts."""
        return [part.name for part in MILESTONES[milestone].parts(self.params)]

    # --- when the Snakefile is parsed -------------------------------------------------------------------------------

    def sync(self, stage: str | None = None) -> dict[str, bool]:
        """Make the state files tell the truth; returns which milestones are valid.

        Args:
            stage: the DVC stage that Snakemake runs in. DVC has decided that it must run and that all before it is right,
                so the milestones that it reads are taken as they lie in ``data/``.
        """
        valid: dict[str, bool] = {}
        for name, milestone in MILESTONES.items():
            if stage and name in MILESTONES[stage].after:
                write_json(self.marker(name), {"files": self._published(milestone)})
                valid[name] = True
            elif stage and name != stage:
                valid[name] = False
            elif all(valid[before] for before in milestone.after):
                valid[name] = self._sync_milestone(name, milestone)
            else:
                valid[name] = self._forget(name)
        self.sums.save()
        return valid

    def _sync_milestone(self, name: str, milestone: Milestone) -> bool:
        record = _read(self.record(name))
        keys = self._keys(name)
        for part, key in keys.values():
            if not self._settle(name, part, key, record):
                self.marker(name, part.name).unlink(missing_ok=True)
        recorded = {part: entry["files"] for part, entry in record.get("parts", {}).items()}
        files: Files = {path: found for entry in recorded.values() for path, found in entry.items()}
        built_so = record.get("key") == _milestone_key(keys) and not any(map(_improvable, files))
        if built_so and files == self._published(milestone):
            write_json(self.marker(name), {"files": files})
            return True
        self.marker(name).unlink(missing_ok=True)
        return False

    def _forget(self, name: str) -> bool:
        self.marker(name).unlink(missing_ok=True)
        shutil.rmtree(self._state / name, ignore_errors=True)
        return False

    # --- in a job ---------------------------------------------------------------------------------------------------

    def build(self, milestone: str, name: str, produce: Callable[[Path], None], *, resume: bool = False) -> bool:
        """Build one part, unless the store or the published data has it; returns whether it was built.

        Raises:
            PipelineError: there is no such part, a milestone that it reads is not there, or what it reads was changed meanwhile.
        """
        inputs = self._inputs(milestone)
        keys = self._keys(milestone, inputs)
        if name not in keys:
            raise PipelineError(f"{milestone} has no part {name!r}; choose from: {', '.join(keys)}")
        part, key = keys[name]
        reads = self._reads(part, inputs)
        with self.store.lock(key):  # a job whose workflow was killed may still be at it: then its result is waited for
            if self._settle(milestone, part, key, _read(self.record(milestone))):
                return False
            self._check(reads, name)
            produce(self.store.begin(key, resume))
            try:
                self._check(reads, name)
            except PipelineError:
                self.store.abandon(key)
                raise
            self._mark(milestone, part, key, self.store.finish(key))
        return True

    def _check(self, reads: Files, name: str) -> None:
        """The key of a part names what it reads: that, and nothing else, must lie there from beginning to end.

        Raises:
            PipelineError: a file was changed since the workflow began, by a checkout, say.
        """
        for path, found in reads.items():
            if self.sums.of(self.data / path) != found:
                raise PipelineError(f"{self.data / path} is not what it was when the workflow looked, so {name} was not built; run again")

    def publish(self, milestone: str) -> None:
        """Put all parts of a milestone into its folder below ``data/``, and the record last.

        Raises:
            PipelineError: a part is not built.
        """
        keys, record = self._keys(milestone), _read(self.record(milestone))
        markers = {name: _read(self.marker(milestone, name)) for name in keys}
        for name, (part, key) in keys.items():
            # A job of other settings, whose workflow was killed, may have ended after ours and marked its own.
            if markers[name].get("key") != key and self._settle(milestone, part, key, record):
                markers[name] = _read(self.marker(milestone, name))
            if markers[name].get("key") != key:
                raise PipelineError(f"{milestone}: part {name!r} is not built for the present settings")
        self.record(milestone).unlink(missing_ok=True)
        wanted: Files = {path: found for marker in markers.values() for path, found in marker["files"].items()}
        folder = self.data / MILESTONES[milestone].out
        for path in set(self._published(MILESTONES[milestone])) - set(wanted):
            (self.data / path).unlink()
        for name, (part, key) in keys.items():
            for path, found in markers[name]["files"].items():
                if self.sums.of(self.data / path) != found:
                    link(self.store.folder / key / Path(path).relative_to(part.into), self.data / path)
        for empty in sorted((path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())), reverse=True):
            empty.rmdir()
        parts = {name: {"key": key, "files": markers[name]["files"]} for name, (_, key) in keys.items()}
        write_json(self.record(milestone), {"key": _milestone_key(keys), "parts": parts})
        write_json(self.marker(milestone), {"files": wanted})
        self.sums.save()

    def prune(self) -> int:
        """Delete from the store what the present params do not use; returns how many parts.

        Raises:
            PipelineError: not all is built, so that it is not known what will be used.
        """
        missing = [name for name, valid in self.sync().items() if not valid]
        if missing:
            raise PipelineError(f"not all is built ({', '.join(missing)}); run snakemake first, or delete work/ altogether")
        return self.store.prune({_read(path).get("key", "") for path in self._state.glob("*/*.json")})

    # --- keys -------------------------------------------------------------------------------------------------------

    def _keys(self, milestone: str, inputs: Files | None = None) -> dict[str, tuple[Part, str]]:
        """Each part and its key, by its name; of these ``inputs``, or of those that lie there now.

        Raises:
            PipelineError: a milestone that it reads is not there.
        """
        spec, inputs = MILESTONES[milestone], self._inputs(milestone) if inputs is None else inputs
        code = sum_of_code(spec.code)
        keys = {}
        for part in spec.parts(self.params):
            reads = self._reads(part, inputs)
            keys[part.name] = part, sum_of([milestone, part.name, part.into, part.settings, code, reads])[:32]
        return keys

    def _inputs(self, milestone: str) -> Files:
        """What the parts of a milestone may read.

        Raises:
            PipelineError: a milestone that it reads is not there.
        """
        inputs: Files = {}
        for before in MILESTONES[milestone].after:
            marker = _read(self.marker(before))
            if not marker:
                raise PipelineError(f"{milestone} reads {before}, which is not there; run: snakemake --cores all {before}")
            inputs |= marker["files"]
        return inputs | {path: found for path in BESIDE if (found := self.sums.of(self.data / path))}

    @staticmethod
    def _reads(part: Part, inputs: Files) -> Files:
        """Those that a part reads."""
        return {path: found for path, found in inputs.items() if any(fnmatchcase(path, pattern) for pattern in part.reads)}

    def _settle(self, milestone: str, part: Part, key: str, record: dict[str, Any]) -> bool:
        """Mark a part as built if the store has it, or the published data does."""
        files = self.store.files(key)
        recorded = record.get("parts", {}).get(part.name, {})
        if files is None and recorded.get("key") == key:
            relative = {Path(path).relative_to(part.into).as_posix(): found for path, found in recorded["files"].items()}
            if self.store.adopt(key, self.data / part.into, relative):
                files = relative
        if files is None or any(map(_improvable, files)):
            return False
        self._mark(milestone, part, key, files)
        return True

    def _mark(self, milestone: str, part: Part, key: str, files: Files) -> None:
        published = {f"{part.into}/{path}": found for path, found in files.items()}
        write_json(self.marker(milestone, part.name), {"key": key, "files": published})

    def _published(self, milestone: Milestone) -> Files:
        """The files that lie in a milestone's folder."""
        folder = self.data / milestone.out
        return {f"{milestone.out}/{path}": self.sums.of(folder / path) or "" for path in files_below(folder)}


def _improvable(path: str) -> bool:
    _, missing, program = path.partition(MISSING)
    return bool(missing) and programs.found(program)


def _milestone_key(keys: dict[str, tuple[Part, str]]) -> str:
    return sum_of({name: key for name, (_, key) in keys.items()})[:32]


def _read(path: Path) -> dict[str, Any]:
    """A JSON mapping, or an empty one where the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
