"""Chains of processes: none may hang, and no text may be lost or mixed up."""

import signal
import stat
import time
from pathlib import Path
from types import FrameType

import pytest

from mtl.augment import apertium

needs_apertium = pytest.mark.skipif(apertium.available("en", ["eo", "es"]) is not None, reason="Apertium is not installed")

# Stands for a translator that stalls on one text, fails on another and loses a third; else its output is in capitals. It writes down how
# many texts each call has, and the processes that it starts: one that goes on in the background, and one that ends before its child.
STALLING = """#!/bin/bash
cd "$(dirname "$0")"
input=$(cat; echo x)
grep -o '\\]\\[' <<< "$input" | wc -l >> calls
stall() { sleep 60 & echo $! $$ >> processes; sleep 60; }
case $input in
    *hiccup*) [ -e hiccup ] || { touch hiccup; stall; } ;;
    *leave*) (sleep 60 & echo $! >> processes); exit 0 ;;
    *stall*) stall ;;
    *fail*) exit 1 ;;
    *lose*) exit 0 ;;
esac
printf %s "${input%x}" | tr a-z A-Z
"""


def put(script: Path, content: str) -> None:
    script.write_text(content)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def stalling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    put(tmp_path / "apertium", STALLING)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def alive(process: str) -> bool:
    """Whether a process runs; one that has ended may still wait for its parent to take notice."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("bad", ["stall", "leave", "fail", "lose"])
def test_only_the_text_that_breaks_the_chain_is_lost(bad: str, stalling: Path):
    start = time.monotonic()
    outputs = apertium.round_trip(["one", "two", bad, "four.", "five"], "en", "eo", seconds=1)
    assert outputs == ["ONE", "TWO", None, "FOUR.", "FIVE"]
    assert time.monotonic() - start < 30
    # tried twice as a whole, then in halves: [one two] there and back, [stall four. five], [stall] alone, the others there and back
    calls = [count for count in (stalling / "calls").read_text().split() if count != "0"]  # of a lost output there is nothing to send back
    assert calls == ["5", "5", "2", "2", "3", "1", "2", "2"]
    processes = (stalling / "processes").read_text().split() if bad in ("stall", "leave") else []
    assert len(processes) == {"stall": 8, "leave": 4}.get(bad, 0)
    assert not any(map(alive, processes))


def test_a_chunk_that_stalls_once_loses_nothing(stalling: Path):
    assert apertium.round_trip(["one", "hiccup", "three"], "en", "es", seconds=1) == ["ONE", "HICCUP", "THREE"]
    assert (stalling / "calls").read_text().split() == ["0", "3", "3", "3"]  # the list of modes, the chunk that stalls, there and back
    assert not any(map(alive, (stalling / "processes").read_text().split()))


def test_an_interrupt_ends_the_chain(stalling: Path):
    started = stalling / "processes"

    def interrupt(number: int, frame: FrameType | None) -> None:
        if started.exists() and len(started.read_text().split()) == 2:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            apertium.round_trip(["stall"], "en", "eo", seconds=60)
    finally:
        signal.signal(signal.SIGALRM, before)
    processes = started.read_text().split()
    deadline = time.monotonic() + 20  # a killed process ends when it gets its turn
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, processes))


@pytest.mark.usefixtures("stalling")
def test_texts_that_are_not_plain_are_not_sent():
    assert apertium.round_trip(["one", "a^b", "é", "a\nb", "[x]", ""], "en", "es", seconds=5) == ["ONE", None, "é", None, None, ""]


def test_a_missing_apertium_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = apertium.available("en", ["eo"])
    assert missing is not None
    assert "apt-get install apertium apertium-eo-en" in missing
    assert "\n" not in missing


def test_an_incomplete_apertium_says_what_is_missing_and_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path / "apertium", "#!/bin/sh\necho '  en-eo'; echo '  eo-en'; echo '  spa-eng'\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert apertium.available("en", ["eo"]) is None
    missing = apertium.available("en", ["eo", "es"])
    assert missing is not None
    assert "pivot es lacks en-es;" in missing
    assert "apt-get install" in missing
    assert missing.endswith("there: eo")
    assert "\n" not in missing


def test_modes_are_named_by_the_tags_of_their_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path / "apertium", "#!/bin/sh\necho '  spa-cat'; echo '  cat-spa'; echo '  es-pt'; echo '  spa-cat_valencia'; echo eng-spa\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert apertium.installed("es-MX") == ["ca"]
    assert apertium.installed("ca") == ["es"]
    assert apertium.available("spa", ["cat"]) is None
    assert "pivot pt lacks pt-es;" in (apertium.available("es", ["pt"]) or "")
    assert "the package with es-pt, if there is one" in (apertium.available("es", ["pt"]) or "")


@needs_apertium
@pytest.mark.parametrize("pivot", ["eo", "es"])
def test_real_round_trips_keep_order_placeholders_and_full_stops(pivot: str):
    texts = [f"I saw Qzbaq with {number} dogs in the garden." for number in range(20)]
    texts += ["What a day", "No biscuit!", "", "...", 'He said "go" (twice).', "a - b -- c", "x % y & z", "Why?!"]
    outputs = apertium.round_trip(texts, "en", pivot)
    assert None not in outputs
    for number, output in enumerate(outputs[:20]):
        assert output is not None
        assert output.count("Qzbaq") == 1
        assert f" {number} " in output
        assert output.endswith(".")
    assert apertium.round_trip(texts, "en", pivot) == outputs
