"""The report lists likely wrong labels, and holds the files to download."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mtl.report import charts, labels
from mtl.report.render import environment

HOSTILE = '<script>alert("x")</script>'


def issue(**about: Any) -> dict[str, Any]:
    plain = {
        "task": "mood",
        "dataset": "texts",
        "id": "all-1",
        "text": HOSTILE,
        "decision": "",
        "token": "",
        "label": "bad",
        "suggested": "good",
    }
    return plain | {"label_confidence": 0.02, "confidence": 0.98} | about


@pytest.fixture
def section(tmp_path: Path) -> Any:
    (tmp_path / "issues.csv").write_text("id\nall-1\n")
    (tmp_path / "issues.jsonl").write_text('{"id": "all-1"}\n')
    tasks = {"mood": {"labels": 90, "issues": [issue()] * 300}, "names": {"labels": 7, "issues": [issue(token="Oslo")]}}
    return labels.section({"folds": 5, "tasks": tasks}, tmp_path)


def test_it_says_how_many_and_shows_the_first(section: Any) -> None:
    assert section["finding"] == "Likely wrong: mood: 300 labels of 90 labels; names: 1 label of 7 labels."
    mood, names = section["tables"]
    assert len(mood.frame) == labels.LISTED
    assert mood.note == "200 of 300 issues, most likely first"
    assert "token" not in mood.frame
    assert "token" in names.frame


def test_the_page_holds_the_files(section: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "bundle", str)  # no chart here
    page = environment().from_string('{% from "blocks.html" import table %}{% include "labels.html" %}').render(labels=section)
    assert HOSTILE not in page
    for name, content in (("issues.csv", b"id\nall-1\n"), ("issues.jsonl", b'{"id": "all-1"}\n')):
        address = page.partition(f'<a download="{name}" href="')[2].partition('"')[0]
        assert base64.b64decode(address.partition("base64,")[2]) == content


def test_a_large_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "issues.csv").write_text("id\nall-1\n")
    monkeypatch.setattr(labels, "EMBEDDED", 3)
    found = labels.section(json.loads('{"folds": 5, "tasks": {}}'), tmp_path)
    assert found is not None
    assert found["downloads"] == [labels.Download(str(tmp_path / "issues.csv"), "")]


def test_without_an_audit_there_is_no_section(tmp_path: Path) -> None:
    assert labels.section({}, tmp_path) is None
