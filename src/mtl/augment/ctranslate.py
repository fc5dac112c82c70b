"""The engine ``ctranslate2``: the models that transformers takes, converted to weights of 8 bits when they are loaded."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mtl.augment.neural import BEAMS, LONGEST, TOP_K, in_batches, longest


class CTranslate2Model:
    """A model run by CTranslate2 on one thread. ``limit`` is as that of ``mtl.augment.neural.TransformersModel``."""

    def __init__(self, folder: Path, beams: int = BEAMS, limit: Callable[[int], int] = longest, weights: str = "int8") -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._files = _converted(folder, weights)
        self._limit, self._weights = limit, weights
        self._likeliest = {"beam_size": beams}

    def __call__(self, texts: Sequence[str], seed: int | None) -> list[str]:
        """The outputs to texts; the same on all processors of one type."""
        if seed is None:
            return in_batches(texts, lambda batch: self._batch(self._seedless, batch, self._likeliest))
        translator = self._translator(seed)
        return in_batches(texts, lambda batch: self._batch(translator, batch, {"beam_size": 1, "sampling_topk": TOP_K}))

    @cached_property
    def _seedless(self) -> Any:
        return self._translator(0)

    def _translator(self, seed: int) -> Any:
        import ctranslate2

        ctranslate2.set_random_seed(seed & 0xFFFF_FFFF)  # only a translator made later uses it
        return ctranslate2.Translator("model", compute_type=self._weights, inter_threads=1, intra_threads=1, files=self._files)

    def _batch(self, translator: Any, texts: list[str], options: Mapping[str, Any]) -> list[str]:
        rows = self._tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]
        subwords = [self._tokenizer.convert_ids_to_tokens(row) for row in rows]
        results = translator.translate_batch(subwords, max_decoding_length=self._limit(max(map(len, subwords))), **options)
        ids = [self._tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]
        outputs: list[str] = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return outputs


def _converted(folder: Path, weights: str) -> dict[str, bytes]:
    """The files of a model in the form of CTranslate2, kept in memory: nothing is left behind by a process that is killed."""
    from ctranslate2.converters import TransformersConverter

    class Converter(TransformersConverter):  # type: ignore[misc]
        """Reads nothing but safetensors, and nothing from the net."""

        def load_model(self, model_class: Any, path: str, **options: Any) -> Any:
            return super().load_model(model_class, path, **options, use_safetensors=True, local_files_only=True)

    with tempfile.TemporaryDirectory() as out:
        Converter(str(folder)).convert(out, quantization=weights, force=True)
        return {path.name: path.read_bytes() for path in Path(out).iterdir()}
