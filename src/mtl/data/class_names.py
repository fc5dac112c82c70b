"""Names of classes and entity types that look like mistakes: spellings of one name, marks of missing labels, and header lines."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtl.config import SPLITS, Dataset, DelimitedReader, LabelSettings
from mtl.data.examples import Example
from mtl.data.labels.base import MISSING_MARKS, normalized
from mtl.words import plural

SHOWN = 3
"""Groups of look-alike names that a warning lists."""
LONGEST_NAME = 3
"""Tokens of the name of a column, at most."""
_WHOLE = re.compile(r"(-?\d+)\.0+")


def warnings(settings: Dataset, labels: Mapping[str, Mapping[str, Any]], first: Sequence[Example]) -> Iterator[str]:
    """What a reader should know of the names of each label's classes or entity types.

    Args:
        settings: the dataset.
        labels: the statistics of the data card: by label, then by split.
        first: the first row of each source.
    """
    for name, label in settings.labels.items():
        counts = _counts([labels[name][split] for split in SPLITS if split in labels[name]])
        yield from _look_alikes(name, label, counts)
        yield from _missing_marks(name, counts)
        if isinstance(settings.reader, DelimitedReader) and settings.reader.columns:
            yield from _headers(name, counts, first)


def _counts(summaries: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Rows of each class, or entities of each type, in the order of their names; empty for labels without either."""
    counts: Counter[str] = Counter()
    for summary in summaries:
        counts.update(summary.get("classes") or summary.get("entities") or {})
    return Counter(dict(sorted(counts.items())))


def _look_alikes(label: str, settings: LabelSettings, counts: Counter[str]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name, _ in counts.most_common():
        groups.setdefault(_folded(name), []).append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if alike:
        shown = "; ".join(" and ".join(f"{_written(name, names)} ({counts[name]})" for name in names) for names in alike[:SHOWN])
        more = f", and {plural(len(alike) - SHOWN, 'more group')}" if len(alike) > SHOWN else ""
        yield f"label {label}: names that look alike are different classes: {shown}{more}. {_remedy(alike, settings)}"


def _folded(name: str) -> str:
    """What is left of a name without case, Unicode form, invisible characters, quotes around it and the ``.0`` of a whole number."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(character for character in text if unicodedata.category(character) != "Cf" and character != "\ufe0f")
    return _WHOLE.sub(r"\1", " ".join(text.split()).strip("\"'"))


def _written(name: str, group: Sequence[str]) -> str:
    """A name in quotes; escaped if another one of its group is printed alike."""
    printed = [normalized(other, "nfkc") for other in group]
    return ascii(name) if printed.count(normalized(name, "nfkc")) > 1 else repr(name)


def _remedy(groups: Sequence[Sequence[str]], settings: LabelSettings) -> str:
    """The setting that makes the names of each group one."""
    if settings.normalize is None:
        for form in ("nfc", "nfkc"):
            if all(len({normalized(name, form) for name in names}) == 1 for names in groups):
                return f"The label's key normalize: {form} makes them one"
    return "The label's key values can rename them" if hasattr(settings, "values") else "Rename them in the source if they are one"


def _missing_marks(label: str, counts: Counter[str]) -> Iterator[str]:
    for name in counts:
        if name.casefold() in MISSING_MARKS:
            yield f'label {label}: {name!r} ({counts[name]}) is a class; if it means that there is no label, write missing: ["{name}"]'


def _headers(label: str, counts: Counter[str], first: Sequence[Example]) -> Iterator[str]:
    """A class that only the first row of a source has, with a short text, may be the name of a column."""
    for example in first:
        source, _, _ = example.id.rpartition("-")
        name = example.labels[label]
        if isinstance(name, str) and counts[name] == 1 and len(example.tokens) <= LONGEST_NAME:
            yield f"label {label}: only the first row of source {source} is {name!r}, with the text {example.text!r}: is it a header line?"
