"""Dialogues: each turn becomes a row, with the turns before it and the reply to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

from mtl.config import DialogueReader
from mtl.data.readers.rows import Malformed, Row


class Turn(NamedTuple):
    """What one speaker says before another one replies."""

    speaker: str
    text: str


def rows_of_turns(dialogues: Iterable[Row | Malformed], settings: DialogueReader) -> Iterator[Row | Malformed]:
    """Yield one row per turn, with the columns of ``DialogueReader``; a dialogue whose turns cannot be told is one malformed row."""
    number = 0
    for dialogue in dialogues:
        if isinstance(dialogue, Malformed):
            yield dialogue
            continue
        try:
            turns = _turns(dialogue.values.get(settings.turns), settings)
            labels = {name: _labels(dialogue.values.get(name), name, len(turns)) for name in settings.labels}
        except ValueError as error:
            yield Malformed(dialogue.line, str(error), str(dialogue.values.get(settings.turns)))
            continue
        for place in range(len(turns)):
            number += 1
            own = {name: None if values is None else values[place] for name, values in labels.items()}
            yield Row(number, {"dialogue": str(dialogue.line), **_columns(turns, place, settings.history), **own})


def _columns(turns: Sequence[Turn], place: int, limit: int) -> dict[str, Any]:
    """A turn, up to ``limit`` turns before it, and the reply to it, which the last turn has not."""
    said = [f"{speaker}: {text}" for speaker, text in turns[max(0, place - limit) : place + 1]]
    reply = turns[place + 1].text if place + 1 < len(turns) else None
    return {"history": " ".join(said[:-1]), "utterance": turns[place].text, "text": " ".join(said), "reply": reply}


def _turns(value: Any, settings: DialogueReader) -> list[Turn]:
    """The turns, with their speakers as A, B and so on in the order in which they first speak.

    Raises:
        ValueError: the value is not a list of texts that are not blank.
    """
    separator = settings.separator
    if isinstance(value, str) and separator:
        value = value.strip().removesuffix(separator).split(separator)
    if not isinstance(value, Sequence) or isinstance(value, str):
        hint = "" if separator else "; name the separator of turns that are one text"
        raise ValueError(f"{settings.turns}: must be a list of turns, not {str(value)[:40]!r}{hint}")
    said = [(turn.get("speaker"), turn.get("text")) if isinstance(turn, Mapping) else (i % 2, turn) for i, turn in enumerate(value)]
    for place, (_, text) in enumerate(said):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{settings.turns}: turn {place} is not a text: {str(value[place])[:40]!r}")
    letters: dict[Any, str] = {}
    speakers = [letters.setdefault(str(speaker), ascii_uppercase[len(letters) % 26]) for speaker, _ in said]
    return [Turn(speaker, " ".join(str(text).split())) for speaker, (_, text) in zip(speakers, said, strict=True)]


def _labels(value: Any, name: str, turns: int) -> list[Any] | None:
    """One label for each turn: a list, or what stands between spaces; None where the dialogue has none.

    Raises:
        ValueError: there are more or fewer labels than turns.
    """
    if value is None:
        return None
    found: Any = value.split() if isinstance(value, str) else value
    if not isinstance(found, Sequence) or len(found) != turns:
        count = len(found) if isinstance(found, Sequence) else 0
        raise ValueError(f"{name}: {count} labels for {turns} turns")
    return list(found)
