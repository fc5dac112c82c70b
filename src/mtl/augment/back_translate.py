"""Translates texts into another language and back.

Entities, and tokens that a translator would spoil (addresses, handles, hashtags, emoticons, rare words), go through as placeholder
words such as ``Qzbaq``. An output counts only if each placeholder came back exactly once. Entities then return with the very tokens
and tags they had, and all else is tagged O, so the multiset of (entity text, type) is kept by construction.
"""

import importlib.util
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import count, pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mtl.augment import apertium
from mtl.augment.ctranslate import CTranslate2Model
from mtl.augment.languages import en as lexicon
from mtl.augment.neural import RoundTrip, TransformersModel, Translate
from mtl.augment.randomness import Stream
from mtl.augment.variants import Augmenter, Variant, table_of, tag_columns
from mtl.config import BackTranslate
from mtl.data.tokens import tokenize

ENGINES: dict[str, Callable[[Path], Translate]] = {"transformers": TransformersModel, "ctranslate2": CTranslate2Model}
"""Engines that run a pair of models to what loads one."""

_PLACEHOLDER = re.compile(r"Qz[a-z]+q(?![A-Za-z])")
_ANY_PLACEHOLDER = re.compile(r"qz[a-z]+q", re.IGNORECASE)
_PLAIN = re.compile(r"""["'(]?(?P<word>[A-Za-z]+(?:['’-][A-Za-z]+)*|\d+)(?:[.,;:!?]+|\.\.\.)?["')]?[.,;:!?]*""")
_PUNCTUATION = re.compile(r"""[.,;:!?"'()]|\.\.\.+|--|!+|\?+|[!?]+""")
_LEADING_CLITIC = re.compile(r"(?i)['’](?:s|m|d|re|ve|ll)(?![A-Za-z])")
_NO_SPACE_BEFORE = re.compile(r"""[.,;:!?)]+|(?i:n['’]t|['’](?:s|m|d|re|ve|ll))""")
_CONTRACTION = re.compile(r"[A-Za-z]['’][A-Za-z]")
_INNER_TITLE = re.compile(r"(?<=[A-Za-z0-9,;] )[A-Z][a-z]+\b")  # not behind the end of a sentence
_CONSONANTS, _VOWELS = "bcdfghjklmnprst", "aeiou"


class Part(NamedTuple):
    """A stretch of a row: one plain token, or tokens that go through as one placeholder."""

    start: int
    end: int
    placeholder: str | None


class Row(NamedTuple):
    """A row, and how it is sent."""

    tokens: list[str]
    space_after: list[bool]
    tags: Mapping[str, list[str] | None]
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
    def available(cls, spec: BackTranslate) -> str | None:
        """What is missing, and how to install it."""
        if spec.engine == "apertium":
            return apertium.available(spec.pivots)
        return None if importlib.util.find_spec(spec.engine) else f"{spec.engine} is not installed; install it: pip install {spec.engine}"

    def augment(self, rows: pa.Table) -> pa.Table:
        """Variants of canonical rows.

        Raises:
            SourceError: a model cannot be fetched, or its checksum differs.
            AugmentError: a model cannot be loaded.
        """
        columns = tag_columns(rows)
        sent = [_row(row, columns) for row in rows.select(["tokens", "space_after", *columns]).to_pylist()]
        return table_of(self._variants(sent), columns)

    def _variants(self, rows: Sequence[Row]) -> Iterator[Variant]:
        places = [place for place, row in enumerate(rows) if any(part.placeholder is None for part in row.parts)]
        texts = [rows[place].text for place in places]
        outputs: dict[str, list[str | None]] = {}
        for copy in range(self.spec.copies):
            source = self._source(copy)
            if source not in outputs:
                outputs[source] = self._translate(texts, copy, source)
            of_rows: dict[int, str | None] = dict(zip(places, outputs[source], strict=True))
            for place, row in enumerate(rows):
                yield _judged(row, place, copy, of_rows[place]) if place in of_rows else Variant.dropped(place, copy, "unchanged")

    def _source(self, copy: int) -> str:
        """Copies of the same source are the same."""
        return self.spec.pivots[copy % len(self.spec.pivots)] if self.spec.engine == "apertium" else str(copy)

    def _translate(self, texts: Sequence[str], copy: int, source: str) -> list[str | None]:
        if self.spec.engine == "apertium":
            return apertium.round_trip(texts, source)
        self._round_trip = self._round_trip or RoundTrip(ENGINES[self.spec.engine], self.spec.downloads, self.stream, self.models)
        return self._round_trip(texts, copy)


def _row(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    tags = {name: row[name] for name in columns}
    parts = _parts(row["tokens"], [column for column in tags.values() if column is not None])
    return Row(row["tokens"], row["space_after"], tags, parts, _text(row["tokens"], parts))


def _text(tokens: Sequence[str], parts: Sequence[Part]) -> str:
    """A row with placeholders for its protected parts, and no space before punctuation."""
    words = [part.placeholder or tokens[part.start].replace("’", "'") for part in parts]
    kept = [(word, part) for word, part in zip(words, parts, strict=True) if word]
    text = kept[0][0] if kept else ""
    for (before, _), (word, part) in pairwise(kept):
        glued = (part.placeholder is None and _NO_SPACE_BEFORE.fullmatch(word)) or before == "("
        text += word if glued else f" {word}"
    return text


def _parts(tokens: Sequence[str], tags: Sequence[Sequence[str]]) -> list[Part]:
    """Cut a row into plain tokens and protected parts; a part holds whole entities of every column of tags."""
    names = _placeholders(" ".join(tokens))
    parts: list[Part] = []
    start = 0
    while start < len(tokens):
        end = start + 1
        while end < len(tokens) and any(column[end].startswith("I-") for column in tags):
            end += 1
        entity = any(column[start] != "O" for column in tags)
        protected = entity or end > start + 1 or not _is_translatable(tokens[start])
        parts.append(Part(start, end, next(names) if protected else None))
        start = end
    return parts


@lru_cache(maxsize=100_000)
def _is_translatable(token: str) -> bool:
    """Whether a translator may see a token: punctuation, a number, or a word that the lexicon has. The empty token is left out."""
    if not token or _PUNCTUATION.fullmatch(token) or lexicon.is_clitic(token):
        return True
    match = _PLAIN.fullmatch(token)
    return match is not None and (match["word"].isdigit() or all(map(lexicon.known, lexicon.words(match["word"]))))


def _placeholders(text: str) -> Iterator[str]:
    """Placeholder words that do not occur in a text: Qzbaq, Qzbeq, ..."""
    taken = {match.lower() for match in _ANY_PLACEHOLDER.findall(text)}
    syllables = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]
    for length in count(1):
        for chosen in product(syllables, repeat=length):
            name = f"Qz{''.join(chosen)}q"
            if name.lower() not in taken:
                yield name


def _judged(row: Row, place: int, copy: int, output: str | None) -> Variant:
    """The variant that an output stands for, or why it is dropped."""
    drop = partial(Variant.dropped, place, copy)
    if output is None:
        return drop("no output", row.text)
    expected = Counter(part.placeholder for part in row.parts if part.placeholder)
    if Counter(_PLACEHOLDER.findall(output)) != expected or len(_ANY_PLACEHOLDER.findall(output)) != sum(expected.values()):
        return drop("placeholder", output)
    sent = row.text
    output = _recased(sent, output)
    reason = _issue(sent, output)
    if reason:
        return drop(reason, _restored(row, output))
    if all(tags is None for tags in row.tags.values()):
        words = _restored(row, output).split()
        return Variant(place, copy, words, [True] * (len(words) - 1) + [False], dict.fromkeys(row.tags))
    return Variant(place, copy, *_tagged(row, output))


def _recased(sent: str, output: str) -> str:
    """An output without capitals that come from moved words: only the start of a sentence, and words that had one, keep theirs."""
    inner = [match.group() for match in _INNER_TITLE.finditer(sent) if not _PLACEHOLDER.match(match.group())]
    if not inner:  # else a headline, perhaps, in which any word may have one
        output = _INNER_TITLE.sub(lambda match: match.group() if _PLACEHOLDER.match(match.group()) else match.group().lower(), output)
    if sent[:1].islower() and not _PLACEHOLDER.match(output):
        output = output[:1].lower() + output[1:]
    return output


def _issue(sent: str, output: str) -> str | None:
    """The first filter that an output fails."""
    before, after = lexicon.words(sent), lexicon.words(output)
    if "".join(sent.split()).casefold() == "".join(output.split()).casefold():
        return "unchanged"
    if any(word not in before and not _ANY_PLACEHOLDER.match(word) and not lexicon.known(word) for word in after):
        return "made-up word"
    if lexicon.negations(sent) != lexicon.negations(output):
        return "negation"
    return None if len(before) <= 2 * len(after) and len(after) <= 2 * len(before) else "length"


def _restored(row: Row, output: str) -> str:
    """An output as text, with the protected parts in place."""
    parts = {part.placeholder: part for part in row.parts}

    def original(match: re.Match[str]) -> str:
        part = parts[match.group()]
        joined = zip(row.tokens[part.start : part.end], row.space_after[part.start : part.end], strict=True)
        return "".join(token + " " * space for token, space in joined).rstrip(" ")

    return _PLACEHOLDER.sub(original, output)


def _tagged(row: Row, output: str) -> tuple[list[str], list[bool], dict[str, list[str] | None]]:
    """An output as tokens with spaces and tags, protected parts with those they had."""
    parts = {part.placeholder: part for part in row.parts}
    tokens: list[str] = []
    spaces: list[bool] = []
    tags: dict[str, list[str]] = {name: [] for name, column in row.tags.items() if column is not None}
    end = 0
    for match in [*_PLACEHOLDER.finditer(output), None]:
        plain = output[end : match.start() if match else len(output)]
        words, flags = _tokenize(plain, row)
        tokens += words
        spaces += flags
        for column in tags.values():
            column += ["O"] * len(words)
        if match is None:
            break
        part, end = parts[match.group()], match.end()
        tokens += row.tokens[part.start : part.end]
        spaces += [*row.space_after[part.start : part.end - 1], output[end : end + 1] == " "]
        for name, column in tags.items():
            column += (row.tags[name] or [])[part.start : part.end]
    if all(row.space_after[:-1]):  # tokens of a column file, which does not tell how they were spaced
        spaces = [True] * len(spaces)
    spaces = [*spaces[:-1], row.space_after[-1] if row.space_after else False][: len(tokens)]
    return tokens, spaces, {**dict.fromkeys(row.tags), **tags}


def _tokenize(text: str, row: Row) -> tuple[list[str], list[bool]]:
    """Tokens of a stretch of an output, and whether a space follows each; contractions as the row writes them."""
    clitic = _LEADING_CLITIC.match(text)
    if clitic:
        words, flags = _tokenize(text[clitic.end() :], row)
        return [clitic.group(), *words], [text[clitic.end() : clitic.end() + 1] == " ", *flags]
    if not text.strip():
        return [], []
    words, flags, _ = tokenize(text)
    flags[-1] = text.endswith(" ")
    if any(_CONTRACTION.search(token) for token in row.tokens):
        for place in range(len(words) - 1, 0, -1):
            if lexicon.is_clitic(words[place]) and not flags[place - 1] and words[place - 1][-1].isalpha():
                words[place - 1 : place + 1] = [words[place - 1] + words[place]]
                del flags[place - 1]
    return words, flags
