"""Where a race between groups of tasks keeps its outcome, which runs take part, and what identifies it."""

from pathlib import Path

from mtl.config import UNTRAINED, Params, Run
from mtl.errors import Issue, ParamsError
from mtl.names import phases_of
from mtl.pipeline.fingerprint import fingerprint, fingerprint_code, remembered_code
from mtl.pipeline.stages import RULES

LEAST_SEEDS = 3
"""After the first two a run can be spared."""
CODE = ("data", "augment", *RULES["train_run"].code, "tuning/race.py", "pipeline/race.py", "evaluation/transfer.py")


class Race:
    """The files and runs of the race that the settings describe."""

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params = params
        self.out = root / "data" / "race"
        self.runs = _runs(params)
        """By name, seed by seed, each after the one that it starts from."""
        self.work = root / "work" / "race" / _key(params, list(dict.fromkeys(run.model for run in self.runs.values())), root)

    def result(self, run: str) -> Path:
        """What came of a run: its validation scores, or why it was spared. That depends on the seeds before its own."""
        seed = self.runs[run].seed
        return self.work / fingerprint([*self.earlier(seed), seed])[:8] / f"{run}.json"

    def results(self) -> list[str]:
        """Those of all runs.

        Raises:
            ParamsError: there is nothing to race, or too few seeds.
        """
        experiment = self.params.experiment
        if not (self.params.groups() or self.params.phases()):
            problem = "has no group beside the joint and single-task models: a race needs one, or phases (groups: pairs, say)"
            raise ParamsError("params", [Issue("experiment.groups", problem)])
        if len(experiment.seeds) < LEAST_SEEDS:
            raise ParamsError("params", [Issue("experiment.seeds", f"a race needs {LEAST_SEEDS} seeds or more")])
        return [str(self.result(name)) for name in self.runs]

    def earlier(self, seed: int) -> list[int]:
        """The seeds before one."""
        seeds = self.params.experiment.seeds
        return list(seeds[: seeds.index(seed)])

    def before(self, name: str) -> list[str]:
        """The results that a run waits for: those of the runs of the seed before, and of the run that it starts from."""
        if (run := self.runs.get(name)) is None:
            return []
        last = self.earlier(run.seed)[-1:]
        return [str(self.result(other)) for other, about in self.runs.items() if about.seed in last or other == run.start]

    def before_seed(self, seed: int) -> list[str]:
        """The runs of earlier seeds."""
        earlier = self.earlier(seed)
        return [name for name, run in self.runs.items() if run.seed in earlier]


def _runs(params: Params) -> dict[str, Run]:
    """Runs on all rows of the data on which groups are compared, of the target where there is one."""
    target, seeds = params.experiment.target, params.experiment.seeds
    every = [run for run in params.runs().values() if (run.data, run.size) == (params.compared_data, "all")]
    racing = [run for run in every if target is None or target in run.tasks]
    names = {run.name for run in racing} | {run.start for run in racing}
    return {run.name: run for run in sorted(every, key=lambda run: seeds.index(run.seed)) if run.name in names}


def starts_of(models: set[str]) -> set[str]:
    """The models of the first phases of these."""
    return {phases[0] for phases in map(phases_of, models) if phases}


def _key(params: Params, models: list[str], root: Path) -> str:
    """A fingerprint of all that decides what came of a run. More seeds leave it as it is."""
    content = params.model_dump(mode="json", exclude=set(UNTRAINED))
    own = [models, params.compared_data, params.experiment.target, params.evaluate.confidence]
    code = fingerprint_code(CODE, remembered_code(root).of)
    return fingerprint([content, own, code])[:16]
