"""The samples for a person to judge: the requested number, the same each time, marked so that the original can be read from them."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mtl.data import schema

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    import augment_samples

    return augment_samples


def test_rows_are_sampled_from_all_datasets_and_name_what_changed(joint_project: Path) -> None:
    command = [sys.executable, str(FOLDER / "augment_samples.py"), f"--data={joint_project}", f"--params={joint_project / 'params.json'}"]
    command += ["--rows", "6", "--only", "typo", "label_token_replace"]
    first, again = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == again
    typo, of_tags = first.split("### ")[1:]
    assert typo.startswith("`typo`")
    assert len(re.findall(r"^\| \d+ \| .* \| \|$", typo, flags=re.MULTILINE)) == 6
    tables = [schema.read(joint_project / f"examples/{name}.parquet", ["tokens"])["tokens"].to_pylist() for name in ("reviews", "places")]
    reviews, places = ({" ".join(tokens) for tokens in table} for table in tables)
    rows = re.findall(r"^\| \d+ \| (.*) \| \|$", typo + of_tags, flags=re.MULTILINE)
    originals = [" ".join(re.sub(r"\[(.*?) →.*?\]", r"\1", row).split()) for row in rows]
    assert set(originals[:3]) <= reviews
    assert set(originals[3:]) <= places


def test_marks_and_escapes(samples: ModuleType) -> None:
    assert samples.marked("a b c d", "a x c") == "a [b → **x**] c [d →]"
    assert samples.marked("a", "a [b]|*") == r"a [ → **\[b\]\|\***]"
