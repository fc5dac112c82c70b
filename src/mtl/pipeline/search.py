"""Where a search keeps its study and its trials, and what decides that two searches are the same one."""

from pathlib import Path

from mtl.config import Params, space
from mtl.errors import Issue, ParamsError
from mtl.pipeline.fingerprint import fingerprint, fingerprint_code

CODE = ("data", "augment", "encoders", "tasks", "model", "training", "tuning", "config/space.py", "seeds.py")


class Search:
    """The files of the search that the settings describe; without a section ``tune`` there are none."""

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params = params
        self.data = root / "data"
        self.out = root / "data" / "tune"
        key = _key(params) if params.tune else "none"
        self.study = self.out / f"study-{key}.log"
        """Every trial that was made, whatever is deleted elsewhere: Optuna's journal."""
        self.work = root / "work" / "tune" / key

    def trial(self, number: int | str) -> Path:
        """The file that says that a trial is over."""
        return self.work / "done" / f"{number}.json"

    def trials(self) -> list[str]:
        """The files of all trials.

        Raises:
            ParamsError: there is nothing to search.
        """
        if self.params.tune is None:
            raise ParamsError("params", [Issue("tune", "is not there: say in this section what to search (docs/tuning.md)")])
        return [str(self.trial(number)) for number in range(space.count(self.params))]

    def before(self, number: str) -> list[str]:
        """What a trial waits for: the first one, which the others are measured by."""
        return [] if number == "0" else [str(self.trial(0))]


def _key(params: Params) -> str:
    """Of all that decides a trial. More trials are more of the same search, and so is the same run with more runs beside it."""
    content = params.model_dump(mode="json", exclude={"experiment": True, "evaluate": True, "report": True, "tune": {"trials"}})
    run = ["augmented" in params.experiment.joint, params.experiment.seeds[0]]
    return fingerprint([content, run, fingerprint_code(CODE)])[:16]
