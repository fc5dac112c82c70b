"""Markers in raw texts."""

from hypothesis import given
from hypothesis import strategies as st

from mtl.data.segmentation import SEGMENTERS, segment

MARKERS = ("</e1>", "</e2>", "<e1>", "<e2>")


def test_markers_end_tokens_and_are_not_tokens() -> None:
    text = "The <e1>burst</e1> came from <e2>water pressure</e2>."
    tokens, space_after, starts, places = segment(text, "words", MARKERS)
    assert tokens == ["The", "burst", "came", "from", "water", "pressure", "."]
    assert space_after == [True, True, True, True, True, False, False]
    assert places == {"<e1>": 1, "</e1>": 2, "<e2>": 4, "</e2>": 6}
    assert [text[start : start + len(token)] for start, token in zip(starts, tokens, strict=True)] == tokens


def test_a_marker_within_a_word_parts_it() -> None:
    assert segment("<e1>key</e1>board and <e2>x</e2>", "spaces", MARKERS)[:2] == (["key", "board", "and", "x"], [False, True, True, False])


def test_ranges_may_touch_and_come_in_any_order() -> None:
    assert segment("<e2>a</e2><e1>b</e1>", "spaces", MARKERS).places == {"<e2>": 0, "</e2>": 1, "<e1>": 1, "</e1>": 2}


def test_a_text_without_all_markers_is_plain_text() -> None:
    for text in ("no marker", "<e1>a</e1> b", "<e1>a</e1> <e2>b</e2> <e2>", ""):
        marked = segment(text, "words", MARKERS)
        assert marked[:3] == SEGMENTERS["words"](text)
        assert marked.places == {}


@given(
    st.lists(st.text(st.characters(exclude_characters="<>/", codec="utf-8"), max_size=8), min_size=5, max_size=5),
    st.sampled_from(["spaces", "words"]),
)
def test_offsets_are_exact_whatever_the_text(parts: list[str], segmentation: str) -> None:
    text = "".join(part + name for part, name in zip(parts, ("<e1>", "</e1>", "<e2>", "</e2>", ""), strict=True))
    tokens, space_after, starts, places = segment(text, segmentation, MARKERS)
    assert [text[start : start + len(token)] for start, token in zip(starts, tokens, strict=True)] == tokens
    assert len(space_after) == len(tokens)
    for name, place in places.items():
        assert all(start < text.index(name) for start in starts[:place])
        assert all(start > text.index(name) for start in starts[place:])
