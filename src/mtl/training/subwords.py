"""Tables as subwords, and vocabularies learnt from them: each made once, by whoever comes first, and shared by all runs and processes.

They lie beside the store of built jobs, each under a fingerprint of what decides it: checksum of the table, columns, tokenizer, code. They
are in no job's key and no stage: a run that makes them anew gets the same subwords, so neither Snakemake nor DVC needs to know of them.
"""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout

from mtl.encoders import SubwordTokenizer
from mtl.encoders.store import Rows, StoredTable, store_rows
from mtl.files import checksum
from mtl.pipeline.fingerprint import FileChecksums, checksum_code, fingerprint, fingerprint_code
from mtl.pipeline.store import Store
from mtl.training.texts import TokenFile, Tokens

CODE = ("encoders/store.py", "encoders/tokenizer.py", "training/subwords.py", "training/texts.py", "data/coded.py", "data/schema.py")

Produce = Callable[[Path], None]


class Subwords:
    """A folder of them; a temporary one, deleted with the object, if none is given."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="mtl-subwords-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        memory = folder / "checksums"
        self._store = Store(folder / "store", FileChecksums(memory))
        self._code = FileChecksums(memory, checksum_code)

    def learnt(self, tokens: Tokens, size: int) -> Path:
        """A folder with the ``tokenizer.json`` learnt from these rows, as an encoder's own download has one.

        Args:
            tokens: of the rows.
            size: see ``SubwordTokenizer.train``.
        """
        masks = [[*self._about(file), hashlib.sha256(np.packbits(file.mask).tobytes()).hexdigest()] for file in tokens.files]
        key = self._key(["vocabulary", masks, size])
        self._make({key: lambda out: SubwordTokenizer.train(tokens.texts(), size).save(out / "tokenizer.json")})
        return self._store.folder / key

    def rows(self, tokenizer: SubwordTokenizer, tokens: Tokens) -> Rows:
        """Rows as subwords.

        Args:
            tokenizer: before markers are added, so that tasks with others use the same files.
            tokens: of the rows.
        """
        own = tokenizer.checksum()
        keys = [self._key(["table", self._about(file), own]) for file in tokens.files]
        self._make({key: _storing(tokenizer, file) for key, file in zip(keys, tokens.files, strict=True)})
        tables = [StoredTable(self._store.folder / key, keep=self) for key in keys]
        return Rows([(table, file.mask) for table, file in zip(tables, tokens.files, strict=True)])

    def _about(self, file: TokenFile) -> list[Any]:
        return [checksum(file.path), file.columns]

    def _key(self, inputs: Any) -> str:
        code = fingerprint_code(CODE, self._code.of)
        self._code.save()
        return fingerprint([inputs, code, version("tokenizers")])[:32]

    def _make(self, wanted: dict[str, Produce]) -> None:
        """Make what is not there: first what no other process is making, so that processes that start together share the work."""
        for wait in (0, -1):
            for key in [key for key in wanted if self._store.files(key) is None]:
                try:
                    with self._store.lock(key).acquire(timeout=wait):
                        if self._store.files(key) is None:
                            wanted[key](self._store.begin(key, resume=False))
                            self._store.finish(key)
                except Timeout:
                    continue


def _storing(tokenizer: SubwordTokenizer, file: TokenFile) -> Produce:
    """What stores all rows of a table, whichever a run uses."""
    whole = Tokens((file._replace(mask=np.ones_like(file.mask)),))
    return lambda out: store_rows(tokenizer, whole.parts(), out)
