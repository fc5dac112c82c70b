"""White space between tokens whose source does not tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data.schema import text_of
from mtl.data.spacing import spaces_after


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("U.N. official Ekeus heads for Baghdad .", "U.N. official Ekeus heads for Baghdad."),
        ("He did n't say ( or know ) it 's $ 5 , 3 % more .", "He didn't say (or know) it's $5, 3% more."),
        ('" Stop ! " he said , " now " .', '"Stop!" he said, "now".'),
        ("' Yes ' , the dogs ' owner said", "'Yes', the dogs' owner said"),
        ("the dogs ' owner", "the dogs' owner"),
        ("“ Paris ” — a - b", "“Paris” — a - b"),
        ("王 小 明 在 i P h o n e 1 5 上 。", "王小明在iPhone15上。"),
        ("我 买 iPhone 15 了 ， 很 好", "我买iPhone 15了，很好"),
        ("これ は ペン です 。", "これはペンです。"),
        ("วัน นี้ Ann มา", "วันนี้Annมา"),
        ("مرحبا ، كيف حالك ؟", "مرحبا، كيف حالك؟"),
        ("שלום , מה שלומך ?", "שלום, מה שלומך?"),
        ("한국 은 좋다 .", "한국 은 좋다."),
        ("A B c", "A B c"),
    ],
)
def test_the_text_is_as_one_writes_it(tokens: str, text: str) -> None:
    assert text_of(tokens.split(), spaces_after(tokens.split())) == text


@given(st.lists(st.text(min_size=1, max_size=4).filter(lambda token: not any(map(str.isspace, token))), max_size=8))
def test_each_token_has_a_flag_and_the_last_is_false(tokens: list[str]) -> None:
    flags = spaces_after(tokens)
    assert len(flags) == len(tokens)
    assert not any(flags[-1:])
    assert "".join(tokens) == text_of(tokens, flags).replace(" ", "")
