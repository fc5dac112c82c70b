"""The pinned versions."""

import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]


def test_pins_suit_the_oldest_python_that_is_allowed() -> None:
    """Else pip only says that versions conflict."""
    allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = allowed.removeprefix(">=") + ".0"
    pins = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    found = {item.name.lower(): item.metadata["Requires-Python"] or "" for item in distributions() if item.name.lower() in pins}
    assert len(found) > 100
    assert [name for name, python in found.items() if not SpecifierSet(python).contains(oldest)] == []
