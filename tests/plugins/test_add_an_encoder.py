"""The guide to an encoder of one's own: its code blocks are a package that a run trains with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mtl
from mtl import plugins
from mtl.config import Params, parse
from mtl.errors import ParamsError
from mtl.training.run import train
from plugins.test_add_a_task import ROOT, files
from training.conftest import _one_thread, make_settings, project

__all__ = ["_one_thread", "make_settings", "project"]

PAGE = ROOT / "docs/how-to/add-an-encoder.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's package on the path, with the entry points that an installer would write."""
    content = files(PAGE)
    folder = tmp_path / "site"
    metadata = folder / "mtl_gated-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    for name in ("mtl_gated.py", "mtl_gated_encoder.py"):
        (folder / name).write_text(content[name])
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mtl-gated\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[mtl.encoders]\ngated = mtl_gated:GatedEncoderSettings\n")
    assert 'gated = "mtl_gated:GatedEncoderSettings"' in content["pyproject.toml"]
    monkeypatch.syspath_prepend(folder)
    plugins._outside.cache_clear()
    yield folder
    plugins._outside.cache_clear()


def test_the_encoder_of_the_page_trains_is_saved_and_predicts(
    installed: Path, project: Path, make_settings: Callable[..., Params], tmp_path: Path
) -> None:
    content: dict[str, Any] = make_settings(epochs=2).model_dump(mode="json")
    content["encoder"] = {"type": "gated", "width": 16, "vocabulary": 300, "kernel": 3, "layers": 1, "max_length": 32}
    params = parse(content)
    out = tmp_path / "model"
    out.mkdir()
    train(params, params.runs()["joint-plain-1"], project / "examples", project / "shards", None, out)
    model = mtl.load(out)
    (prediction,) = model.predict(["we saw the lovely film"], tasks=["mood"])
    assert prediction["mood"]["label"] in ("good", "bad")
    assert set(plugins.outside_code(params)) == {"mtl_gated", "mtl_gated_encoder"}
    before = plugins.outside_code(params)
    (installed / "mtl_gated_encoder.py").write_text((installed / "mtl_gated_encoder.py").read_text() + "VERSION = 2\n")
    assert plugins.outside_code(params) != before


def test_misspelt_keys_and_unknown_types_are_told(installed: Path, make_settings: Callable[..., Params]) -> None:
    content: dict[str, Any] = make_settings().model_dump(mode="json")
    with pytest.raises(ParamsError, match=r"encoder\.kernels: unknown key"):
        parse({**content, "encoder": {"type": "gated", "kernels": 3}})
    with pytest.raises(ParamsError, match=r"'gate' is unknown; choose from: .*'gated'"):
        parse({**content, "encoder": {"type": "gate"}})
