"""Chains of processes: none may hang, and no text may be lost or mixed up."""

import stat
import time
from pathlib import Path

import pytest

from mtl.augment import apertium

needs_apertium = pytest.mark.skipif(apertium.available(["eo", "es"]) is not None, reason="Apertium is not installed")

# Stands for a translator that stalls on one text, fails on another and loses a third; else it answers in capitals.
STALLING = """#!/bin/bash
input=$(cat; echo x)
case $input in *stall*) sleep 60 ;; *fail*) exit 1 ;; *lose*) exit 0 ;; esac
printf %s "${input%x}" | tr a-z A-Z
"""


@pytest.fixture
def stalling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "apertium"
    script.write_text(STALLING)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.usefixtures("stalling")
@pytest.mark.parametrize("bad", ["stall", "fail", "lose"])
def test_only_the_text_that_breaks_the_chain_is_lost(bad: str):
    start = time.monotonic()
    found = apertium.round_trip(["one", "two", bad, "four.", "five"], "eo", seconds=1)
    assert found == ["ONE", "TWO", None, "FOUR.", "FIVE"]
    assert time.monotonic() - start < 30


@pytest.mark.usefixtures("stalling")
def test_texts_that_are_not_plain_are_not_sent():
    assert apertium.round_trip(["one", "a^b", "é", "a\nb", "[x]", ""], "es", seconds=5) == ["ONE", None, None, None, None, ""]


def test_a_missing_apertium_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = apertium.available(["eo"])
    assert found is not None
    assert "apt-get install apertium apertium-eo-en" in found
    assert "\n" not in found


@needs_apertium
@pytest.mark.parametrize("pivot", ["eo", "es"])
def test_real_round_trips_keep_order_placeholders_and_full_stops(pivot: str):
    texts = [f"I saw Qzbaq with {number} dogs in the garden." for number in range(20)]
    texts += ["What a day", "No biscuit!", "", "...", 'He said "go" (twice).', "a - b -- c", "x % y & z", "Why?!"]
    found = apertium.round_trip(texts, pivot)
    assert None not in found
    for number, answer in enumerate(found[:20]):
        assert answer is not None
        assert answer.count("Qzbaq") == 1
        assert f" {number} " in answer
        assert answer.endswith(".")
    assert apertium.round_trip(texts, pivot) == found
