"""What a result was made of: checksums of sources, of prepared data and of models."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from mtl.config import Params, TransformerEncoder
from mtl.report.inputs import Inputs, Json

NOT_WRITTEN = "none was stated"


def checksums(params: Params, inputs: Inputs) -> list[Json]:
    """Tables of (name, size in bytes, SHA-256). Checksums of sources are those that the settings state and the download checked."""
    sources = [
        {"name": source["url"], "sum": source["sha256"] or NOT_WRITTEN}
        for card in inputs.cards.values()
        for source in card.get("sources", {}).values()
    ]
    if isinstance(params.encoder, TransformerEncoder):
        sources.append({"name": params.encoder.source.url, "sum": params.encoder.source.sha256 or NOT_WRITTEN})
    data = [*inputs.examples.values(), *(path for paths in inputs.shards.values() for path in paths)]
    models = [path for folder in inputs.models.values() for path in sorted(folder.glob("*")) if path.suffix in {".safetensors", ".json"}]
    return [
        {"title": "Sources", "what": "address", "sizes": False, "rows": sources},
        {"title": "Data", "what": "file", "sizes": True, "rows": list(_files(data))},
        {"title": "Models", "what": "file", "sizes": True, "rows": list(_files(models))},
    ]


def _files(paths: Iterable[Path]) -> Iterable[Json]:
    for path in paths:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        yield {"name": f"{path.parent.name}/{path.name}", "size": path.stat().st_size, "sum": found}
