"""What a trial reads: tables without test rows, shards made from those, and the models that its settings name.

Each is built once under a fingerprint of its inputs, and shared by all trials with the same fingerprint.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from mtl.augment.shards import augment_shard
from mtl.config import Params
from mtl.data.coded import plain
from mtl.data.schema import Writer, read_parts
from mtl.data.sources import fetch
from mtl.pipeline.fingerprint import FileChecksums, fingerprint
from mtl.pipeline.stages import key_of, sources
from mtl.pipeline.store import Store

PART = 8192  # rows read at a time


class Inputs:
    """The inputs of a study's trials, in a folder whose name holds the fingerprint of code and datasets."""

    def __init__(self, params: Params, data: Path, folder: Path) -> None:
        self._base = params
        self._data = data
        self._checksums = FileChecksums(folder / "checksums")
        self._store = Store(folder / "store", self._checksums)

    def examples(self) -> Path:
        """Folder of the canonical tables, without the rows of the test split.

        Raises:
            DataError: a table is missing or damaged.
        """
        tables = {name: self._data / "examples" / f"{name}.parquet" for name in self._base.datasets}

        def produce(out: Path) -> None:
            for path in tables.values():
                _withhold(path, out / path.name)

        return self._built(["examples", {name: self._checksums.of(path) for name, path in tables.items()}], produce)

    def shards(self, params: Params, raw: Path) -> Path:
        """Folder of the shards of a trial's settings.

        Raises:
            AugmentError: an augmenter broke an invariant.
        """
        examples = self.examples()
        similar = params.encoder.model_dump(include={"source"}, mode="json") if params.augment.min_similarity is not None else None
        inputs = params.augment.model_dump(mode="json", exclude={"share"})

        def produce(out: Path) -> None:
            for dataset in params.datasets:
                for index in range(params.shards_of(dataset)):
                    augment_shard(params, dataset, index, examples, out, raw)

        return self._built(["shards", examples.name, inputs, similar], produce)

    def models(self, params: Params, out: Path) -> None:
        """Link the pretrained models that a trial's settings name into a folder. Models that the project lacks are fetched.

        Raises:
            SourceError: a model cannot be fetched.
        """
        out.mkdir(parents=True, exist_ok=True)
        present = sources(self._base)
        for name in sources(params).keys() - params.datasets.keys():
            same = sources(params)[name] == present.get(name)
            folder = self._data / "raw" / name if same else self._fetched(params, name)
            (out / name).unlink(missing_ok=True)
            (out / name).symlink_to(folder.resolve())

    def _fetched(self, params: Params, name: str) -> Path:
        files = sources(params)[name]

        def produce(out: Path) -> None:
            for part, source in files.items():
                (out / part).mkdir(parents=True, exist_ok=True)
                fetch(source, out / part, progress=True, key=key_of(name, part))

        return self._built(["model", {part: source.model_dump() for part, source in files.items()}], produce)

    def _built(self, inputs: Any, produce: Callable[[Path], None]) -> Path:
        """The folder built for these inputs, now or before."""
        key = fingerprint(inputs)[:32]
        with self._store.lock(key):
            if self._store.files(key) is None:
                produce(self._store.begin(key, resume=False))
                self._store.finish(key)
        return self._store.folder / key


def _withhold(path: Path, out: Path) -> None:
    """Copy a canonical table without its test rows."""
    with Writer(out, pq.read_schema(path)) as file:
        for rows in read_parts(path, PART):
            file.write(plain(rows.filter(pc.not_equal(rows["split"], "test"))))
