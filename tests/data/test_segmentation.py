"""Raw texts become tokens that lie where they are said to."""

import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl import plugins
from mtl.data import segmentation
from mtl.data.matching import match
from mtl.data.schema import text_of
from mtl.data.segmentation import SEGMENTERS, Segmented, segmenter
from mtl.errors import PluginError

HAN = st.text("我们在北京吃烤鸭很好\ufe00\u0301 a1，", max_size=20)


@pytest.mark.parametrize("name", plugins.BUILT_IN[plugins.SEGMENTERS])
@given(st.text(max_size=60) | HAN)
def test_tokens_lie_where_they_start_and_only_white_space_between(name: str, text: str) -> None:
    tokens, space_after, starts = segmenter(name)(text)
    assert [text[start : start + len(token)] for start, token in zip(starts, tokens, strict=True)] == tokens
    assert all(token.strip() for token in tokens)
    ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
    gaps = [text[end:start] for end, start in zip([0, *ends], [*starts, len(text)], strict=True)]
    assert not "".join(gaps).strip()
    assert space_after == [bool(gap) for gap in gaps[1:-1]] + [False] * bool(tokens)
    assert text_of(tokens, space_after) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("王小明在北京买iPhone 15了，很好！！", "王 小 明 在 北 京 买 iPhone 15 了 ， 很 好 ！ ！"),
        ("看http://t.cn/aB1，@ann_b：#tag#好", "看 http://t.cn/aB1 ， @ann_b ： #tag # 好"),
        ("これは ペンです。", "こ れ は ペ ン で す 。"),
        ("วันนี้ดี Ann", "วั น นี้ ดี Ann"),
        ("ذهب أحمدُ إلى القاهرة، أليس كذلك؟", "ذهب أحمدُ إلى القاهرة ، أليس كذلك ؟"),
        ("דני גר בחֵיפָה, נכון?", "דני גר בחֵיפָה , נכון ?"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("한국은 좋다.", "한국은 좋다 ."),
        ("ＡＢＣ１２3（全角）", "ＡＢＣ１２3 （ 全 角 ）"),
    ],
)
def test_words_of_other_scripts(text: str, tokens: str) -> None:
    assert SEGMENTERS["words"](text).tokens == tokens.split()


def test_characters_are_what_people_see() -> None:
    assert SEGMENTERS["characters"]("e\u0301a นี้👨‍👩‍👧\u0600 x").tokens == ["e\u0301", "a", "นี้", "👨‍👩‍👧", "\u0600", "x"]


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("tweets", "I don't buy Ann 's for $5 , 3% off ?!"), ("words", "I do n't buy Ann 's for $ 5 , 3 % off ?!")],
)
def test_tweets_have_whole_contractions_and_prices(name: str, tokens: str) -> None:
    assert SEGMENTERS[name]("I don't buy Ann's for $5, 3% off?!").tokens == tokens.split()


def test_words_are_split_from_punctuation_and_spaces_are_not() -> None:
    assert SEGMENTERS["spaces"]("Ann's phone.").tokens == ["Ann's", "phone."]
    assert SEGMENTERS["words"]("Ann's phone.") == (["Ann", "'s", "phone", "."], [False, True, False, False], [0, 3, 6, 11])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("王小明在北京 买iPhone 15了，很好吃！！", "王小明 在 北京 买 iPhone 15 了 ， 很 好吃 ！ ！"),
        ("见http://t.cn/a，@ann：＃好＃", "见 http://t.cn/a ， @ann ： ＃ 好 ＃"),
        ("我们喜欢\u0301吃", "我们 喜 欢\u0301 吃"),
        ("ペンです", "ペ ン で す"),
        ("don't 好吃", "do n't 好吃"),
    ],
)
def test_rjieba_joins_chinese_characters_to_words(text: str, tokens: str) -> None:
    assert segmenter("rjieba")(text).tokens == tokens.split()


def test_given_words_are_reproduced_by_a_named_segmenter() -> None:
    rows = [(["我们", "喜欢", "吃", "烤鸭", "。"], [False] * 5)]
    assert match(rows).shares.keys() == set(SEGMENTERS)
    assert match(rows, "rjieba").shares["rjieba"] == 1.0


def test_without_rjieba_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    segmentation._jieba.cache_clear()
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(PluginError, match=r"rjieba is not installed.*mtl\[chinese\]"):
        segmenter("rjieba")("好吃")
    assert segmenter("rjieba")("no Chinese").tokens == ["no", "Chinese"]


def test_a_segmenter_of_an_outside_package(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("my_segmenter")
    module.halves = lambda text: Segmented([text[: len(text) // 2], text[len(text) // 2 :]], [False, False], [0, len(text) // 2])
    monkeypatch.setitem(sys.modules, "my_segmenter", module)
    monkeypatch.setattr(plugins, "_outside", lambda group: {"halves": "my_segmenter:halves"} if group == plugins.SEGMENTERS else {})
    assert segmenter("halves")("abcd").tokens == ["ab", "cd"]
    assert "halves" in plugins.names(plugins.SEGMENTERS)
