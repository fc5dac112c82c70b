"""Replaces tokens by others that carry the same tag in the train split.

Dai & Adel (2020), "An Analysis of Simple Data Augmentation for Named Entity Recognition": chance decides for each token by itself,
and the new one is drawn in proportion to how often it carries that tag. As in the authors' program words of grammar are neither
replaced nor drawn; here clitics (n't, 's) and words that deny count as such, and the token in place is not drawn either. Of rows with
several labels all tags must agree.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from mtl.augment.rows import Pool, Row, RowAugmenter, rows_of

Tags = tuple[str | None, ...]
"""The tag of a token by each label; None where the row has no such label."""


class LabelTokenReplaceAugmenter(RowAugmenter):
    """Replaces a share of the tokens, and no tag."""

    invariant = "tags"
    _pools: Mapping[Tags, Pool[str]] = {}

    def fit(self, train: Iterable[pa.Table]) -> None:
        """Count the tokens of each tag."""
        counts: dict[Tags, Counter[str]] = defaultdict(Counter)
        for part in train:
            for row in rows_of(part):
                for token, tags in zip(row.tokens, _stacked(row), strict=True):
                    counts[tags][token] += 1
        self._pools = {tags: Pool(content) for tags, tokens in counts.items() if (content := self._content(tokens))}

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row:
        """The row with other tokens."""
        chance, pick = numbers
        tokens = list(row.tokens)
        for place, tags in enumerate(_stacked(row)):
            if chance[place] < self.spec.rate and tags in self._pools and not self.language.is_grammar(tokens[place]):
                tokens[place] = self._pools[tags].other(tokens[place], pick[place])
        return row._replace(tokens=tokens)

    def _content(self, tokens: Mapping[str, int]) -> dict[str, int]:
        """The tokens that may be drawn."""
        return {token: count for token, count in tokens.items() if token.strip() and not self.language.is_grammar(token)}


def _stacked(row: Row) -> Iterator[Tags]:
    """The tags of each token."""
    return zip(*(tags if tags is not None else [None] * len(row.tokens) for tags in row.tags.values()), strict=True)
