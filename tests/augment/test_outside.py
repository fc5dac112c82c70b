"""An augmenter of an outside package: the example of ``docs/how-to/add-an-augmenter.md``, installed and used as a reader would."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from docs.pages import ROOT, blocks
from mtl import config, plugins
from mtl.augment.shards import augment_shard, read_counts
from mtl.data.schema import read, write
from mtl.errors import AugmentError, ParamsError
from mtl.names import ShardName

from .test_fields import SCHEMA, relation, row, settings_of

PAGE = ROOT / "docs/how-to/add-an-augmenter.md"
CODE, ENTRY, SETTINGS = (next(blocks(PAGE, language)).code for language in ("python", "toml", "yaml"))
METHODS = YAML(typ="safe").load(SETTINGS)["augment"]["methods"]


def install(folder: Path, code: str = CODE) -> None:
    """What pip leaves of a package: its modules, and a folder of metadata beside them."""
    (folder / "my_package").mkdir(parents=True)
    (folder / "my_package/lowercase.py").write_text(code)
    metadata = folder / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    ((group, points),) = tomllib.loads(ENTRY)["project"]["entry-points"].items()
    (metadata / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages."""
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins._outside.cache_clear()
    yield tmp_path / "site"
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]
    plugins._outside.cache_clear()


def shard(folder: Path, methods: dict[str, Any]) -> list[dict[str, Any]]:
    words = ["Ann", "SAW", "The", "BIG", "Dog", "In", "THE", "Garden"]
    parts = [{"start": 0, "end": 1, "type": "person"}]
    write(pa.Table.from_pylist([row(0, words, words, parts=parts, link=relation((4, 5), (7, 8)))], schema=SCHEMA), folder / "d.parquet")
    augment_shard(settings_of(methods), "d", 0, folder, folder)
    variants: list[dict[str, Any]] = read(folder / ShardName("d", 0, 1).file).to_pylist()
    return variants


def test_the_example_works_from_the_settings_to_the_shard(site: Path, tmp_path: Path):
    install(site)
    method = settings_of(METHODS).augment.methods["lowercase"]
    assert (method.type, method.copies, type(method).__module__) == ("lowercase", 2, "my_package.lowercase")
    assert config.parse(config.read_yaml(_dumped(tmp_path, settings_of(METHODS)))) == settings_of(METHODS)
    variants = shard(tmp_path, {"lowercase": METHODS["lowercase"] | {"rate": 1.0, "copies": 1}})
    (variant,) = variants
    assert variant["tokens"] == ["Ann", "saw", "the", "big", "dog", "in", "the", "garden"]
    assert variant["context.tokens"] == ["ann", "saw", "the", "big", "Dog", "in", "the", "Garden"]
    assert (variant["augmenter"], variant["id"]) == ("lowercase", "r0~lowercase~0")
    assert variant["link"] == relation((4, 5), (7, 8))
    assert read_counts(tmp_path / ShardName("d", 0, 1).file)["methods"]["lowercase"]["kept"] == 1
    assert len(shard(tmp_path, METHODS)) == 2


def _dumped(folder: Path, params: config.Params) -> Path:
    (folder / "params.yaml").write_text(config.dump(params))
    return folder / "params.yaml"


BROKEN = {
    "entities": ("row.outside()", "range(len(tokens))", "r0~lowercase~0: the entities of parts are not those of its parent"),
    "no table": ("    numbers = 1\n", "    def augment(self, rows):\n        return rows\n", "does not return a table of variants"),
    "too few": (
        "    numbers = 1\n",
        "    numbers = 1\n\n    def augment(self, rows):\n        return super().augment(rows).slice(1)\n",
        "lowercase: LowercaseAugmenter does not return one variant for each row and copy",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=BROKEN)
def test_a_wrong_one_is_refused(old: str, new: str, message: str, site: Path, tmp_path: Path):
    assert old in CODE
    install(site, CODE.replace(old, new))
    with pytest.raises(AugmentError, match=message):
        shard(tmp_path, {"lowercase": {"type": "lowercase", "rate": 1.0}})


def test_its_settings_are_checked(site: Path):
    with pytest.raises(ParamsError, match="'lowercase' is unknown; choose from"):
        settings_of(METHODS)
    install(site)
    plugins._outside.cache_clear()
    with pytest.raises(ParamsError, match=r"augment.methods.lowercase.rat: unknown key"):
        settings_of({"lowercase": {"type": "lowercase", "rat": 1}})
