"""Windows of long rows show every token, most of them with what stands around them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mtl.encoders import SubwordTokenizer
from mtl.encoders.windows import best_windows, encode_windows

WORDS = st.sampled_from(["the", "fox", "foxes", "waste", "quickquickquickquick", "", "\u200b"])


@pytest.fixture(scope="module")
def bert(tiny_bert: Path) -> SubwordTokenizer:
    return SubwordTokenizer.load(tiny_bert / "tokenizer.json")


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
