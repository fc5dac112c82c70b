"""Translates texts into another language and back.

Entities, and tokens that a translator would spoil (addresses, handles, hashtags, emoticons, rare words), go through as placeholder
words such as ``Qzbaq``. An output counts only if each placeholder came back exactly once. Entities then return with the very tokens
and tags they had, and all else is tagged O, so the multiset of (entity text, type) is kept by construction.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from itertools import count, pairwise, product
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import regex

from mtl.augment import apertium
from mtl.augment.ctranslate import CTranslate2Model
from mtl.augment.languages.base import Language
from mtl.augment.neural import RoundTrip, TransformersModel, Translate
from mtl.augment.randomness import Stream
from mtl.augment.rows import Row, rows_of
from mtl.augment.variants import Augmenter, Variant, table_of, tag_columns
from mtl.config import BackTranslate

ENGINES: dict[str, Callable[[Path], Translate]] = {"transformers": TransformersModel, "ctranslate2": CTranslate2Model}
"""Engines that run a pair of models to what loads one."""

_PLACEHOLDER = re.compile(r"Qz[a-z]+q(?![A-Za-z])")
_ANY_PLACEHOLDER = re.compile(r"qz[a-z]+q", re.IGNORECASE)
_UNKNOWN = re.compile(r"\*(\w+)")
_NO_SPACE_BEFORE = re.compile(r"[.,;:!?)»]+")
_NO_SPACE_BEHIND = re.compile(r"[(¿¡«]")
_ELIDED = re.compile(r"[^\W\d_]+['’]")
_INNER_TITLE = regex.compile(r"(?<=[\p{L}\p{N},;] )\p{Lu}\p{Ll}+\b")  # not behind the end of a sentence
_CONSONANTS, _VOWELS = "bcdfghjklmnprst", "aeiou"


class Part(NamedTuple):
    """A stretch of a row: one plain token, or tokens that go through as one placeholder."""

    start: int
    end: int
    placeholder: str | None


class Sent(NamedTuple):
    """A row, and how it is sent."""

    row: Row
    parts: list[Part]
    text: str
    """The translator's input."""


class BackTranslateAugmenter(Augmenter):
    """One round trip for each copy: Apertium takes its pivots in turn, models sample."""

    together = True

    def __init__(self, spec: BackTranslate, stream: Stream) -> None:
        super().__init__(spec, stream)
        self._round_trip: RoundTrip | None = None

    @classmethod
    def available(cls, spec: BackTranslate, language: Language) -> str | None:
        """What is missing, and how to install it."""
        if spec.engine == "apertium":
            return apertium.available(language.tag, spec.pivots or language.pivots)
        return None if importlib.util.find_spec(spec.engine) else f"{spec.engine} is not installed; install it: pip install {spec.engine}"

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of canonical rows.

        Raises:
            SourceError: a model cannot be fetched, or its checksum differs.
            AugmentError: a model cannot be loaded.
        """
        columns = tag_columns(rows)
        return table_of(self._variants([_sent(self.language, row) for row in rows_of(rows)]), columns)

    def _variants(self, rows: Sequence[Sent]) -> Iterator[Variant]:
        places = [place for place, sent in enumerate(rows) if any(part.placeholder is None for part in sent.parts)]
        texts = [rows[place].text for place in places]
        outputs: dict[str, list[str | None]] = {}
        for copy in range(self.spec.copies):
            source = self._source(copy)
            if source not in outputs:
                outputs[source] = self._translate(texts, copy, source)
            of_rows: dict[int, str | None] = dict(zip(places, outputs[source], strict=True))
            for place, sent in enumerate(rows):
                known = place in of_rows
                yield _judged(self.language, sent, place, copy, of_rows[place]) if known else Variant.dropped(place, copy, "unchanged")

    def _source(self, copy: int) -> str:
        """Copies of the same source are the same."""
        pivots = self.spec.pivots or self.language.pivots
        return pivots[copy % len(pivots)] if self.spec.engine == "apertium" else str(copy)

    def _translate(self, texts: Sequence[str], copy: int, source: str) -> list[str | None]:
        if self.spec.engine == "apertium":
            return apertium.round_trip(texts, self.language.tag, source)
        self._round_trip = self._round_trip or RoundTrip(ENGINES[self.spec.engine], self.spec.downloads, self.stream, self.models)
        return self._round_trip(texts, copy)


def _sent(language: Language, row: Row) -> Sent:
    parts = _parts(language, row)
    return Sent(row, parts, _text(language, row, parts))


def _text(language: Language, row: Row, parts: Sequence[Part]) -> str:
    """A row with placeholders for its protected parts, and no space before punctuation."""
    words = [part.placeholder or row.tokens[part.start].replace("’", "'") for part in parts]
    kept = [(word, part) for word, part in zip(words, parts, strict=True) if word]
    text = kept[0][0] if kept else ""
    for (before, last), (word, part) in pairwise(kept):
        spaced = row.space_after[last.end - 1]
        if language.spaced:
            punctuation = part.placeholder is None and (_NO_SPACE_BEFORE.fullmatch(word) or language.is_clitic(word))
            elided = not spaced and last.placeholder is None and _ELIDED.fullmatch(before)
            spaced = not (punctuation or elided or _NO_SPACE_BEHIND.fullmatch(before))
        text += f" {word}" if spaced else word
    return text


def _parts(language: Language, row: Row) -> list[Part]:
    """Cut a row into plain tokens and protected parts; a part holds whole entities of every column of tags."""
    size, tags = len(row.tokens), row.known()
    names = _placeholders(" ".join(row.tokens))
    protected = [any(column[place] != "O" for column in tags) for place in range(size)]
    goes_on = [any(column[place].startswith("I-") for column in tags) for place in range(size)]
    for start, end in language.kept(row):
        protected[start:end] = [True] * (end - start)
        goes_on[start + 1 : end] = [True] * (end - start - 1)
    parts: list[Part] = []
    for start, end in pairwise([*(place for place in range(size) if not goes_on[place]), size]):
        parts.append(Part(start, end, next(names) if any(protected[start:end]) else None))
    return parts


def _placeholders(text: str) -> Iterator[str]:
    """Placeholder words that do not occur in a text: Qzbaq, Qzbeq, ..."""
    taken = {match.lower() for match in _ANY_PLACEHOLDER.findall(text)}
    syllables = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]
    for length in count(1):
        for chosen in product(syllables, repeat=length):
            name = f"Qz{''.join(chosen)}q"
            if name.lower() not in taken:
                yield name


def _judged(language: Language, sent: Sent, place: int, copy: int, output: str | None) -> Variant:
    """The variant that an output stands for, or why it is dropped."""
    drop = partial(Variant.dropped, place, copy)
    if output is None:
        return drop("no output", sent.text)
    unknown = frozenset(word.lower() for word in _UNKNOWN.findall(output))
    output = _UNKNOWN.sub(r"\1", output)
    expected = Counter(part.placeholder for part in sent.parts if part.placeholder)
    if Counter(_PLACEHOLDER.findall(output)) != expected or len(_ANY_PLACEHOLDER.findall(output)) != sum(expected.values()):
        return drop("placeholder", output)
    output = _recased(sent.text, output)
    if reason := _issue(language, sent.text, output, unknown):
        return drop(reason, _restored(sent, output))
    tags = sent.row.tags
    if language.spaced and all(column is None for column in tags.values()):
        words = _restored(sent, output).split()
        return Variant(place, copy, words, [True] * (len(words) - 1) + [False], dict.fromkeys(tags))
    return Variant(place, copy, *_tagged(language, sent, output))


def _recased(sent: str, output: str) -> str:
    """An output without capitals that come from moved words: only the start of a sentence, and words that had one, keep theirs."""
    inner = [match.group() for match in _INNER_TITLE.finditer(sent) if not _PLACEHOLDER.match(match.group())]
    if not inner:  # else a headline, perhaps, in which any word may have one
        output = _INNER_TITLE.sub(lambda match: match.group() if _PLACEHOLDER.match(match.group()) else match.group().lower(), output)
    if sent[:1].islower() and not _PLACEHOLDER.match(output):
        output = output[:1].lower() + output[1:]
    return output


def _issue(language: Language, sent: str, output: str, unknown: Container[str]) -> str | None:
    """The first filter that an output fails; ``unknown`` are words of it that the translator does not know."""
    before, after = language.words_of(sent), language.words_of(output)
    if "".join(sent.split()).casefold() == "".join(output.split()).casefold():
        return "unchanged"

    def made_up(word: str) -> bool:
        known = language.known(word)
        return word not in before and not _ANY_PLACEHOLDER.match(word) and (word in unknown if known is None else not known)

    if any(map(made_up, after)):
        return "made-up word"
    if language.negations(sent) != language.negations(output):
        return "negation"
    return None if len(before) <= 2 * len(after) and len(after) <= 2 * len(before) else "length"


def _restored(sent: Sent, output: str) -> str:
    """An output as text, with the protected parts in place."""
    parts, row = {part.placeholder: part for part in sent.parts}, sent.row

    def original(match: re.Match[str]) -> str:
        part = parts[match.group()]
        joined = zip(row.tokens[part.start : part.end], row.space_after[part.start : part.end], strict=True)
        return "".join(token + " " * space for token, space in joined).rstrip(" ")

    return _PLACEHOLDER.sub(original, output)


def _tagged(language: Language, sent: Sent, output: str) -> tuple[list[str], list[bool], dict[str, list[str] | None]]:
    """An output as tokens with spaces and tags, protected parts with those they had."""
    parts, row = {part.placeholder: part for part in sent.parts}, sent.row
    tokens: list[str] = []
    spaces: list[bool] = []
    tags: dict[str, list[str]] = {name: [] for name, column in row.tags.items() if column is not None}
    end = 0
    for match in [*_PLACEHOLDER.finditer(output), None]:
        plain = output[end : match.start() if match else len(output)]
        if plain.strip():
            words, flags = language.tokenize(plain, row)
            tokens += words
            spaces += [*flags[:-1], plain.endswith(" ")]
            for column in tags.values():
                column += ["O"] * len(words)
        if match is None:
            break
        part, end = parts[match.group()], match.end()
        tokens += row.tokens[part.start : part.end]
        spaces += [*row.space_after[part.start : part.end - 1], output[end : end + 1] == " "]
        for name, column in tags.items():
            column += (row.tags[name] or [])[part.start : part.end]
    if language.spaced and all(row.space_after[:-1]):  # tokens of a column file, which does not tell how they were spaced
        spaces = [True] * len(spaces)
    spaces = [*spaces[:-1], row.space_after[-1] if row.space_after else False][: len(tokens)]
    return tokens, spaces, {**dict.fromkeys(row.tags), **tags}
