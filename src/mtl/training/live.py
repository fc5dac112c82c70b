"""Metrics that can be read while a run trains: files that DVCLive writes, for ``dvc plots show`` and ``dvc metrics show``."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
BY_TASK = ("loss", "consistency", "followed")
"""Measures of a training record with a value for each task."""
LOG = logging.getLogger(__name__)


@contextmanager
def live_metrics(folder: Path | None, history: Callable[[], Sequence[Record]]) -> Iterator[Callable[[], None]]:
    """Gives a function that adds the newest records of the history to the files. The files start over from the first record, so the steps
    of a resumed run increase like those of any other.

    Args:
        folder: ``metrics.json`` (the last values) and ``plots/metrics/`` (a TSV each) are written there; ``None`` writes nothing.
        history: the records of the run so far.
    """
    if folder is None:
        yield lambda: None
        return
    from dvclive.live import Live  # takes a second: it imports DVC

    # It saves no experiment and writes no dvc.yaml: DVC tracks the outputs of the workflow's stages.
    live: Any = Live(str(folder), save_dvc_exp=False, dvcyaml=None)
    done = 0

    def update() -> None:
        nonlocal done
        records = history()
        for record in records[done:]:
            live.step = record["step"]
            for name, value in metrics_of(record).items():
                live.log_metric(name, value)
        done = len(records)
        try:
            live.sync()
        except (OSError, ValueError) as error:  # such as another process writing there: not a reason to end training
            LOG.warning("live metrics cannot be written: %s", error)

    update()
    try:
        yield update
    finally:
        update()
        live.end()


def metrics_of(record: Record) -> dict[str, float]:
    """The metrics in a record of the history; slashes separate the parts of a name, which is a path: a class name must not add any."""
    if record["kind"] == "train":
        of_tasks = ((name, task, value) for name in BY_TASK for task, value in record.get(name, {}).items())
        return {"learning_rate": record["learning_rate"]} | {f"{name}/{task}": value for name, task, value in of_tasks}
    scores = ((task, name.replace("/", "_"), value) for task, values in record["metrics"].items() for name, value in values.items())
    return {"score": record["score"]} | {f"validation/{task}/{name}": value for task, name, value in scores}
