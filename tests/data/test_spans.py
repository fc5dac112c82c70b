"""Tag schemes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data.spans import SCHEMES, entities, legal_iob2, to_iob2

Span = tuple[int, int, str]
ENDS = {"bioes": "SEI", "bilou": "ULI", "bmes": "SEM"}
"""Scheme to its letters of a single token, a last one and one inside."""


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, list[Span]]:
    """A number of tokens, and entities that may touch but do not overlap."""
    result: list[Span] = []
    position = 0
    for _ in range(draw(st.integers(0, 5))):
        start = position + draw(st.integers(0, 2))
        position = start + draw(st.integers(1, 3))
        result.append((start, position, draw(st.sampled_from(["PER", "geo-loc"]))))
    return position + draw(st.integers(0, 2)), result


def encode(length: int, expected: list[Span], scheme: str) -> list[str]:
    """An independent encoder of spans as tags."""
    tags = ["O"] * length
    for start, end, type_ in expected:
        for i in range(start, end):
            tags[i] = f"{'B' if i == start else 'I'}-{type_}"
        if scheme in ENDS:
            single, last, inside = ENDS[scheme]
            tags[start + 1 : end] = [f"{inside}-{type_}"] * (end - start - 1)
            tags[end - 1] = f"{single if end - start == 1 else last}-{type_}"
        touches = any(other_end == start and other == type_ for _, other_end, other in expected)
        if scheme == "iob1" and not touches:
            tags[start] = f"I-{type_}"
    return tags


@given(spans(), st.sampled_from(sorted(SCHEMES)))
def test_every_scheme_gives_the_same_iob2(case: tuple[int, list[Span]], scheme: str) -> None:
    length, expected = case
    converted = to_iob2(encode(length, expected, scheme), scheme)
    assert converted == encode(length, expected, "iob2")
    assert legal_iob2(converted)
    assert [(entity.start, entity.end, entity.type) for entity in entities(converted)] == expected


@pytest.mark.parametrize(
    ("scheme", "tags", "message"),
    [
        ("iob2", "O I-PER", "'I-PER' after 'O'"),
        ("iob2", "B-PER I-LOC", "'I-LOC' after 'B-PER'"),
        ("iob2", "I-PER", "after 'the start'"),
        ("iob2", "B-", "'B-' is not legal iob2; choose from: O, B-TYPE, I-TYPE"),
        ("iob2", "S-PER", "'S-PER'"),
        ("iob1", "PER", "'PER'"),
        ("bioes", "B-PER O", "PER is open"),
        ("bioes", "B-PER I-PER", "has no E-"),
        ("bioes", "O E-PER", "none is open"),
        ("bioes", "B-PER E-LOC", "PER is open"),
        ("bioes", "S-PER I-PER", "none is open"),
        ("bioes", "B-PER S-PER", "PER is open"),
        ("bilou", "B-PER E-PER", "'E-PER' is not legal bilou; choose from: O, B-TYPE, I-TYPE, L-TYPE, U-TYPE"),
        ("bilou", "O L-PER", "tag 'L-PER' at token 2 is not legal bilou: none is open"),
        ("bilou", "B-PER I-PER", "has no L- tag, which bilou requires"),
        ("bmes", "B-PER M-PER", "has no E- tag, which bmes requires"),
        ("bmes", "B-PER I-PER", "'I-PER' is not legal bmes"),
    ],
)
def test_illegal_tags(scheme: str, tags: str, message: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + message.replace("(", r"\(")):
        to_iob2(tags.split(), scheme)


def test_iob1_takes_an_opening_b() -> None:
    assert to_iob2(["B-PER", "I-PER", "I-LOC", "O", "I-LOC", "B-LOC"], "iob1") == ["B-PER", "I-PER", "B-LOC", "O", "B-LOC", "B-LOC"]
