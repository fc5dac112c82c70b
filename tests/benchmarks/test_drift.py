"""The benchmark of drift tells a change of domain from none, on small files."""

import json
from pathlib import Path
from random import Random

import pytest

NEWS, TWEETS = ["Acme", "Corp.", "said", "on", "Monday", "shares", "fell", "in", "London"], ["lol", "omg", "u", "luv", "@ann", ":)"]


def conll(path: Path, words: list[str], separator: str, rows: int) -> Path:
    random = Random(path.name)
    sentences = [[random.choice(words) for _ in range(random.randint(4, 9))] for _ in range(rows)]
    lines = [[f"{word}{separator}{'B-place' if word == 'London' else 'O'}" for word in sentence] for sentence in sentences]
    path.write_text("\n\n".join("\n".join(line) for line in lines) + "\n")
    return path


def test_the_last_line_has_all_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import drift

    news, tweets = conll(tmp_path / "news", NEWS, " ", 250), conll(tmp_path / "tweets", [*TWEETS, "London"], "\t", 150)
    drift.main([str(news), "--tweets", str(tweets), "--draws", "3", "--rows", "40", "--reference", "60", "--quick", "--json"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["detected"] == 1.0
    assert figures["false_alarms"] < 1
    assert set(figures["by_test"]["detected"]) == {"embeddings", "predictions", "unknown subwords"}
