"""The benchmark of transfer on a few rows, with a small network."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mtl.data import schema

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def transfer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import transfer

    torch.set_num_threads(1)
    small = {name: control._replace(rows=(20, 10, 30)) for name, control in transfer.CONTROLS.items()}
    monkeypatch.setattr(transfer, "CONTROLS", small)
    monkeypatch.setattr(transfer, "OTHER_ROWS", (40, 10, 10))
    return transfer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files in the forms of the public sets."""
    for name, rows in {"crossner_ai/train.txt": 20, "crossner_ai/dev.txt": 60, "conll2003/train.txt": 60}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        blocks = "\n\n".join(f"{Path(name).stem} O\nword{i} O\nParis B-LOC" for i in range(rows))
        (tmp_path / name).write_text(f"-DOCSTART- -X- O\n\n{blocks}")
    for name, label in (("customer_reviews/two_thirds.txt", "{}"), ("sst2/train.txt", "{}"), ("trec/train.txt", "DESC:{}")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        lines = [f"{label.format(i % 2)} a {'good' if i % 2 else 'bad'} thing number{i}" for i in range(80)]
        (tmp_path / name).write_text("\n".join(lines))
    return tmp_path


def test_a_split_of_the_publisher_stays_and_classes_are_the_coarse_ones(transfer: ModuleType, data: Path) -> None:
    control = transfer.CONTROLS["crossner_ai"]
    transfer.write("target", [data / file for file in control.files], "tags", control.rows, 0, data)
    rows = schema.read(data / "target.parquet").to_pylist()
    assert [sum(row["split"] == split for row in rows) for split in ("train", "validation", "test")] == [20, 10, 30]
    assert {(row["split"] == "train", row["tokens"][0]) for row in rows} == {(True, "train"), (False, "dev")}
    assert {row["label"] for row in transfer.read(data / "trec/train.txt", "class")} == {"DESC"}


def test_figures_are_printed_and_finished_runs_are_skipped(transfer: ModuleType, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(data), "--work", str(data / "work"), "--seeds", "2", "--epochs", "1", "--json"]
    assert transfer.main([*options, "--controls", "customer_reviews"]) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert figures.keys() == {"seeds", "replications", "gain_customer_reviews", "interval_low_customer_reviews"}
    assert err.count("is done") == 4
    assert transfer.main([*options, "--controls", "customer_reviews"]) == 0
    again, err = capsys.readouterr()
    assert (again, err.count("is done")) == (out, 0)
