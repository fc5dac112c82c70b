"""Names say what they name, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.names import RunName, ShardName, VariantId, group_of, phased, phases_of

TASK = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
NUMBER = st.integers(min_value=0, max_value=99_999)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (RunName("joint", "augmented", 1), "joint-augmented-1"),
        (RunName("entities", "plain", 1), "single_entities-plain-1"),
        (RunName("joint", "augmented", 2, 150), "joint-augmented-2-150"),
        (RunName(group_of(["entities", "topic"]), "plain", 1), "group_entities+topic-plain-1"),
        (RunName(phased(["entities", "topic"], "mood"), "plain", 1), "phases_entities+topic~mood-plain-1"),
        (RunName(phased(["topic"], "mood"), "augmented", 2), "phases_topic~mood-augmented-2"),
        (ShardName("tweets", 0, 2), "tweets-00000-of-00002"),
        (VariantId("r~1", "synonym", 3), "r~1~synonym~3"),
    ],
)
def test_names_read_as_documented(name: RunName | ShardName | VariantId, text: str) -> None:
    assert str(name) == text
    assert type(name).parse(text) == name


@given(st.lists(TASK, min_size=1, max_size=4), st.sampled_from(["augmented", "plain"]), NUMBER, st.one_of(st.just("all"), NUMBER))
def test_run_names_come_back(tasks: list[str], data: str, seed: int, size: int | str) -> None:
    name = RunName(group_of(tasks), data, seed, size)
    assert RunName.parse(str(name)) == name


@given(st.lists(TASK, min_size=1, max_size=3), TASK)
def test_phases_come_back(first: list[str], then: str) -> None:
    name = RunName(phased(first, then), "plain", 1)
    assert RunName.parse(str(name)) == name
    assert phases_of(name.model) == (group_of(first), then)
    assert phases_of(group_of(first)) is None


@given(TASK, NUMBER, NUMBER)
def test_shard_names_come_back(dataset: str, index: int, shards: int) -> None:
    name = ShardName(dataset, index, shards)
    assert ShardName.parse(str(name)) == ShardName.parse(name.file) == name


@given(st.text(), TASK, NUMBER)
def test_variant_ids_come_back_whatever_the_row_is_called(parent: str, method: str, copy: int) -> None:
    assert VariantId.parse(str(VariantId(parent, method, copy))) == VariantId(parent, method, copy)


def test_an_original_row_is_not_a_variant() -> None:
    with pytest.raises(ValueError, match="is not the name of a"):
        VariantId.parse("all-17")


@pytest.mark.parametrize(
    "name", ["joint", "other-plain-1", "joint-some-1", "joint-plain-1-2-3", "joint-plain-x", "single_a+b-plain-1", "group_a-plain-1"]
)
def test_what_is_not_a_run_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a"):
        RunName.parse(name)


@pytest.mark.parametrize("name", ["tweets", "tweets-0-in-2", "a-b-of-c"])
def test_what_is_not_a_shard_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a"):
        ShardName.parse(name)
