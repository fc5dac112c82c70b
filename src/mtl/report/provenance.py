"""Checksums of sources, prepared data and models."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mtl.config import Params, PretrainedEncoder
from mtl.files import checksum
from mtl.report.blocks import Table
from mtl.report.inputs import Inputs
from mtl.report.text import size

NOT_STATED = "not stated"


def checksums(params: Params, inputs: Inputs) -> list[Table]:
    """SHA-256 of sources, data and models. Those of sources are stated in the settings; the download checked them."""
    sources = [(source["url"], source["sha256"]) for card in inputs.cards.values() for source in card.get("sources", {}).values()]
    if isinstance(params.encoder, PretrainedEncoder):
        sources += [(source.url, source.sha256) for source in filter(None, (params.encoder.source, params.encoder.start))]
    data = [*inputs.examples.values(), *(path for paths in inputs.shards.values() for path in paths)]
    models = [path for folder in inputs.models.values() for path in sorted(folder.glob("*")) if path.suffix in {".safetensors", ".json"}]
    stated = pd.DataFrame([(url, sha256 or NOT_STATED) for url, sha256 in sources], columns=["address", "SHA-256"])
    return [Table("Sources", "", stated, style="checksums"), _files("Data", data), _files("Models", models)]


def _files(title: str, paths: Sequence[Path]) -> Table:
    rows = [(f"{path.parent.name}/{path.name}", path.stat().st_size, checksum(path)) for path in paths]
    return Table(title, "", pd.DataFrame(rows, columns=["file", "size", "SHA-256"]), {"size": size}, style="checksums")
