"""Round trips through two translation models of Hugging Face form, such as MarianMT's opus-mt, and their engine ``transformers``."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtl.augment.randomness import Stream
from mtl.config import Source
from mtl.data import model_files
from mtl.errors import AugmentError, one_line

Translate = Callable[[Sequence[str], int | None], list[str]]
"""A loaded model: texts and a seed to their outputs, the likeliest ones without a seed, else sampled ones."""

BEAMS = 4  # of the likeliest output
TOP_K = 20  # likeliest subwords that sampling draws from
LONGEST = 256  # subwords of a text
_BATCH = 32  # texts translated at once


def longest(subwords: int) -> int:
    """The most subwords that an output to so many may have."""
    return min(LONGEST, 2 * subwords + 10)


class RoundTrip:
    """Two models, loaded when first needed: one into another language, one back.

    Args:
        load: makes a model of a folder.
        models: ``forward`` and ``backward``.
        stream: the method's randomness.
        folder: holds the downloaded models by these names; without it they are fetched.

    Raises:
        SourceError: a model cannot be fetched, or its checksum differs.
        AugmentError: a model or its tokenizer cannot be loaded.
    """

    def __init__(self, load: Callable[[Path], Translate], models: Mapping[str, Source], stream: Stream, folder: Path | None = None) -> None:
        self._load, self._sources, self._stream, self._folder = load, models, stream, folder
        self._models: list[Translate] = []

    def __call__(self, texts: Sequence[str], copy: int) -> list[str | None]:
        """Translate there and back. Copy 0 is the likeliest output (beams of 4), later ones are sampled.

        The outputs of one call depend on one another: texts are padded to the length of their neighbours, and sampled in turn.
        """
        self._models = self._models or [self._model(name, source) for name, source in self._sources.items()]
        seed = self._stream.key(f"{copy}\0{texts[0] if texts else ''}") if copy else None
        outputs = list(texts)
        for model in self._models:
            outputs = model(outputs, seed)
        return [" ".join(output.split()) for output in outputs]

    def _model(self, name: str, source: Source) -> Translate:
        from mtl.data.sources import fetch

        key = f"augment.methods.{self._stream.method}.{name}"
        if self._folder is not None:
            return self._loaded(self._folder / name, f"{key}: {source.url}")
        with tempfile.TemporaryDirectory() as folder:
            fetch(source, Path(folder), key=key)
            return self._loaded(Path(folder), f"{key}: {source.url}")

    def _loaded(self, folder: Path, where: str) -> Translate:
        import torch

        # Loading draws.
        with one_line(AugmentError, f"{where} cannot be loaded as a translation model"), torch.random.fork_rng(devices=[]):
            model_files.check(folder)
            if not any(folder.glob("*.safetensors")):
                raise FileNotFoundError("it holds no *.safetensors; pickled weights, such as pytorch_model.bin, are never read")
            return self._load(folder)


class TransformersModel:
    """A model run by transformers. ``limit`` gives the most subwords of the outputs to a batch from those of its longest text."""

    def __init__(self, folder: Path, beams: int = BEAMS, limit: Callable[[int], int] = longest) -> None:
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        self._model: Any = model.eval()
        self._limit = limit
        self._likeliest = {"do_sample": False, "num_beams": beams}

    def __call__(self, texts: Sequence[str], seed: int | None) -> list[str]:
        """The outputs to texts; the same on every number of cores."""
        import torch

        options = self._likeliest if seed is None else {"do_sample": True, "top_k": TOP_K, "num_beams": 1}
        with one_thread(), torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed((seed or 0) >> 1)
            return in_batches(texts, lambda batch: self._batch(batch, options))

    def _batch(self, texts: list[str], options: Mapping[str, Any]) -> list[str]:
        batch = self._tokenizer(texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        batch.pop("token_type_ids", None)
        subwords = self._model.generate(**batch, **options, max_new_tokens=self._limit(batch["input_ids"].shape[1]))
        outputs: list[str] = self._tokenizer.batch_decode(subwords, skip_special_tokens=True)
        return outputs


def in_batches(texts: Sequence[str], translate: Callable[[list[str]], list[str]]) -> list[str]:
    """Translate texts of like length together; the outputs are in the order of the texts."""
    outputs = [""] * len(texts)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for start in range(0, len(order), _BATCH):
        places = order[start : start + _BATCH]
        for place, output in zip(places, translate([texts[place] for place in places]), strict=True):
            outputs[place] = output
    return outputs


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: checksums must not depend on the number of cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
