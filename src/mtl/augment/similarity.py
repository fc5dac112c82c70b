"""How near variants are to their originals: the cosine of their embeddings by a pretrained encoder."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mtl.augment.neural import one_thread
from mtl.data import model_files
from mtl.data.schema import columns_of, fields_of, text_of
from mtl.errors import AugmentError, one_line

Floats = npt.NDArray[np.float32]

_BATCH = 64  # texts embedded at once
_LONGEST = 256  # subwords of a text
_DECIMALS = 5  # of a similarity: texts are embedded in batches, and what else is in one changes it by about 1e-7


def mark_dissimilar(variants: pa.Table, rows: pa.Table, encoder: Path, least: float) -> pa.Table:
    """Give kept variants the reason ``dissimilar`` if the similarity of any text field to its original is below ``least``.

    Args:
        variants: of whole rows (``mtl.augment.fields.combine``).
        rows: canonical rows.
        encoder: folder of an encoder in Hugging Face form.
        least: cosine, 0 to 1.

    Raises:
        AugmentError: the encoder cannot be loaded.
    """
    reasons = variants["reason"].to_pylist()
    places = [place for place, reason in enumerate(reasons) if reason is None]
    kept = variants.take(pa.array(places, type=pa.int64()))
    originals = rows.take(kept["row"])
    for field in fields_of(rows.schema):
        for place, similarity in zip(places, similarities(encoder, _texts(originals, field), _texts(kept, field)), strict=True):
            if round(float(similarity), _DECIMALS) < least:
                reasons[place] = "dissimilar"
    return variants.set_column(variants.schema.get_field_index("reason"), "reason", pa.array(reasons, type=pa.string()))


def _texts(rows: pa.Table, field: str) -> list[str]:
    tokens, spaces = columns_of(field)
    return [text_of(*row) for row in zip(rows[tokens].to_pylist(), rows[spaces].to_pylist(), strict=True)]


def similarities(encoder: Path, originals: Sequence[str], variants: Sequence[str]) -> Floats:
    """The cosine of each variant's embedding and its original's, [n]; the same texts give the same on every number of cores.

    Raises:
        AugmentError: the encoder cannot be loaded.
    """
    texts = sorted({*originals, *variants}, key=lambda text: (len(text), text))
    place = {text: row for row, text in enumerate(texts)}
    vectors = embeddings(encoder, texts)
    pairs = [vectors[[place[text] for text in side]] for side in (originals, variants)] if texts else [vectors, vectors]
    cosines: Floats = (pairs[0] * pairs[1]).sum(axis=1)
    return cosines


def embeddings(encoder: Path, texts: Sequence[str]) -> Floats:
    """The mean of each text's last hidden states, as a vector of length 1, [n, width]; texts of like length should stand together.

    Args:
        encoder: folder of an encoder in Hugging Face form, with safetensors weights.
        texts: of a long text the first 256 subwords count.

    Raises:
        AugmentError: the encoder cannot be loaded.
    """
    import torch

    tokenizer, model = _loaded(encoder)
    vectors = [np.zeros((0, model.config.hidden_size), dtype=np.float32)]
    with one_thread(), torch.inference_mode():
        for start in range(0, len(texts), _BATCH):
            batch = tokenizer(
                list(texts[start : start + _BATCH]), padding=True, truncation=True, max_length=_longest(model), return_tensors="pt"
            )
            hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            vectors.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy())
    return np.concatenate(vectors)


@lru_cache(maxsize=1)
def _loaded(encoder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    with one_line(AugmentError, f"{encoder}: cannot be loaded as an encoder"):
        model_files.check(encoder)
        tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
        model = AutoModel.from_pretrained(encoder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    return tokenizer, model.eval()


def _longest(model: Any) -> int:
    """Some models keep two positions to themselves."""
    return min(_LONGEST, getattr(model.config, "max_position_embeddings", _LONGEST + 2) - 2)
