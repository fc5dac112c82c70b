"""Round trips through two sequence-to-sequence models of Hugging Face form, such as MarianMT's opus-mt."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtl.augment.randomness import Stream
from mtl.data import sources
from mtl.errors import AugmentError
from mtl.params import Source

_BATCH = 32  # texts translated at once
_LONGEST = 256  # pieces of an answer


class RoundTrip:
    """Two models, loaded when first needed: one into another language, one back.

    Raises:
        SourceError: a model cannot be fetched, or its sum differs.
        AugmentError: a model or its tokenizer cannot be loaded.
    """

    def __init__(self, forward: Source, backward: Source, stream: Stream) -> None:
        self._sources, self._stream = (("forward", forward), ("backward", backward)), stream
        self._models: list[tuple[Any, Any]] = []

    def __call__(self, texts: Sequence[str], copy: int) -> list[str | None]:
        """Translate there and back. Copy 0 is the likeliest answer (beams of 4), later ones are sampled.

        The answers of one call depend on one another: texts are padded to the length of their neighbours, and sampled in turn.
        """
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums must not depend on the number of cores
        try:
            with torch.inference_mode(), torch.random.fork_rng(devices=[]):
                self._models = self._models or [_load(name, source) for name, source in self._sources]  # which draws, too
                torch.manual_seed(self._stream.key(f"{copy}\0{texts[0] if texts else ''}") >> 1)
                answers = list(texts)
                for tokenizer, model in self._models:
                    answers = _translate(tokenizer, model, answers, sample=copy > 0)
        finally:
            torch.set_num_threads(threads)
        return [" ".join(answer.split()) for answer in answers]


def _load(name: str, source: Source) -> tuple[Any, Any]:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        sources.fetch(source, Path(folder), key=f"augment.methods.*.{name}")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise AugmentError(f"{source.url}: cannot be loaded as a translation model: {error}") from None
    return tokenizer, model


def _translate(tokenizer: Any, model: Any, texts: Sequence[str], *, sample: bool) -> list[str]:
    options: dict[str, Any] = {"do_sample": True, "top_k": 20, "num_beams": 1} if sample else {"do_sample": False, "num_beams": 4}
    answers: list[str] = []
    for start in range(0, len(texts), _BATCH):
        batch = tokenizer(list(texts[start : start + _BATCH]), padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
        batch.pop("token_type_ids", None)
        longest = min(_LONGEST, 2 * batch["input_ids"].shape[1] + 10)
        pieces = model.generate(**batch, **options, max_new_tokens=longest)
        answers += tokenizer.batch_decode(pieces, skip_special_tokens=True)
    return answers
