"""Tag schemes of entity spans. IOB1, IOB2 and BIOES are read; everything behind the readers is IOB2."""

from collections.abc import Sequence

from mtl.data.schema import legal_iob2


def to_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of a scheme (``iob1``, ``iob2`` or ``bioes``) as IOB2.

    IOB1 opens an entity with I- unless one of the same type stands directly before it; BIOES also marks ends (E-) and single tokens (S-).

    Raises:
        ValueError: the tags are not legal in the scheme; the message names the first that is not.
    """
    letters = "BIES" if scheme == "bioes" else "BI"
    for tag in tags:
        if tag != "O" and not (tag[:1] in letters and tag[1:2] == "-" and len(tag) > 2):
            allowed = ", ".join(f"{letter}-TYPE" for letter in letters)
            raise ValueError(f"tag {tag!r} is not legal {scheme}; choose from: O, {allowed}")
    if scheme == "iob1":
        return _from_iob1(tags)
    converted = _from_bioes(tags) if scheme == "bioes" else list(tags)
    if not legal_iob2(converted):
        position = next(i for i in range(len(tags)) if not legal_iob2(converted[: i + 1]))
        before = tags[position - 1] if position else "the start"
        raise ValueError(f"tag {tags[position]!r} after {before!r} is not legal {scheme}")
    return converted


def _from_iob1(tags: Sequence[str]) -> list[str]:
    converted: list[str] = []
    previous = "O"
    for tag in tags:
        opens = tag.startswith("I-") and previous[2:] != tag[2:]
        converted.append(f"B-{tag[2:]}" if opens else tag)
        previous = tag
    return converted


def _from_bioes(tags: Sequence[str]) -> list[str]:
    """E- becomes I-, S- becomes B-; an entity that is not ended, or goes on after its end, is refused."""
    converted: list[str] = []
    inside = ""  # type of the entity that waits for its end
    for position, tag in enumerate(tags):
        letter, kind = tag[:1], tag[2:]
        if (kind != inside) if letter in "IE" else bool(inside):
            raise ValueError(
                f"tag {tag!r} at token {position + 1} is not legal bioes: " + (f"{inside} is open" if inside else "none is open")
            )
        inside = kind if letter in "BI" else ""
        converted.append({"E": "I-", "S": "B-"}.get(letter, f"{letter}-") + kind if tag != "O" else tag)
    if inside:
        raise ValueError(f"the last entity ({inside}) has no E- tag, which bioes asks for")
    return converted


def entities(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The entities of legal IOB2 tags as (first token, behind the last token, type)."""
    spans: list[tuple[int, int, str]] = []
    for position, tag in enumerate(tags):
        if tag.startswith("B-"):
            spans.append((position, position + 1, tag[2:]))
        elif tag.startswith("I-"):
            spans[-1] = (spans[-1][0], position + 1, spans[-1][2])
    return spans
