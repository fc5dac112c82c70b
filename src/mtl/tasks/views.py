"""How the report shows the predictions of a task: marked text, and how wrong each row is."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from mtl.data.spacing import joined, spaces_after

LONGEST = 700
"""Characters of a text that are shown."""
AROUND = 20
"""Tokens shown on both sides of a marked stretch in a row of more than ``WHOLE`` tokens."""
WHOLE = 80


class Mark(NamedTuple):
    """A stretch of text. ``status`` is empty for plain text, ``field`` for all of a text field that ``note`` names, else what became of an
    entity; ``note`` says so in words."""

    text: str
    status: str = ""
    note: str = ""
    space: bool = True
    """Whether a space follows."""


class Judged(NamedTuple):
    """One prediction beside its gold label."""

    marks: list[Mark]
    gold: str
    prediction: str
    pairs: list[tuple[str, str]]
    """What was gold, and what was predicted instead: what the filters of the error browser offer."""
    severity: float
    """How wrong: 0 for a right prediction, 1 for a wrong class, the number of wrong entities, the distance of a number."""
    certainty: str
    """Confidence, or the distance, as displayed."""
    order: float
    """Rows are listed in descending order of this."""


Judge = Callable[[Mapping[str, Any]], Judged]
"""Takes a row of the predictions file."""


def cut(text: str) -> str:
    """A text of at most ``LONGEST`` characters."""
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def written(row: Mapping[str, Any]) -> list[Mark]:
    """The text of a row of the predictions file; of a pair (``pair`` is true) both texts, each with the name of its field."""
    if not row.get("pair"):
        return [Mark(cut(row["text"]))]
    return [Mark(cut(text), "field", name) for name, text in json.loads(row["text"]).items()]


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def stretches(tokens: Sequence[str], marks: Sequence[tuple[tuple[int, int], Mark]]) -> list[Mark]:
    """The whole row as plain and marked text; of a long row what is near its marks, right ones apart.

    Args:
        tokens: of the row.
        marks: each with its range of tokens, ``[start, end)``, in the order of the text.
    """
    wrong = [place for place, mark in marks if mark.status != "right"] or [(0, 0)]
    near = [len(tokens) <= WHOLE or any(a - AROUND <= i < b + AROUND for a, b in wrong) for i in range(len(tokens))]
    result, at, spaces = [], 0, [False, *spaces_after(tokens)]
    for (start, end), mark in [*marks, ((len(tokens), len(tokens)), Mark(""))]:
        result.append(Mark(_near(tokens, near, at, start), space=spaces[start]))
        if any(near[start:end]):
            result.append(mark._replace(space=spaces[end]))
        at = end
    return [mark for mark in result if mark.text]


def _near(tokens: Sequence[str], near: Sequence[bool], start: int, end: int) -> str:
    """The tokens that are near, with one ellipsis for each stretch that is not."""
    runs = groupby(range(start, end), key=near.__getitem__)
    return " ".join(joined([tokens[i] for i in run]) if is_near else "…" for is_near, run in runs)
