"""Encoded rows in files that are mapped, not read: 3 to 5 bytes a piece that cost no memory until a row is looked at."""

import hashlib
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtl.encoders.tokenizer import Encoded, PieceTokenizer


@dataclass(frozen=True, slots=True)
class Stored:
    """Encoded rows, and what is known of them without another look."""

    encoded: Encoded
    used: npt.NDArray[np.int64]
    """The pieces that occur, sorted."""
    digest: str
    """sha256 of all rows."""


def encode_stored(tokenizer: PieceTokenizer, parts: Iterable[pa.Array], max_length: int, folder: Path | None = None) -> Stored:
    """Encode rows part by part; see ``PieceTokenizer.encode``.

    Args:
        tokenizer: of the encoder.
        parts: lists of strings, some rows at a time.
        max_length: in pieces.
        folder: where the files are, which have no name and go with the process; that of the system if not given.
    """
    occurs = np.zeros(tokenizer.size, dtype=np.bool_)
    number = np.uint16 if tokenizer.size <= 2**16 else np.int32
    digest, lengths, lost = hashlib.sha256(), [], []
    with tempfile.TemporaryFile(dir=folder) as pieces, tempfile.TemporaryFile(dir=folder) as shapes:
        for part in parts:
            tokens = part.flatten().dictionary_encode()
            codes, counts = (np.asarray(array, dtype=np.int64) for array in (tokens.indices, pc.list_value_length(part)))
            encoded = tokenizer.encode_distinct(tokens.dictionary.to_pylist(), codes, counts, max_length)
            occurs[encoded.pieces] = True
            lengths.append(encoded.lengths)
            lost.append(encoded.lost)
            for array, file in ((encoded.pieces.astype(number), pieces), (encoded.shapes, shapes)):
                file.write(array.data)
                digest.update(array.data)
            digest.update(encoded.lengths.data)
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, dtype=np.int64), *lengths]))])
        return Stored(
            Encoded(_mapped(pieces, number), offsets, _mapped(shapes, np.int8), np.concatenate([np.zeros(0, dtype=np.int32), *lost])),
            np.flatnonzero(occurs),
            digest.hexdigest(),
        )


def _mapped(file: Any, kind: Any) -> npt.NDArray[Any]:
    """What was written to a file, which may then be closed."""
    file.flush()
    return np.memmap(file, dtype=kind, mode="r") if file.tell() else np.zeros(0, dtype=kind)
