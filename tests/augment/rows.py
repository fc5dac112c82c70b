"""Canonical rows for the tests of augmentation."""

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from mtl.data.schema import schema

HOSTILE = [
    "movie",
    "amazing.",
    "Film",
    "(really)",
    "http://a.b/movie",
    "@movie",
    "#movie",
    "^_^",
    "é",
    "日本",
    "",
    "\t",
    "Qzbaq",
    "qzbaq",
    "[x]",
    "$",
    "\\",
]
HOSTILE += [
    "don't",
    "n't",
    "'s",
    "...",
    "a",
    "an",
    "not",
    "5",
    "\u200b",
    "U.S.",
    "think",
    "(",
    "<b>",
    "~",
    "\x1f",
    "’",
    ":)",
    "Really",
    "REALLY",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",  # one emoji of three, joined
    "e\u0301",
    "\u0301",
    "\u05e9\u05dc\u05d5\u05dd",  # written from right to left
    "\u202etxet",
    "\U0001f1f3\U0001f1f4",
]


def texts(*content: str, split: str = "train") -> pa.Table:
    """Rows of plain text with a class."""
    rows = [
        {"id": str(i), "split": split, **tokens(text.split(" ")), "sentiment": "positive" if i % 2 else "negative"}
        for i, text in enumerate(content)
    ]
    return pa.Table.from_pylist(rows, schema=schema({"sentiment": "class"}))


def tokens(words: list[str]) -> dict[str, Any]:
    return {"tokens": words, "space_after": [True] * (len(words) - 1) + [False] if words else []}


def tagged(*content: tuple[list[str], list[str] | None]) -> pa.Table:
    """Rows of tokens with tags."""
    rows = [{"id": str(i), "split": "train", **tokens(words), "entities": tags} for i, (words, tags) in enumerate(content)]
    return pa.Table.from_pylist(rows, schema=schema({"entities": "tags"}))


@st.composite
def tagged_rows(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Tokens, many of them hostile, with legal tags."""
    words, tags = [], []
    for type_ in draw(st.lists(st.sampled_from(["O", "O", "O", "person", "geo-loc"]), max_size=8)):
        token = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=6)
        length = draw(st.integers(1, 3)) if type_ != "O" else 1
        words += [draw(token) for _ in range(length)]
        tags += ["O"] if type_ == "O" else [f"B-{type_}"] + [f"I-{type_}"] * (length - 1)
    return words, tags
