"""The examples of the guide run."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.pages import ROOT, blocks

pytest.importorskip("onnxruntime", reason="needs the extra export")
pytest.importorskip("onnxscript", reason="needs the extra export")


def test_the_python_of_the_guide_runs(graph: Path, make_model: Callable[..., Path], tmp_path: Path) -> None:
    from mtl.export.hf import export

    export(make_model(), tmp_path / "joint-hf", ["mood", "names"])
    for ours, guide in (("mood", "sentiment"), ("names", "entities")):
        (tmp_path / "joint-hf" / ours).rename(tmp_path / "joint-hf" / guide)
    (tmp_path / "joint-onnx").symlink_to(graph)
    namespace: dict[str, Any] = {}
    with contextlib.chdir(tmp_path):
        for block in blocks(ROOT / "docs/how-to/export.md", "python"):
            if "EncoderDecoderModel" not in block.code:  # tests/export/test_writing.py runs that one
                exec(block.code, namespace)
    assert [row["mood"]["label"] in ("bad", "good") for row in namespace["predictions"]] == [True, True]
    assert namespace["sentiment"]("a friend")[0]["label"] in ("bad", "good")
