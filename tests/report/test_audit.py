"""Samples side by side: every word stays, changes and entities are marked."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mtl.data.schema import schema
from mtl.report.audit import pair, stretches

TABLE = schema({"spans": "tags", "mood": "class", "rating": "number"})


def row(tokens: list[str], tags: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "tokens": tokens,
        "space_after": [True] * (len(tokens) - 1) + [False],
        "spans": tags,
        "mood": None,
        "rating": None,
        **more,
    }


def test_changes_and_entities_are_marked() -> None:
    old = row(["New", "York", "is", "grand"], ["B-place", "I-place", "O", "O"], mood="glad", rating=-0.5)
    new = row(["New", "York", "is", "great"], ["B-place", "I-place", "O", "O"], mood="glad", rating=-0.5)
    found = pair(old, new, TABLE)
    (field,) = found["fields"]
    assert field["variant"] == [
        ([("New ", False), ("York ", False)], "place"),
        ([("is ", False)], None),
        ([("great", True)], None),
    ]
    assert field["original"][-1] == ([("grand", True)], None)
    assert found["labels"] == {"mood": "glad", "rating": "−0.50"}


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1), st.lists(st.sampled_from(["a", "b", "c"]), min_size=1))
def test_no_word_is_lost(old: list[str], new: list[str]) -> None:
    (found,) = pair(row(old), row(new), TABLE)["fields"]
    for side, tokens in (("original", old), ("variant", new)):
        assert [word for stretch in found[side] for word, _ in stretch.tokens] == [token + " " for token in tokens[:-1]] + tokens[-1:]
    unchanged = [
        [word.strip() for stretch in found[side] for word, changed in stretch.tokens if not changed] for side in ("original", "variant")
    ]
    assert unchanged[0] == unchanged[1]


def test_neighbouring_entities_stay_apart() -> None:
    assert [stretch.type for stretch in stretches(row(["a", "b"], ["B-x", "B-x"]), TABLE, "text", {0, 1})] == ["x", "x"]


def test_every_text_field_is_shown_with_the_entities_of_its_own_labels() -> None:
    table = schema({"found": "spans", "topics": "classes"}, ("question", "passage"), {"found": "passage"})

    def two(question: list[str], passage: list[str]) -> dict[str, Any]:
        texts = {"question.tokens": question, "passage.tokens": passage}
        spaces = {"question.space_after": [False] * len(question), "passage.space_after": [False] * len(passage)}
        return {"id": "x", **texts, **spaces, "found": [{"start": 0, "end": 2, "type": "place"}], "topics": ["a", "b"]}

    found = pair(two(["where"], ["New", "York"]), two(["whither"], ["New", "York"]), table)
    question, passage = found["fields"]
    assert (question["name"], question["variant"]) == ("question", [([("whither", True)], None)])
    assert (passage["name"], passage["variant"]) == ("passage", [([("New", False), ("York", False)], "place")])
    assert found["labels"] == {"topics": "a, b"}
