"""Fingerprints change with what decides the result, and with nothing else."""

import json
import os
import time
from pathlib import Path

import pytest

from mtl.pipeline.fingerprint import FileChecksums, fingerprint_code, significant

BASE = '''
"""Docstring."""
import math

def area(radius: float) -> float:
    """Of a circle."""
    return math.pi * radius**2
'''


@pytest.mark.parametrize(
    "edited",
    [
        BASE.replace("    return", "    # by Archimedes\n\n    return"),
        BASE.replace("Of a circle.", "The area of a circle."),
        BASE.replace('"""Docstring."""', ""),
        BASE.replace("radius**2", "radius**2  # squared"),
    ],
)
def test_comments_docstrings_and_space_do_not_count(edited: str) -> None:
    assert edited != BASE
    assert significant(edited) == significant(BASE)


@pytest.mark.parametrize(
    "edited",
    [
        BASE.replace("**2", "**3"),
        BASE.replace("    return", "    'used' + ''\n    return"),
        BASE.replace("    return math", "    if radius:\n        return math"),
        BASE.replace("math.pi", '"""math.pi"""'),
    ],
)
def test_code_counts(edited: str) -> None:
    assert significant(edited) != significant(BASE)


def test_indentation_counts() -> None:
    assert significant("if a:\n    b\n    c\n") != significant("if a:\n    b\nc\n")


def test_code_of_other_packages_does_not_count() -> None:
    assert fingerprint_code(["errors.py"]) != fingerprint_code(["seeds.py"])
    assert fingerprint_code(["pipeline"]) == fingerprint_code(["pipeline"])


def test_file_checksums_notice_a_change_and_survive_a_damaged_memory(tmp_path: Path) -> None:
    file, memory = tmp_path / "a", tmp_path / "checksums"
    file.write_text("one")
    checksums = FileChecksums(memory)
    first = checksums.of(file)
    checksums.save()
    (known,) = memory.iterdir()
    assert json.loads(known.read_text())["files"]["a"][3] == first
    file.write_text("two")
    assert FileChecksums(memory).of(file) != first
    for damage in ("{", "[]", '{"files": []}', '{"files": {"a": 1}}'):
        known.write_text(damage)
        assert FileChecksums(memory).of(file) != first
    assert FileChecksums(memory).of(tmp_path / "missing") is None


def test_a_file_that_rotted_is_noticed_when_it_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, memory = tmp_path / "a", tmp_path / "checksums"
    file.write_text("one")
    checksums = FileChecksums(memory)
    first, status = checksums.of(file), file.stat()
    checksums.save()
    file.write_text("rot")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FileChecksums(memory).of(file) == first
    day = time.time() + 31 * 86_400
    monkeypatch.setattr("mtl.pipeline.fingerprint.time.time", lambda: day)
    monkeypatch.setattr("mtl.pipeline.fingerprint.READ_AGAIN", 2)
    assert FileChecksums(memory).of(file) == first  # three bytes are too many at a time
    monkeypatch.setattr("mtl.pipeline.fingerprint.READ_AGAIN", 3)
    assert FileChecksums(memory).of(file) != first
