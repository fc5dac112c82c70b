"""The benchmark of writing runs on a few rows."""

import json
from pathlib import Path

import pytest

from export.test_writing import bert
from mtl.model import folder as models

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_last_line_has_all_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    import generate

    generate.main(["--rows", "4", "--beams", "2", "--length", "3", "--turns", "1", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert min(found[f"{part}_{figure}"] for part in ("training", "decoding") for figure in ("speed", "vs_transformers")) > 0


def test_a_trained_model_writes_the_texts_of_its_export(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    import generate

    models.save(bert(tiny_bert, width=32), tmp_path, {})
    (tmp_path / "texts.txt").write_text("a dog in Paris\ngreat\n")
    generate.main(["--model", str(tmp_path), "--task", "text", "--file", str(tmp_path / "texts.txt"), "--turns", "1", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["decoding_equal_texts"] == 1
    assert found["decoding_vs_transformers"] > 0
