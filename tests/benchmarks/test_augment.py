"""The benchmark of augmentation runs, and says what it could not run."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDNET = Path("/usr/share/wordnet/data.noun")


@pytest.mark.parametrize("key", ["synonym_vs_nlpaug", "tagged_synonym_vs_nlpaug"])
def test_every_row_is_measured_or_its_lack_is_said(key: str) -> None:
    row = "tagged" if key.startswith("tagged") else "synonym"
    command = [sys.executable, "benchmarks/augment.py", "--quick", "--json", "--only", row]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    ratio = json.loads(lines[-1])[key]
    if WORDNET.exists() and importlib.util.find_spec("nltk"):
        assert ratio > 1
    else:
        assert ratio is None
        assert any(line.startswith(key) and "not run: " in line for line in lines)
