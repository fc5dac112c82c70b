"""Where a search keeps its study and its trials, and what identifies a search."""

from pathlib import Path

from mtl.config import UNTRAINED, Params, space
from mtl.errors import Issue, ParamsError
from mtl.pipeline.fingerprint import fingerprint, fingerprint_code, remembered_code
from mtl.pipeline.stages import MODEL

CODE = ("data", "augment", "decoders", "encoders", "tasks", *MODEL, "training", "tuning", "config/space.py", "names.py")


class Search:
    """The files of the search that the settings describe; without a section ``tune`` there are none."""

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params = params
        self.data = root / "data"
        self.out = root / "data" / "tune"
        key = _key(params, root) if params.tune else "none"
        self.study = self.out / f"study-{key}.log"
        """Optuna's journal: every trial that was run, whatever is deleted elsewhere."""
        self.work = root / "work" / "tune" / key

    def trial(self, number: int | str) -> Path:
        """The file that marks a trial as finished."""
        return self.work / "done" / f"{number}.json"

    def trials(self) -> list[str]:
        """The files of all trials.

        Raises:
            ParamsError: there is nothing to search.
        """
        if self.params.tune is None:
            raise ParamsError("params", [Issue("tune", "is missing: this section says what to search (docs/how-to/search-settings.md)")])
        return [str(self.trial(number)) for number in range(space.count(self.params))]

    def before(self, number: str) -> list[str]:
        """The files that a trial waits for: that of the first one, the baseline of the others."""
        return [] if number == "0" else [str(self.trial(0))]


def _key(params: Params, root: Path) -> str:
    """A fingerprint of all that decides a trial. More trials, or more runs in the experiment, leave it as it is."""
    content = params.model_dump(mode="json", exclude=dict.fromkeys(UNTRAINED, True) | {"tune": {"trials"}})
    run = ["augmented" in params.experiment.joint, params.experiment.seeds[0]]
    return fingerprint([content, run, fingerprint_code(CODE, remembered_code(root).of)])[:16]
