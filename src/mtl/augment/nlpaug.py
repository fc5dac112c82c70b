"""Any word or character augmenter of nlpaug, by its class name, made reproducible and safe for tags.

nlpaug draws from the global generators, so they are seeded for each row and set back. It does not carry tags, so a row with tags is
passed token by token, outside its entities, and a result is taken only if it is one token. nlpaug is imported by the process that
needs it, when it needs it: that takes seconds and hundreds of MiB.
"""

import contextlib
import importlib
import importlib.util
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mtl.augment.confined import confined
from mtl.augment.languages.base import Language
from mtl.augment.randomness import Stream, draws, uniform
from mtl.augment.variants import Augmenter, Variant, table_of, tag_columns
from mtl.config import Nlpaug
from mtl.data.schema import text_of
from mtl.errors import AugmentError

_MODULES = ("nlpaug.augmenter.word", "nlpaug.augmenter.char")
_RATE = 0.3  # nlpaug's own default share of words


class NlpaugAugmenter(Augmenter):
    """Calls nlpaug: on the whole text of a row without tags, else on a share of its tokens, at least one."""

    def __init__(self, spec: Nlpaug, stream: Stream) -> None:
        super().__init__(spec, stream)
        self._loaded: Any = None

    @classmethod
    def available(cls, spec: Nlpaug, language: Language) -> str | None:
        """What is missing, and how to install it."""
        return None if importlib.util.find_spec("nlpaug") else "nlpaug is not installed; install it: pip install nlpaug"

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of canonical rows; rows do not depend on one another.

        Raises:
            AugmentError: there is no such augmenter, its options are wrong, or it fails.
        """
        if self._loaded is None:
            with _seeded(0):  # what it imports, and its constructor, may draw too
                self._loaded = _load(self.spec)
        columns = tag_columns(rows)
        content = rows.select(["id", "tokens", "space_after", *columns]).to_pylist()
        variants = (self._variant(place, row, columns, copy) for copy in range(self.spec.copies) for place, row in enumerate(content))
        return table_of(variants, columns)

    def _variant(self, place: int, row: Mapping[str, Any], columns: Sequence[str], copy: int) -> Variant:
        tags = {name: row[name] for name in columns}
        key = self.stream.key(row["id"])
        with _seeded(int(draws(np.array([key], dtype=np.uint64), copy, 0)[0])):
            if all(column is None for column in tags.values()):
                return self._of_text(place, row, tags, copy)
            return self._of_tokens(place, row, tags, copy, key)

    def _of_text(self, place: int, row: Mapping[str, Any], tags: dict[str, Any], copy: int) -> Variant:
        text = text_of(row["tokens"], row["space_after"])
        words = self._call(text).split()
        if not words:
            return Variant.dropped(place, copy, "empty")
        reason = "unchanged" if words == text.split() else None
        return Variant(place, copy, words, [True] * (len(words) - 1) + [False], tags, reason)

    def _of_tokens(self, place: int, row: Mapping[str, Any], tags: dict[str, Any], copy: int, key: int) -> Variant:
        tokens = list(row["tokens"])
        free = [i for i in range(len(tokens)) if all(column is None or column[i] == "O" for column in tags.values())]
        order = uniform(draws(np.full(len(free), key, dtype=np.uint64), copy, np.array(free, dtype=np.int64), purpose=1))
        count = max(1, round(_RATE * len(free)))
        refused = 0
        for i in [free[rank] for rank in np.argsort(order)[:count]]:
            result = self._call(tokens[i])
            if not result or result.split() != [result]:
                refused += 1
            else:
                tokens[i] = result
        if tokens == row["tokens"]:
            return Variant.dropped(place, copy, "misaligned" if refused else "unchanged")
        return Variant(place, copy, tokens, row["space_after"], tags)

    def _call(self, text: str) -> str:
        """What nlpaug makes of a text; the empty text if nothing."""
        if not text.strip():
            return ""
        with _reported(f"nlpaug's {self.spec.augmenter} failed on {text!r}", workers=True):
            result = self._loaded.augment(text)
        return str(result[0]) if isinstance(result, list) and result else str(result or "")


def _load(spec: Nlpaug) -> Any:
    """The augmenter that a method names."""
    try:
        modules = [importlib.import_module(name) for name in _MODULES]
    except ImportError as error:
        raise AugmentError(f"nlpaug cannot be imported: {error}; install it: pip install nlpaug") from None
    classes = {name: getattr(module, name) for module in modules for name in dir(module) if name.endswith("Aug")}
    if spec.augmenter not in classes:
        raise AugmentError(f"nlpaug has no word or character augmenter {spec.augmenter!r}; choose from: {', '.join(sorted(classes))}")
    with _reported(f"nlpaug's {spec.augmenter} cannot be made with options {spec.options}"):
        return classes[spec.augmenter](**spec.options)


@contextlib.contextmanager
def _reported(what: str, *, workers: bool = False) -> Iterator[None]:
    """Whatever foreign code raises (wrong options, a missing model or word list, what it is refused) as an error of ours."""
    with confined(workers=workers) as refused:
        try:
            yield
        except Exception as error:
            reason = refused[0] if refused else f"{type(error).__name__}: {error}"
            raise AugmentError(f"{what}: {reason}") from error


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that nlpaug draws from, and set them back."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
