"""The jobs of the workflow: rule name to the function that builds one job of a stage.

Heavy packages are imported by the job that needs them, so that the others start at once.
"""

from collections.abc import Callable
from pathlib import Path

from mtl.config import AugmentMethod, BackTranslate, Params
from mtl.pipeline import programs
from mtl.pipeline.stages import ENCODER, key_of, sources
from mtl.pipeline.state import MISSING


def download_source(params: Params, job: str, data: Path, out: Path) -> None:
    """Fetch the sources of a dataset or model and check their checksums."""
    from mtl.data.sources import fetch

    for name, source in sources(params)[job].items():
        (out / name).mkdir(parents=True, exist_ok=True)
        fetch(source, out / name, progress=True, key=key_of(job, name))


def prepare_dataset(params: Params, job: str, data: Path, out: Path) -> None:
    """Read, check and split one dataset."""
    from mtl.data.prepare import prepare

    prepare(params, job, data / "raw" / job, out)


def augment_shard(params: Params, job: str, data: Path, out: Path) -> None:
    """Augment one shard of one dataset; a file beside it for each program that it had to do without."""
    from mtl.augment.shards import augment_shard, read_counts

    dataset, index, _, _ = job.rsplit("-", 3)
    augment_shard(params, dataset, int(index), data / "examples", out, data / "raw")
    methods = read_counts(out / f"{job}.parquet")["methods"]
    without = [params.augment.methods[name] for name, counts in methods.items() if "engine missing" in counts["dropped"]]
    for program in {program for method in without for program in _programs(method)}:
        if not programs.found(program):
            (out / f"{job}{MISSING}{program}").touch()


def _programs(method: AugmentMethod) -> list[str]:
    """The programs that a method works with, by their names in ``mtl.pipeline.programs``."""
    from mtl.augment.apertium import PIVOTS

    if not isinstance(method, BackTranslate) or method.engine != "apertium":
        return []
    return [f"apertium.{mode}" for pivot in method.pivots for mode in PIVOTS[pivot]]


def train_run(params: Params, job: str, data: Path, out: Path) -> None:
    """Train one run of the experiment, and write its card."""
    from mtl.model.card import write_card
    from mtl.training.run import train

    run, encoder, live = params.runs()[job], data / "raw" / ENCODER, data.parent / "live" / job
    source = encoder if encoder.exists() else None
    trained = (out / "run.json").exists() and not (out / "checkpoint").exists()  # then only the card was left to do when it was stopped
    if trained:
        dismiss()
    if trained or train(params, run, data / "examples", data / "shards", source, out, progress=True, live=live):
        write_card(params, run, data, out)


def dismiss() -> None:
    """Let the other processes of a training run end where the first finds that it is built already."""
    from mtl.training.run import dismiss

    dismiss()


def predict_run(params: Params, job: str, data: Path, out: Path) -> None:
    """Predict the test rows with one trained model."""
    from mtl.evaluation.predictions import predict_run

    predict_run(params, params.runs()[job], data / "models" / job, data / "examples", out)


def evaluate_runs(params: Params, job: str, data: Path, out: Path) -> None:
    """Score and compare all runs."""
    from mtl.evaluation.results import evaluate

    evaluate(params, data / "models", data / "predictions", out)


def render_report(params: Params, job: str, data: Path, out: Path) -> None:
    """Write the report."""
    from mtl.report.render import render

    render(params, data, out)


JOBS: dict[str, Callable[[Params, str, Path, Path], None]] = {
    job.__name__: job for job in (download_source, prepare_dataset, augment_shard, train_run, predict_run, evaluate_runs, render_report)
}
"""Rule and command name to job."""

RESUMABLE = {"train_run"}
"""Jobs that go on from what a killed one left in its folder."""
