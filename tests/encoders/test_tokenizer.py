"""Subwords: every token has a position, special subwords frame a row, nothing depends on what else is encoded."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mtl.encoders.tokenizer import SHAPES, WORD_SHAPES, Encoded, SubwordTokenizer, word_shape
from mtl.errors import EncoderError

ROWS = [["the", "quick", "Fox"], ["waste", "of", "time"], ["the", "fox"]] * 3
tokens = st.lists(st.lists(st.text(max_size=6), max_size=12), max_size=5)


@pytest.fixture(scope="module")
def bert(tiny_bert: Path) -> SubwordTokenizer:
    return SubwordTokenizer.load(tiny_bert / "tokenizer.json")


def row_of(encoded: Encoded, row: int) -> tuple[list[int], list[int], list[int]]:
    part = slice(encoded.offsets[row], encoded.offsets[row + 1])
    return encoded.subwords[part].tolist(), encoded.word_ids[part].tolist(), encoded.word_shape_ids[part].tolist()


@pytest.mark.parametrize(
    ("token", "shape"),
    [("fox", "lower"), ("don't", "lower"), ("日本", "lower"), ("NASA", "upper"), ("U.S.", "upper"), ("Paris", "title"), ("I", "title"),
     ("@Anna", "title"), ("2015", "digit"), ("3.5%", "digit"), (".", "punctuation"), ("😀", "punctuation"), ("", "punctuation"),
     ("McDonald", "mixed"), ("iPhone", "mixed"), ("B2B", "mixed"), ("covid19", "mixed")],
)  # fmt: skip
def test_word_shapes(token: str, shape: str) -> None:
    assert WORD_SHAPES[word_shape(token)] == shape


def test_a_row_as_it_should_be(bert: SubwordTokenizer) -> None:
    encoded = bert.encode([["The", "foxes"], []], 16)
    vocabulary = bert._tokenizer.get_vocab()
    expected = [vocabulary[subword] for subword in ("[CLS]", "the", "fox", "##e", "##s", "[SEP]")]
    title, lower = 1 + 2 * WORD_SHAPES.index("title"), 1 + 2 * WORD_SHAPES.index("lower")
    assert row_of(encoded, 0) == (expected, [-1, 0, 1, -1, -1, -1], [0, title, lower, lower + 1, lower + 1, 0])
    assert row_of(encoded, 1) == ([2, 3], [-1, -1], [0, 0])
    assert (encoded.lost.tolist(), encoded.lengths.tolist(), len(encoded)) == ([0, 0], [6, 2], 2)


@given(tokens, st.integers(3, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_token_has_a_position_or_is_counted_as_lost(bert: SubwordTokenizer, rows: list[list[str]], max_length: int) -> None:
    encoded = bert.encode(rows, max_length)
    for i, row in enumerate(rows):
        subwords, word, word_shape_ids = row_of(encoded, i)
        assert len(subwords) <= max_length
        assert (subwords[0], subwords[-1]) == (2, 3)
        kept = [w for w in word if w >= 0]
        assert kept == list(range(len(row) - encoded.lost[i]))
        assert all(0 < shape < SHAPES for shape in word_shape_ids[1:-1])
        # Alone as among others.
        assert row_of(bert.encode([row], max_length), 0) == (subwords, word, word_shape_ids)


def test_subwords_are_those_of_the_library(bert: SubwordTokenizer) -> None:
    plain = Tokenizer.from_str(bert._tokenizer.to_str())
    row = ["Angela", "Merkel", "visited", "(Paris)", "x.y-z", "été"]
    reference = plain.encode(row, is_pretokenized=True)
    subwords, word, _ = row_of(bert.encode([row], 64), 0)
    assert subwords == reference.ids
    ids = reference.word_ids
    assert word == [w if w is not None and w != before else -1 for w, before in zip(ids, [None, *ids], strict=False)]


def test_what_yields_no_subword_gets_the_unknown_one(bert: SubwordTokenizer) -> None:
    subwords, word, _ = row_of(bert.encode([["\u200b", "\x00", "", "\ud800"]], 16), 0)
    assert word == [-1, 0, 1, 2, 3, -1]
    assert subwords[1:4] == [bert.unknown] * 3


def test_special_subwords_in_a_text_are_plain_text(bert: SubwordTokenizer) -> None:
    assert row_of(bert.encode([["[SEP]", "[PAD]"]], 32), 0)[0].count(3) == 1


def test_no_room_for_text_is_an_error(bert: SubwordTokenizer) -> None:
    with pytest.raises(EncoderError, match="max_length 2"):
        bert.encode([["a"]], 2)


def test_saved_and_loaded_it_is_the_same(bert: SubwordTokenizer, tmp_path: Path) -> None:
    bert.save(tmp_path / "tokenizer.json")
    again = SubwordTokenizer.load(tmp_path / "tokenizer.json")
    assert row_of(again.encode(ROWS, 16), 0) == row_of(bert.encode(ROWS, 16), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_a_bad_file_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EncoderError, match=r"tokenizer\.json"):
        SubwordTokenizer.load(path)


def test_byte_level_tokenizers_mark_every_word() -> None:
    # As RoBERTa's is published: without a space before the first word, which would glue pre-tokenised words together.
    spec = json.loads(SubwordTokenizer.train([["fox", "the"]] * 9, 300)._tokenizer.to_str())
    spec["pre_tokenizer"]["add_prefix_space"] = False
    byte_level = Tokenizer.from_str(json.dumps(spec))
    byte_level.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    wrapped = SubwordTokenizer(byte_level)
    subwords, word, _ = row_of(wrapped.encode([["fox", "the"]], 16), 0)
    assert subwords == [2, byte_level.token_to_id("Ġfox"), byte_level.token_to_id("Ġthe"), 3]
    assert word == [-1, 0, 1, -1]


def test_unigram_tokenizers_mark_every_word() -> None:
    vocabulary = [("<unk>", -9.0), ("</s>", 0.0), ("▁fox", -1.0), ("▁the", -1.0), ("fox", -1.0), ("the", -1.0), ("▁", -2.0)]
    unigram = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    unigram.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="first")])
    unigram.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    wrapped = SubwordTokenizer(unigram)
    assert row_of(wrapped.encode([["the", "fox"]], 16), 0)[:2] == ([3, 2, 1], [0, 1, -1])
    assert (wrapped.special, wrapped.unknown) == (1, 0)


TRAIN = """
import sys; from pathlib import Path; from mtl.encoders.tokenizer import SubwordTokenizer
words = [f"{a}{b}{c}" for a in "abcdefgh" for b in "aeiou" for c in ("st", "nd", "rn", "é", "😀")]
SubwordTokenizer.train([words[i::7] for i in range(7)] * 2, 400).save(Path(sys.argv[1]))
"""


def test_two_processes_learn_the_same_vocabulary(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        subprocess.run([sys.executable, "-c", TRAIN, str(path)], check=True)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert SubwordTokenizer.load(paths[0]).size == 400


def test_a_learnt_vocabulary_knows_every_character() -> None:
    learnt = SubwordTokenizer.train(ROWS, 300)
    subwords, word, _ = row_of(learnt.encode([["FOX", "fox", "日", "😀"]], 32), 0)
    assert subwords[1] == subwords[2] == learnt._tokenizer.token_to_id("Ġfox")
    assert learnt.unknown not in subwords
    assert [w for w in word if w >= 0] == [0, 1, 2, 3]


def test_no_rows_give_empty_arrays(bert: SubwordTokenizer) -> None:
    encoded = bert.encode([], 8)
    assert (len(encoded), encoded.subwords.dtype, encoded.word_shape_ids.dtype) == (0, np.int32, np.int8)
