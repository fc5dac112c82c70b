"""Ranges of a raw text, marked inline or given by offsets, as ranges of its tokens."""

import html
import itertools
from collections.abc import Mapping
from typing import Any

from mtl.config import Dataset
from mtl.data.segmentation import Marked, segment
from mtl.words import plural

Ranges = dict[str, list[int]]
"""By name, the tokens ``[start, end)``."""


def marked_tokens(value: Any, row: Mapping[str, Any], settings: Dataset) -> tuple[list[str], list[bool], Ranges]:
    """The tokens of a text, whether a space follows each, and the range of each mark.

    Args:
        value: the text.
        row: values by column.
        settings: the dataset, which has marks.

    Raises:
        ValueError: a mark is missing, there twice, empty, never closed, outside the text or overlapping another one.
    """
    if not isinstance(value, str):
        raise ValueError(f"marks need a text, not {str(value)[:40]!r}")
    text = _inline(value, row, settings.marks) if isinstance(settings.marks, dict) else value
    markers = [marker for name in settings.marks for marker in _around(name)]
    for marker in markers:
        if (times := text.count(marker)) != 1:
            raise ValueError(f"the text has {marker} {plural(times, 'time')}, not once")
    marked = segment(html.unescape(text) if settings.unescape_html else text, settings.segmentation or "spaces", markers)
    if not marked.places:
        raise ValueError("an HTML entity of the text stands for a part of a mark")
    return marked.tokens, marked.space_after, _ranges(marked, settings)


def _around(name: str) -> tuple[str, str]:
    return f"<{name}>", f"</{name}>"


def _inline(text: str, row: Mapping[str, Any], marks: Mapping[str, Any]) -> str:
    """The text with marks at their offsets. Where ranges touch, the end of one comes before the start of the other."""
    places = []
    for name, offsets in marks.items():
        start, end = (_offset(row.get(column), column, len(text)) for column in (offsets.start, offsets.end))
        if start >= end:
            raise ValueError(f"{name}: the range [{start}, {end}) is empty")
        places += [(start, 1, f"<{name}>"), (end, 0, f"</{name}>")]
    cuts = sorted(places)
    parts = [text[a:b] for a, b in itertools.pairwise([0, *(place for place, _, _ in cuts), len(text)])]
    return "".join(part + marker for part, (*_, marker) in zip(parts, [*cuts, (0, 0, "")], strict=True))


def _offset(value: Any, column: str, length: int) -> int:
    try:
        offset = int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{column}: {str(value)[:40]!r} is not an offset") from None
    if not 0 <= offset <= length:
        raise ValueError(f"{column}: {offset} is outside the text, which has {length} characters")
    return offset


def _ranges(marked: Marked, settings: Dataset) -> Ranges:
    ranges = {name: [marked.places[marker] for marker in _around(name)] for name in settings.marks}
    for name, (start, end) in ranges.items():
        if start >= end:
            raise ValueError(f"{name}: the range holds no token, or ends before it starts")
    for (first, (_, end)), (second, (start, _)) in itertools.pairwise(sorted(ranges.items(), key=lambda item: item[1])):
        if start < end:
            raise ValueError(f"{first} and {second} overlap")
    return ranges
