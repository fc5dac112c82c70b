"""How the report shows the predictions of a task: marked text, and how wrong each row is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

LONGEST = 700
"""Characters of a text that are shown."""


class Mark(NamedTuple):
    """A stretch of text. ``status`` is empty for plain text, else what became of an entity; ``note`` says so in words."""

    text: str
    status: str = ""
    note: str = ""


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


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
