"""The jobs of the workflow: rule name to the function that builds one job.

Each gets the settings, the name of the job, a data folder with what it reads, and the folder that it writes into.

Heavy packages are imported by the job that needs them, so that the others start at once.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mtl.config import AugmentMethod, BackTranslate, Params
from mtl.files import existing, write_text
from mtl.names import ACROSS_DATASETS, ShardName
from mtl.pipeline import programs
from mtl.pipeline.stages import ENCODER, MODEL_FILES, START, key_of, sources
from mtl.pipeline.state import MISSING, SUBWORDS
from mtl.progress import warn

if TYPE_CHECKING:
    from mtl.augment.languages.base import Language


def download_source(params: Params, job: str, data: Path, out: Path) -> None:
    """Fetch the sources of a dataset or a model and verify their checksums."""
    from mtl.data.sources import fetch

    for name, source in sources(params)[job].items():
        (out / name).mkdir(parents=True, exist_ok=True)
        fetch(source, out / name, progress=True, key=key_of(job, name))


def prepare_dataset(params: Params, job: str, data: Path, out: Path) -> None:
    """Read, check and split one dataset."""
    from mtl.data.prepare import prepare

    for warning in prepare(params, job, data / "raw" / job, out):
        warn(f"{job}: {warning}")


def check_examples(params: Params, job: str, data: Path, out: Path) -> None:
    """Compare the texts of all datasets, and check that each task has labels to learn and to be scored by."""
    from mtl.data.check import check_examples

    for warning in check_examples(params, data / "examples", out):
        warn(warning)


def augment_shard(params: Params, job: str, data: Path, out: Path) -> None:
    """Augment one shard of one dataset, and write a file beside it for each program that was missing."""
    from mtl.augment.shards import augment_shard, few_kept, language_of, read_counts

    shard = ShardName.parse(job)
    augment_shard(params, shard.dataset, shard.number, data / "examples", out, data / "raw")
    methods = read_counts(out / shard.file)["methods"]
    for name, counts in methods.items():
        if text := few_kept(counts["made"], counts["kept"], counts["dropped"]):
            warn(f"{job}: {name} {text}")
    language = language_of(params, shard.dataset, data / "examples" / f"{shard.dataset}.json")
    without = [params.augment.methods[name] for name, counts in methods.items() if "engine missing" in counts["dropped"]]
    for program in {program for method in without for program in _programs(method, language)}:
        if not programs.installed(program):
            (out / f"{job}{MISSING}{program}").touch()


def _programs(method: AugmentMethod, language: "Language") -> list[str]:
    """The programs that a method uses for texts in a language, by their names in ``mtl.pipeline.programs``."""
    from mtl.augment.apertium import modes

    if not isinstance(method, BackTranslate) or method.engine != "apertium":
        return []
    return [f"apertium.{mode}" for pivot in method.pivots or language.pivots for mode in modes(language.tag, pivot)]


def train_run(params: Params, job: str, data: Path, out: Path) -> None:
    """Train one run of the experiment."""
    from mtl.training.run import train

    if (out / "run.json").exists() and not (out / "checkpoint").exists():  # stopped after all was written
        dismiss()
        return
    run, live = params.runs()[job], Path("live") / job
    source = existing(data / "raw" / ENCODER)
    start = data / "models" / run.start if run.start else existing(data / "raw" / START)
    train(params, run, data / "examples", data / "shards", source, out, progress=True, live=live, subwords=SUBWORDS, start=start)


def dismiss() -> None:
    """Let the other processes of a training run end where the first finds that it is built already."""
    from mtl.training.run import dismiss

    dismiss()


def predict_run(params: Params, job: str, data: Path, out: Path) -> None:
    """Predict the test rows with one trained model."""
    from mtl.evaluation.predictions import predict_run

    predict_run(params, params.runs()[job], data / "models" / job, data / "examples", out)


def card_run(params: Params, job: str, data: Path, out: Path) -> None:
    """Score the predictions of a trained model and write its card."""
    from mtl.evaluation.scores import scores_of
    from mtl.model.card import NAME, card, leaks
    from mtl.pipeline.fingerprint import checksums

    run, model = params.runs()[job], data / "models" / job
    facts, config = (json.loads((model / name).read_text(encoding="utf-8")) for name in ("run.json", "config.json"))
    examples, used = data / "examples", params.used_datasets(run.learned)
    files = [model / name for name in MODEL_FILES] + [examples / f"{name}.parquet" for name in used]
    if run.data == "augmented":
        files += [data / "shards" / shard.file for shard in params.shards_for(run.learned)]
    cards = {name: json.loads((examples / f"{name}.json").read_text(encoding="utf-8")) for name in used}
    across = json.loads((examples / ACROSS_DATASETS).read_text(encoding="utf-8"))
    scores = scores_of(params, run, data / "predictions" / f"{job}.parquet")
    languages = [tag for name in used if (tag := cards[name].get("language", {}).get("tag"))]
    write_text(out / NAME, card(params, run, facts, config, scores, checksums(files), leaks(params, run, cards, across), languages))


def evaluate_runs(params: Params, job: str, data: Path, out: Path) -> None:
    """Score and compare all runs."""
    from mtl.evaluation.results import evaluate

    evaluate(params, data / "models", data / "predictions", out)


def render_report(params: Params, job: str, data: Path, out: Path) -> None:
    """Write the report."""
    from mtl.report.render import render

    render(params, data, out)


JOBS: dict[str, Callable[[Params, str, Path, Path], None]] = {
    job.__name__: job
    for job in (
        download_source,
        prepare_dataset,
        check_examples,
        augment_shard,
        train_run,
        predict_run,
        card_run,
        evaluate_runs,
        render_report,
    )
}
"""Rule and command name to job."""

RESUMABLE = {"train_run"}
"""Jobs that resume from what a killed one left in its folder."""
