"""Raw texts become tokens that lie where they are said to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data.schema import text_of
from mtl.data.segmentation import SEGMENTERS


@pytest.mark.parametrize("name", SEGMENTERS)
@given(st.text(max_size=60))
def test_tokens_lie_where_they_start_and_only_white_space_between(name: str, text: str) -> None:
    tokens, space_after, starts = SEGMENTERS[name](text)
    assert [text[start : start + len(token)] for start, token in zip(starts, tokens, strict=True)] == tokens
    assert all(token.strip() for token in tokens)
    ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
    gaps = [text[end:start] for end, start in zip([0, *ends], [*starts, len(text)], strict=True)]
    assert not "".join(gaps).strip()
    assert space_after == [bool(gap) for gap in gaps[1:-1]] + [False] * bool(tokens)
    assert text_of(tokens, space_after) == " ".join(text.split()) or name == "words"


def test_words_are_split_from_punctuation_and_spaces_are_not() -> None:
    assert SEGMENTERS["spaces"]("Ann's phone.").tokens == ["Ann's", "phone."]
    assert SEGMENTERS["words"]("Ann's phone.") == (["Ann", "'s", "phone", "."], [False, True, False, False], [0, 3, 6, 11])
