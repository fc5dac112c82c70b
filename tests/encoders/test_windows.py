"""Windows of long rows show every token, most of them with what stands around them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.tokenizer import Marker
from mtl.encoders.windows import best_windows, encode_windows

WORDS = st.sampled_from(["the", "fox", "foxes", "waste", "quickquickquickquick", "", "\u200b"])


@pytest.fixture(scope="module")
def bert(tiny_bert: Path) -> SubwordTokenizer:
    return SubwordTokenizer.load(tiny_bert / "tokenizer.json")


def test_joining_windows_computes_the_token_indices_once(bert: SubwordTokenizer) -> None:
    encoded = encode_windows(bert, [["fox"] * 40] * 3, 12)
    assert encoded.word_ids is encoded.word_ids  # once per row would be quadratic in the rows


@given(st.lists(st.lists(WORDS, max_size=40), max_size=4), st.integers(3, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_token_is_in_a_window(bert: SubwordTokenizer, rows: list[list[str]], max_length: int) -> None:
    encoded, plain = encode_windows(bert, rows, max_length), bert.encode(rows, max_length)
    assert encoded.owner is not None
    assert encoded.lengths.max(initial=0) <= max_length
    assert encoded.owner[: len(rows)].tolist() == list(range(len(rows)))
    assert encoded.subwords[: len(plain.subwords)].tolist() == plain.subwords.tolist()
    for row, words in enumerate(rows):
        windows = np.flatnonzero(encoded.owner == row).tolist()
        assert len(windows) == 1 or plain.lost[row]
        found = [encoded.word_ids[encoded.offsets[w] : encoded.offsets[w + 1]] for w in windows]
        assert set(np.concatenate(found)) - {-1} == set(range(len(words)))
        if words:
            window, place = best_windows(encoded, windows)
            assert [found[w][found[w] >= 0][p] for w, p in zip(window, place, strict=True)] == list(range(len(words)))


def test_a_token_is_taken_from_where_most_stands_around_it(bert: SubwordTokenizer) -> None:
    encoded = encode_windows(bert, [["the"] * 14], 10)
    starts = [encoded.word_ids[encoded.offsets[w] + 1] for w in range(len(encoded))]
    assert (starts, encoded.lengths.tolist()) == ([0, 4, 8], [10, 10, 8])
    window, place = best_windows(encoded, [0, 1, 2])
    assert window.tolist() == [0] * 6 + [1] * 4 + [2] * 4
    assert place.tolist() == [0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5]


def test_a_tokenizer_without_special_subwords_shows_every_token_too(tmp_path: Path) -> None:
    plain = Tokenizer(WordLevel({"the": 0}, unk_token="the"))
    plain.pre_tokenizer = Whitespace()
    plain.save(str(tmp_path / "tokenizer.json"))
    encoded = encode_windows(SubwordTokenizer.load(tmp_path / "tokenizer.json"), [["the"] * 30], 8)
    assert encoded.lengths.max() == 8
    assert set(encoded.word_ids.tolist()) == set(range(30))


FIELD = st.lists(WORDS, max_size=30)


@given(st.lists(st.tuples(FIELD, st.none() | FIELD), max_size=4), st.integers(4, 14), st.none() | st.integers(1, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_windows_of_two_fields_repeat_the_left_and_show_all_of_the_right(
    bert: SubwordTokenizer, rows: list[tuple[list[str], list[str] | None]], max_length: int, stride: int | None
) -> None:
    lefts, rights = [left for left, _ in rows], [right for _, right in rows]
    encoded, plain = encode_windows(bert, lefts, max_length, rights, stride), bert.encode(lefts, max_length, rights)
    assert encoded.owner is not None
    assert encoded.lengths.max(initial=0) <= max_length
    assert encoded.owner[: len(rows)].tolist() == list(range(len(rows)))
    segment_ids = encoded.segment_ids
    for row, (left, right) in enumerate(rows):
        windows = np.flatnonzero(encoded.owner == row).tolist()
        parts = [slice(encoded.offsets[w], encoded.offsets[w + 1]) for w in windows]
        by_field = [[encoded.word_ids[part][segment_ids[part] == field] for part in parts] for field in (0, 1)]
        sliding, tokens = (by_field[0], left) if right is None else (by_field[1], right)
        assert len(windows) == 1 or plain.lost[row]
        assert set(np.concatenate([[-1], *sliding])) - {-1} == set(range(len(tokens)))
        if right is not None:
            assert len({tuple(encoded.subwords[part][segment_ids[part] == 0]) for part in parts}) == 1
            seen = int((by_field[0][0] >= 0).sum())
            assert encoded.lost[windows].tolist() == [len(left) - seen] + [0] * (len(windows) - 1)
            assert seen == len(left) or plain.lost[row]
        window, place = best_windows(encoded, windows)
        assert [sliding[w][sliding[w] >= 0][p] for w, p in zip(window, place, strict=True)] == list(range(len(tokens)))


def starts(encoded: Encoded) -> list[int]:
    """The token of the last field that each window begins with."""
    assert encoded.begin is not None
    firsts = [
        encoded.word_ids[start + at + (at == 0)] for start, at in zip(encoded.offsets, encoded.boundary * encoded.pairs, strict=False)
    ]
    assert firsts == encoded.begin.tolist()
    return encoded.begin.tolist()


def test_a_stride_is_where_the_next_window_starts_but_half_a_window_at_most(bert: SubwordTokenizer) -> None:
    question, text = [["fox", "waste"]], [["the"] * 14]
    assert starts(encode_windows(bert, question, 11, text)) == [0, 3, 6, 9]  # 6 of them beside the question, half of that
    assert starts(encode_windows(bert, question, 11, text, 2)) == [0, 2, 4, 6, 8]
    assert starts(encode_windows(bert, question, 11, text, 128)) == [0, 3, 6, 9]
    assert starts(encode_windows(bert, text, 10, stride=2)) == [0, 2, 4, 6]


def test_a_left_field_keeps_half_of_the_room(bert: SubwordTokenizer) -> None:
    encoded = encode_windows(bert, [["fox"] * 30, ["fox"] * 30], 11, [["the"] * 6, None])
    assert encoded.owner is not None
    assert encoded.lengths[encoded.owner == 0].tolist() == [11, 11]
    assert encoded.boundary[encoded.owner == 0].tolist() == [6, 6]
    assert encoded.lost[:2].tolist() == [26, 0]


def test_markers_are_in_windows_but_are_not_tokens(bert: SubwordTokenizer, tiny_bert: Path) -> None:
    tokenizer = SubwordTokenizer.load(tiny_bert / "tokenizer.json")
    ids = tokenizer.add_markers(["[E1]"])
    encoded = encode_windows(tokenizer, [[Marker("[E1]"), *["the"] * 7, Marker("[E1]"), *["fox"] * 7]], 10)
    assert (starts(encoded.take(np.arange(1, len(encoded)))), encoded.begin) == ([3, 7], pytest.approx([0, 3, 7]))
    assert set(encoded.word_ids.tolist()) == set(range(-1, 14))
    assert (encoded.subwords == ids["[E1]"]).sum() == 2  # the last window begins with the token behind it


def test_the_best_windows_of_many_rows_take_time_in_proportion(bert: SubwordTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode_windows(bert, [["the"] * 40] * 50, 12)
    computed, repeat = [], np.repeat
    monkeypatch.setattr(np, "repeat", lambda array, *more: computed.append(len(array)) or repeat(array, *more))
    for row in range(50):
        best_windows(encoded, np.flatnonzero(encoded.owner == row).tolist())
    assert computed == [len(encoded)]  # once for all rows
