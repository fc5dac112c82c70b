"""Each example's params file runs the whole workflow, on a small sample in the published form and with a tiny encoder."""

import json
from pathlib import Path

import pytest

from mtl.data.sources import fingerprint
from workflow.make_project import ROOT, Project, entities, ratings

pytestmark = pytest.mark.workflow


def source(path: Path) -> dict[str, str]:
    return {"url": str(path), "sha256": fingerprint(path)}


def conll_sst2(folder: Path) -> dict[str, object]:
    splits: dict[str, dict[str, object]] = {"conll": {}, "sst2": {}}
    for seed, split in enumerate(("train", "test")):
        lines = [line and line.replace(" ", " _ _ ") for line in entities(120, seed).split("\n")]
        (folder / f"{split}.txt").write_text("-DOCSTART- -X- -X- O\n\n" + "\n".join(lines))
        rated = [line.split(",", 1) for line in ratings(120, seed).splitlines()[1:]]
        (folder / f"{split}.sst").write_text("".join(f"{int(float(rating) > 0)} {text[1:-1]}\n" for rating, text in rated))
        splits["conll"][split], splits["sst2"][split] = source(folder / f"{split}.txt"), source(folder / f"{split}.sst")
    return {name: {"source": sources} for name, sources in splits.items()}


def intent_slots(folder: Path) -> dict[str, object]:
    sources = {}
    for seed, split in enumerate(("train", "test")):
        rows = [[line.split(" ") for line in sentence.split("\n")] for sentence in entities(120, seed).strip().split("\n\n")]
        (folder / split).mkdir()
        (folder / split / "seq.in").write_text("".join(" ".join(token for token, _ in row) + " \n" for row in rows))
        (folder / split / "seq.out").write_text("".join(" ".join(tag for _, tag in row) + " \n" for row in rows))
        (folder / split / "label").write_text("".join(("See" if len(row) % 2 else "Visit") + "\n" for row in rows))
        sources[split] = source(folder / split)
    return {"snips": {"source": sources}}


def reviews(folder: Path) -> dict[str, object]:
    datasets = {}
    for seed, name in enumerate(("films", "products")):
        rated = [line.split(",", 1) for line in ratings(150, seed).splitlines()[1:]]
        rows = [f"{number}\t{0.0 if number % 5 == 0 else rating}\t{text[1:-1]}\r\n" for number, (rating, text) in enumerate(rated)]
        (folder / f"{name}.txt").write_text("".join(rows))
        datasets[name] = {"source": source(folder / f"{name}.txt")}
    return datasets


@pytest.mark.parametrize("sample", [conll_sst2, intent_slots, reviews], ids=lambda sample: sample.__name__)
def test_an_example_runs_on_a_sample(sample, tiny_bert: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    project = Project.make(tmp_path / "project")
    (tmp_path / "sample").mkdir()
    datasets = sample(tmp_path / "sample")
    small: dict[str, object] = {"train": {"epochs": 1, "eval_every": 10}, "evaluate": {"resamples": 100}, "augment": {"shards": 1}}
    if sample is not reviews:
        small["encoder"] = {"source": source(tiny_bert), "max_length": 48}
    overrides = [f"{section}={json.dumps(value)}" for section, value in {"datasets": datasets, **small}.items()]
    project.run("snakemake", "--cores", "2", "--configfile", str(ROOT / f"examples/{sample.__name__}/params.yaml"), "--config", *overrides)
    metrics = json.loads((project.folder / "data/results/metrics.json").read_text())
    compared = sample is not intent_slots  # whose tasks alone have other data than the joint run of the headline
    assert ("delta_m" in metrics, len(metrics)) == (compared, 3 + compared)  # the mean, and two tasks
    assert (project.folder / "data/report/report.html").stat().st_size > 10_000


def test_every_example_is_run() -> None:
    assert {path.name for path in (ROOT / "examples").iterdir()} == {"conll_sst2", "intent_slots", "reviews"}
