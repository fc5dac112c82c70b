"""Replaces entities by others of the same type from the train split.

Dai & Adel (2020), "An Analysis of Simple Data Augmentation for Named Entity Recognition": chance decides for each mention by itself,
and the new one is drawn from the mentions of its type. As in the authors' program all distinct mentions are equally likely, however
often they occur; here the one in place is not among them. "a" and "an" in front follow the new mention.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from mtl.augment.languages.base import Language
from mtl.augment.rows import Pool, Row, RowAugmenter, rows_of


class Phrase(NamedTuple):
    """The tokens of a mention, and whether a space follows each but the last."""

    tokens: tuple[str, ...]
    space_after: tuple[bool, ...]


class Mention(NamedTuple):
    """Where a mention stands, and its first tag by each label: O where that knows no entity here, None where the row lacks it."""

    start: int
    end: int
    tags: tuple[str | None, ...]

    def phrase(self, row: Row) -> Phrase:
        """What the row says here."""
        return Phrase(tuple(row.tokens[self.start : self.end]), tuple(row.space_after[self.start : self.end - 1]))


class MentionReplaceAugmenter(RowAugmenter):
    """Replaces a share of the entities; the new ones may be shorter or longer."""

    invariant = "types"
    _pools: Mapping[tuple[str | None, ...], Pool[Phrase]] = {}

    def fit(self, train: Iterable[pa.Table]) -> None:
        """Collect the mentions of each type; blank ones are left out."""
        phrases_of: dict[tuple[str | None, ...], set[Phrase]] = defaultdict(set)
        for row in (row for part in train for row in rows_of(part)):
            for mention in mentions(row):
                phrase = mention.phrase(row)
                if "".join(phrase.tokens).strip():
                    phrases_of[mention.tags].add(phrase)
        self._pools = {tags: Pool(dict.fromkeys(phrases, 1)) for tags, phrases in phrases_of.items()}

    def change(self, row: Row, numbers: Sequence[list[float]]) -> Row:
        """The row with other mentions."""
        chance, pick = numbers
        changed = row.copy()
        for mention in reversed(list(mentions(row))):  # from the end, so that places before stay valid
            if chance[mention.start] < self.spec.rate and mention.tags in self._pools:
                old = mention.phrase(row)
                new = self._pools[mention.tags].other(old, pick[mention.start])
                _replace(changed, mention, old, new, self.language)
        return changed


def mentions(row: Row) -> Iterator[Mention]:
    """The entities of a row, of all labels; where several labels know entities at one place, only those that agree where it begins and
    ends.
    """
    spans = [set(_spans(tags)) for tags in row.known()]
    for start, end in sorted(set().union(*spans)):
        if all((start, end) in own or tags[start:end].count("O") == end - start for own, tags in zip(spans, row.known(), strict=True)):
            yield Mention(start, end, tuple(None if tags is None else tags[start] for tags in row.tags.values()))


def _spans(tags: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Begin and end of each entity of legal tags."""
    for start, tag in enumerate(tags):
        if tag.startswith("B-"):
            end = start + 1
            while end < len(tags) and tags[end].startswith("I-"):
                end += 1
            yield start, end


def _replace(row: Row, mention: Mention, old: Phrase, new: Phrase, language: Language) -> None:
    """Put a phrase in the place of a mention, with tags of its length."""
    start, end, _ = mention
    if start and all(tags[start - 1] == "O" for tags in row.known()):
        row.tokens[start - 1] = language.after_article(row.tokens[start - 1], old.tokens[0], new.tokens[0])
    row.tokens[start:end] = new.tokens
    row.space_after[start:end] = [*new.space_after, row.space_after[end - 1]]
    for tags in row.known():
        tags[start:end] = [tags[start]] + [tags[start].replace("B-", "I-", 1)] * (len(new.tokens) - 1)
