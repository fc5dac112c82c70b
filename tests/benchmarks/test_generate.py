"""The benchmark of writing runs on a few rows."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_the_last_line_has_all_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    import generate

    generate.main(["--rows", "4", "--beams", "2", "--length", "3", "--turns", "1", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert min(found[f"{part}_{figure}"] for part in ("training", "decoding") for figure in ("speed", "vs_transformers")) > 0
