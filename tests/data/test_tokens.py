"""Tokens of raw text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtl.data.schema import text_of
from mtl.data.tokens import tokenize

SUBWORDS = st.sampled_from(
    ["it's", "DON'T", "http://a.b/c?d=1", "@me", "#tag", ":)", "…", "5:30pm", "é", "日本", "👨‍👩‍👧", "\u200d", "\x00", "’", "can't", ".."]
)
TEXTS = st.lists(st.one_of(SUBWORDS, st.text(max_size=8), st.sampled_from([" ", "\n", "\t\t", "\u00a0", "\x1f"])), max_size=12).map("".join)


@given(TEXTS)
@example("")
@example(" \n ")
def test_offsets_are_exact_and_nothing_is_lost(text: str) -> None:
    tokens, space_after, starts = tokenize(text)
    end = 0
    for token, start in zip(tokens, starts, strict=True):
        assert text[start : start + len(token)] == token
        assert token
        assert not any(character.isspace() for character in token)
        assert not text[end:start].strip()
        end = start + len(token)
    assert not text[end:].strip()
    assert text_of(tokens, space_after) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It's great, don't you think?", "It 's great , do n't you think ?"),
        ("I can't, I'll, we've, they’re", "I ca n't , I 'll , we 've , they ’re"),
        ("cannot", "cannot"),
        ("See http://t.co/aB1), www.a.org. me@a.org!", "See http://t.co/aB1 ) , www.a.org . me@a.org !"),
        ("@Bob_x: #NoFilter :) :-D <3 xD!!!", "@Bob_x : #NoFilter :) :-D <3 xD !!!"),
        ("U.S. sales rose 3.5% to $1,200.50 on 12/25/2010...", "U.S. sales rose 3.5 % to $ 1,200.50 on 12/25/2010 ..."),
        ("Mr. O'Brien's e-mail at 5:30pm (AT&T) 90's", "Mr. O'Brien 's e-mail at 5:30pm ( AT&T ) 90's"),
        ("naïve cafe\u0301 नमस्ते 日本", "naïve cafe\u0301 नमस्ते 日 本"),
        ("“Paris”—dogs' end.", "“ Paris ” — dogs ' end ."),
        ("", ""),
        (f"{'a-' * 40}b@c.org", f"{'a-' * 40}b @c . org"),  # a mail address has at most 64 characters before the @
    ],
)
def test_examples(text: str, tokens: str) -> None:
    assert tokenize(text)[0] == tokens.split()
