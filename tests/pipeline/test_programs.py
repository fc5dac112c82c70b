"""The modes of programs, with a time limit."""

import os
from pathlib import Path

import pytest

from mtl.pipeline import programs


@pytest.fixture
def apertium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a program of this name lies; it is found before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = tmp_path / "apertium"
    path.touch(mode=0o755)
    return path


def test_a_mode_is_found_where_the_program_lists_it(apertium: Path) -> None:
    apertium.write_text("#!/bin/sh\necho en-eo; echo eo-en\n")
    assert programs.installed("apertium")
    assert programs.installed("apertium.en-eo")
    assert not programs.installed("apertium.en-es")
    assert not programs.installed("no-such-program")
    assert not programs.installed("sh.en-eo")


def test_a_program_that_does_not_answer_has_no_modes(apertium: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_SECONDS", 0.2)
    apertium.write_text("#!/bin/sh\nsleep 60 & echo en-eo; wait\n")  # what it started holds its output open
    assert not programs.installed("apertium.en-eo")
    apertium.write_text("#!/bin/sh\necho en-eo; exit 1\n")
    assert not programs.installed("apertium.en-eo")
