"""Ranges of a text, marked inline or by offsets."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.config import Params, parse
from mtl.data import schema
from mtl.data.marks import marked_tokens
from mtl.data.prepare import prepare
from mtl.errors import ParamsError

INLINE = {"marks": ["e1", "e2"]}
OFFSETS = {"marks": {"e1": {"start": "a", "end": "b"}, "e2": {"start": "c", "end": "d"}}}
LABEL = {"type": "relation", "column": "class", "head": "e1", "tail": "e2"}


def settings(reader: dict[str, Any], **dataset: Any) -> Params:
    own = {"source": {"url": "x"}, "reader": reader, "labels": {"relation": LABEL}, "split": {"train": 1.0}, "segmentation": "words"}
    return parse(
        {
            "seed": 1,
            "datasets": {"d": own | dataset},
            "tasks": {"t": {"type": "relation_classification", "label": "relation"}},
            "encoder": {"type": "cnn"},
        }
    )


def rows(tmp_path: Path, params: Params, content: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    (tmp_path / "raw" / "all").mkdir(parents=True)
    (tmp_path / "raw" / "all" / "file").write_text(content)
    (tmp_path / "out").mkdir()
    prepare(params, "d", tmp_path / "raw", tmp_path / "out")
    return schema.read(tmp_path / "out" / "d.parquet").to_pylist(), json.loads((tmp_path / "out" / "d.json").read_text())


def test_inline_marks_become_ranges_of_tokens(tmp_path: Path) -> None:
    reader = {"format": "tsv", "columns": ["class", "text"], "quoting": "none"}
    content = "A(e1,e2)\tThe <e1>burst</e1> &amp; the <e2>water pressure</e2>.\nOther\t<e2>x</e2><e1>y</e1>\n"
    [first, second], _ = rows(tmp_path, settings(reader, unescape_html=True, **INLINE), content)
    assert first["tokens"] == ["The", "burst", "&", "the", "water", "pressure", "."]
    assert first["space_after"] == [True, True, True, True, True, False, False]
    assert first["relation"] == {"class": "A(e1,e2)", "head_start": 1, "head_end": 2, "tail_start": 4, "tail_end": 6}
    assert (second["tokens"], second["space_after"]) == (["x", "y"], [False, False])
    assert second["relation"] == {"class": "Other", "head_start": 1, "head_end": 2, "tail_start": 0, "tail_end": 1}


def test_columns_of_offsets_become_ranges_of_tokens(tmp_path: Path) -> None:
    text = "The burst came from  water pressure."
    row = {"class": "A", "text": text, "a": 4, "b": 9, "c": text.index("water"), "d": text.index(".")}
    [first], _ = rows(tmp_path, settings({"format": "jsonl"}, **OFFSETS), json.dumps(row))
    assert first["tokens"] == ["The", "burst", "came", "from", "water", "pressure", "."]
    assert first["relation"] == {"class": "A", "head_start": 1, "head_end": 2, "tail_start": 4, "tail_end": 6}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no mark", "the text has <e1> 0 times, not once"),
        ("<e1>a</e1> <e2>b", "the text has </e2> 0 times, not once"),
        ("<e1>a</e1> <e2>b</e2> <e1>", "the text has <e1> 2 times, not once"),
        ("<e1>a <e2>b</e1> c</e2>", "e1 and e2 overlap"),
        ("<e1> </e1> <e2>b</e2>", "e1: the range holds no token"),
        ("</e1>a<e1> <e2>b</e2>", "e1: the range holds no token, or ends before it starts"),
        ("&lt;e1&gt; <e1>a</e1> <e2>b</e2>", "an HTML entity of the text stands for a part of a mark"),
        (3, "marks need a text, not '3'"),
    ],
)
def test_a_malformed_mark_is_told(text: Any, reason: str) -> None:
    dataset = settings({"format": "jsonl"}, unescape_html=True, **INLINE).datasets["d"]
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        marked_tokens(text, {}, dataset)


@pytest.mark.parametrize(
    ("offsets", "reason"),
    [
        ((0, 1, 2, 99), "d: 99 is outside the text, which has 3 characters"),
        ((-1, 1, 2, 3), "a: -1 is outside the text"),
        ((1, 1, 2, 3), r"e1: the range \[1, 1\) is empty"),
        (("x", 1, 2, 3), "a: 'x' is not an offset"),
        ((0, 3, 2, 3), "e1 and e2 overlap"),
    ],
)
def test_a_wrong_offset_is_told(offsets: tuple[Any, ...], reason: str) -> None:
    dataset = settings({"format": "jsonl"}, **OFFSETS).datasets["d"]
    with pytest.raises(ValueError, match=reason):
        marked_tokens("a b", dict(zip("abcd", offsets, strict=True)), dataset)


words = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"], exclude_characters="<>/"), min_size=1, max_size=5)


@given(st.lists(words, min_size=2, max_size=8), st.data())
def test_offsets_and_inline_marks_give_the_same(tokens: list[str], data: st.DataObject) -> None:
    text = " ".join(tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4, unique=True)))
    inline = (
        f"{text[: cuts[0]]}<e1>{text[cuts[0] : cuts[1]]}</e1>{text[cuts[1] : cuts[2]]}<e2>{text[cuts[2] : cuts[3]]}</e2>{text[cuts[3] :]}"
    )
    by_offsets, by_marks = (settings({"format": "jsonl"}, **marks).datasets["d"] for marks in (OFFSETS, INLINE))
    try:
        expected = marked_tokens(inline, {}, by_marks)
    except ValueError:
        return  # a range of only white space
    assert marked_tokens(text, dict(zip("abcd", cuts, strict=True)), by_offsets) == expected
    found, space_after, ranges = expected
    assert "".join(found) == text.replace(" ", "")
    assert "".join(found[slice(*ranges["e1"])]) == text[cuts[0] : cuts[1]].replace(" ", "")
    assert len(space_after) == len(found)


@pytest.mark.parametrize("more", [{"tokens": True}, {"text": ["text", "other"]}])
def test_marks_need_one_raw_text(more: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="marks need a single text field that is not tokenised"):
        settings({"format": "jsonl"}, **INLINE, **more)
