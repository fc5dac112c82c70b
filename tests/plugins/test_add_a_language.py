"""The guide to a language of one's own: its code blocks are a package whose language augments a shard."""

import gzip
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from augment.rows import tokens
from docs.pages import ROOT, blocks
from mtl import config, plugins
from mtl.augment.languages import base
from mtl.augment.shards import augment_shard, read_counts
from mtl.data.schema import read, schema, write
from mtl.errors import ParamsError
from mtl.names import ShardName

PAGE = ROOT / "docs/how-to/add-a-language.md"
CODE, ENTRY, SETTINGS = (next(blocks(PAGE, language)).code for language in ("python", "toml", "yaml"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's package on the path, with the entry points that an installer would write."""
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package/italian.py").write_text(CODE, encoding="utf-8")
    metadata = site / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    ((group, points),) = tomllib.loads(ENTRY)["project"]["entry-points"].items()
    (metadata / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()))
    monkeypatch.syspath_prepend(site)
    _forget()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]
    _forget()


def _forget() -> None:
    plugins._outside.cache_clear()
    base.of.cache_clear()


def content() -> dict[str, Any]:
    sections: dict[str, Any] = YAML(typ="safe").load(SETTINGS)
    return {
        "seed": 1,
        **sections,
        "tasks": {"t": {"type": "classification", "label": "sentiment"}},
        "encoder": {"type": "cnn"},
        "experiment": {"joint": ["augmented"], "single_task": []},
    }


def test_the_language_of_the_page_augments_a_shard(installed: None, tmp_path: Path) -> None:
    params = config.parse(content())
    row = {"id": "r", "split": "train", "sentiment": "a", **tokens(["il", "cane", "grande", "non", "dorme", "mai", "felice"])}
    write(pa.Table.from_pylist([row], schema=schema({"sentiment": "class"})), tmp_path / "recensioni.parquet")
    (tmp_path / "model.synonym/tables.it").mkdir(parents=True)
    (tmp_path / "model.synonym/tables.it/sinonimi.tsv.gz").write_bytes(gzip.compress(b"felice\tlieto,allegre\nnon\tmica\n"))
    shards = [augment_shard(params, "recensioni", number, tmp_path, tmp_path, tmp_path) for number in range(2)]
    assert len(shards) == 2
    variants = [row for number in range(2) for row in read(tmp_path / ShardName("recensioni", number, 2).file).to_pylist()]
    made = {row["augmenter"]: row["tokens"] for row in variants}
    assert made.keys() == {"swap", "typo", "synonym"}
    assert made["synonym"] == ["il", "cane", "grande", "non", "dorme", "mai", "allegre"] or made["synonym"][-1] == "lieto"
    for words in made.values():
        assert (words[3], words[5]) == ("non", "mai")
    assert read_counts(tmp_path / ShardName("recensioni", 0, 2).file)["methods"].keys() == made.keys()
    assert plugins.outside_packages(plugins.LANGUAGES).keys() == {"my_package"}


def test_without_the_package_the_methods_do_not_know_the_language() -> None:
    with pytest.raises(ParamsError, match=r"augment\.methods\.swap: swap does not know it, the language of 'recensioni'"):
        config.parse(content())
