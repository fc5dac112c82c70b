"""Where a label audit keeps its folds and its results, and what identifies it."""

from pathlib import Path

from mtl.config import UNTRAINED, Audit, Params, Run
from mtl.pipeline.fingerprint import fingerprint, fingerprint_code, remembered_code
from mtl.pipeline.stages import MODEL

CODE = ("data", "decoders", "encoders", "tasks", *MODEL, "training", "evaluation/predictions.py", "monitoring/label_audit.py", "names.py")


class LabelAudit:
    """The files of the label audit that the settings describe."""

    def __init__(self, params: Params, root: Path = Path()) -> None:
        self.params = params
        self.settings = params.audit or Audit()
        self.run = Run(tasks=tuple(params.tasks), model="joint", data="plain", seed=params.experiment.seeds[0])
        """The run that is trained on all folds but one."""
        self.data = root / "data"
        self.out = root / "data" / "audit"
        self.work = root / "work" / "audit" / _key(params, self.settings, self.run, root)

    def fold(self, number: int | str) -> Path:
        """The predictions of a fold."""
        return self.work / f"{number}.parquet"

    def folds(self) -> list[str]:
        """Those of all folds."""
        return [str(self.fold(number)) for number in range(self.settings.folds)]


def _key(params: Params, settings: Audit, run: Run, root: Path) -> str:
    """A fingerprint of all that decides a fold."""
    content = params.model_dump(mode="json", exclude={*UNTRAINED, "augment"})
    return fingerprint(
        [content, settings.model_dump(mode="json"), run.model_dump(mode="json"), fingerprint_code(CODE, remembered_code(root).of)]
    )[:16]
