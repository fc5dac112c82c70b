"""Samples side by side: every word stays, changes and entities are marked."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mtl.report.audit import pair, stretches


def row(tokens: list[str], tags: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "x", "tokens": tokens, "space_after": [True] * (len(tokens) - 1) + [False], "spans": tags, **more}


def test_changes_and_entities_are_marked() -> None:
    old = row(["New", "York", "is", "grand"], ["B-place", "I-place", "O", "O"], mood="glad", rating=-0.5)
    new = row(["New", "York", "is", "great"], ["B-place", "I-place", "O", "O"], mood="glad", rating=-0.5)
    found = pair(old, new, ["spans", "mood", "rating"])
    assert found["variant"] == [
        ([("New ", False), ("York ", False)], "place"),
        ([("is ", False)], None),
        ([("great", True)], None),
    ]
    assert found["original"][-1] == ([("grand", True)], None)
    assert found["labels"] == {"mood": "glad", "rating": "−0.50"}


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1), st.lists(st.sampled_from(["a", "b", "c"]), min_size=1))
def test_no_word_is_lost(old: list[str], new: list[str]) -> None:
    found = pair(row(old), row(new), ["spans"])
    for side, tokens in (("original", old), ("variant", new)):
        assert [word for stretch in found[side] for word, _ in stretch.tokens] == [token + " " for token in tokens[:-1]] + tokens[-1:]
    unchanged = [
        [word.strip() for stretch in found[side] for word, changed in stretch.tokens if not changed] for side in ("original", "variant")
    ]
    assert unchanged[0] == unchanged[1]


def test_neighbouring_entities_stay_apart() -> None:
    assert [stretch.type for stretch in stretches(row(["a", "b"], ["B-x", "B-x"]), ["spans"], {0, 1})] == ["x", "x"]
