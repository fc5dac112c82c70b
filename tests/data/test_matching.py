"""The segmentation of a dataset is the one that reproduces its tokens."""

import pytest

from mtl.data.matching import match, spaceless
from mtl.data.spacing import spaces_after


def rows(*texts: str) -> list[tuple[list[str], list[bool]]]:
    return [(text.split(), spaces_after(text.split())) for text in texts]


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (["It 's $ 5 .", "I do n't know Ann 's dog ."], "words"),
        (["I'm $5 .", "I don't know Ann 's dog ."], "tweets"),
        (["王 小 明 买 i P h o n e 1 5 。", "好 ！ ！ ！"], "characters"),
        (["AT&T: call?me now", "x:y a.b, c"], "spaces"),
        (["play some jazz", "book a table"], "words"),
        (["ذهب أحمد إلى القاهرة .", "هل تعرف دمشق ؟"], "words"),
        (["דני גר בחיפה .", "שלום , עולם !"], "words"),
    ],
)
def test_the_best_one_is_taken(texts: list[str], name: str) -> None:
    found = match(rows(*texts))
    assert found.name == name
    assert found.shares[name] == 1.0
    assert found.rows == len(texts)


def test_a_token_counts_only_with_both_boundaries() -> None:
    assert match([(["New-York", "is", "big"], [True, True, False])]).shares["characters"] == 0
    assert match([(["ab", "c"], [False, False])]).shares == {"words": 0, "tweets": 0, "characters": 0.5, "spaces": 0}


def test_one_that_is_named_is_taken_and_measured() -> None:
    found = match(rows("It 's Ann ."), "spaces")
    assert (found.name, found.shares["spaces"], found.shares["words"]) == ("spaces", 0, 1)


def test_of_many_rows_a_sample_is_compared() -> None:
    assert match(rows("a b") * 10_001).rows == 1667


def test_scripts_without_spaces_between_words() -> None:
    assert all(map(spaceless, [["今天天气很好 OK"], ["これはペンです"], ["วันนี้"], ["日本語 日本語"]]))
    assert not any(map(spaceless, [["Hello 世界"], ["안녕하세요"], ["مرحبا"], ["שלום"], []]))
