"""Our augmenters where one of nlpaug is expected: the same ``augment(data, n, num_thread)``, the same shapes.

``TextAugmenter`` needs no nlpaug. A flow of nlpaug accepts instances of nlpaug's own class only: ``for_nlpaug`` makes one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from mtl.augment.randomness import Stream
from mtl.augment.variants import Augmenter
from mtl.config import AugmentMethod
from mtl.data.schema import schema, text_of
from mtl.errors import AugmentError
from mtl.plugins import implementation_of


class TextAugmenter:
    """An augmenter of plain texts, called as one of nlpaug is.

    Calls with one text differ from one another, and a new object with the same seed gives the same variants in the same order.

    Raises:
        AugmentError: the method needs tags, which a text does not have, or its engine is not installed.
    """

    include_detail = False  # nlpaug's flows read and set it, as they do the next
    parent_change_seq = 0
    device = "cpu"

    def __init__(self, method: AugmentMethod, seed: int = 0) -> None:
        self.method, self.seed = method, seed
        self.name = method.type
        if method.needs_tags:
            raise AugmentError(f"{method.type} works on tags, and a text has none; use it in augment.methods")
        missing = implementation_of(method).available(method, Augmenter.language)
        if missing:
            raise AugmentError(missing)
        one = method.model_copy(update={"copies": 1})
        self._augmenter = implementation_of(method)(one, Stream(seed, self.name))
        self._calls: Counter[str] = Counter()

    def augment(self, data: str | Iterable[str] | None, n: int = 1, num_thread: int = 1) -> list[str]:
        """Variants of one text (a list of ``n``) or of several (one each).

        A text without a variant comes back as it is, as in nlpaug; without data the result is ``[]``. ``num_thread`` is ignored.
        """
        if not data:
            return []
        texts = [data] * n if isinstance(data, str) else list(data)
        return self._augment(texts)

    def _augment(self, texts: Sequence[str]) -> list[str]:
        ids = []
        for text in texts:
            ids.append(f"{self._calls[text]}:{text}")
            self._calls[text] += 1
        variants = self._augmenter.augment(_rows(texts, ids)).to_pylist()
        return [
            text if variant["reason"] else text_of(variant["tokens"], variant["space_after"])
            for text, variant in zip(texts, variants, strict=True)
        ]

    @classmethod
    def is_duplicate(cls, dataset: Sequence[Any], data: Any) -> bool:
        """Whether data are among those seen; nlpaug's flows call it."""
        return data in dataset


def for_nlpaug(augmenter: TextAugmenter) -> Any:
    """The same augmenter as an instance of ``nlpaug.Augmenter``, as nlpaug's flows demand. Imports nlpaug."""
    import nlpaug

    adapted = type("TextAugmenter", (TextAugmenter, nlpaug.Augmenter), {})
    made: Any = object.__new__(adapted)
    made.__dict__.update(augmenter.__dict__)
    return made


def _rows(texts: Sequence[str], ids: Sequence[str]) -> pa.Table:
    """Texts as rows of a canonical table."""
    content = [
        {"id": name, "split": "train", "tokens": words, "space_after": [True] * (len(words) - 1) + [False]}
        for name, words in zip(ids, (text.split(" ") for text in texts), strict=True)
    ]
    return pa.Table.from_pylist(content, schema=schema({}))
