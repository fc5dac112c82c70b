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

from mtl.data.tokens import tokenize
from mtl.encoders.tokenizer import SHAPES, WORD_SHAPES, Encoded, Marker, SubwordTokenizer, Uncut, with_markers, word_shape
from mtl.encoders.windows import encode_windows
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


# --- two fields -------------------------------------------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.lists(st.text(max_size=6), max_size=9), st.none() | st.lists(st.text(max_size=6), max_size=9)), max_size=5)


def segments_of(encoded: Encoded, row: int) -> list[int]:
    return encoded.segment_ids[encoded.offsets[row] : encoded.offsets[row + 1]].tolist()


def test_two_fields_as_they_should_be(bert: SubwordTokenizer) -> None:
    encoded = bert.encode([["The", "foxes"], ["fox"], ["fox"]], 16, [["fox", "the"], None, []])
    the, fox, e, s = (bert._tokenizer.token_to_id(subword) for subword in ("the", "fox", "##e", "##s"))
    assert row_of(encoded, 0)[:2] == ([2, the, fox, e, s, 3, fox, the, 3], [-1, 0, 1, -1, -1, -1, 0, 1, -1])
    assert row_of(encoded, 1)[:2] == ([2, fox, 3], [-1, 0, -1])
    assert row_of(encoded, 2)[:2] == ([2, fox, 3, 3], [-1, 0, -1, -1])
    assert [segments_of(encoded, row) for row in range(3)] == [[0] * 6 + [1] * 3, [0] * 3, [0, 0, 0, 1]]
    assert (encoded.boundary.tolist(), encoded.pairs.tolist()) == ([6, 3, 3], [True, False, True])


@given(PAIRS, st.integers(4, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fields_are_the_beginnings_of_what_each_is_by_itself(
    bert: SubwordTokenizer, rows: list[tuple[list[str], list[str] | None]], max_length: int
) -> None:
    lefts, rights = [left for left, _ in rows], [right for _, right in rows]
    encoded = bert.encode(lefts, max_length, rights)
    for i, (left, right) in enumerate(rows):
        subwords, word_ids, _ = row_of(encoded, i)
        bodies = [row_of(bert.encode([field], 999), 0)[0][1:-1] for field in (left, right or [])]
        room = max_length - (2 if right is None else 3)
        kept = [bodies[0][:room], bodies[1][: max(0, room - len(bodies[0]))]]
        assert subwords == [2, *kept[0], 3, *([] if right is None else [*kept[1], 3])]
        own = [word for word in word_ids if word >= 0]
        counts = [sum(w >= 0 and s == field for w, s in zip(word_ids, segments_of(encoded, i), strict=True)) for field in (0, 1)]
        assert own == [*range(counts[0]), *range(counts[1])]
        assert encoded.lost[i] == len(left) + len(right or []) - sum(counts)
    order = np.arange(len(rows))[::-1]
    alone = bert.encode(lefts[::-1], max_length, rights[::-1])
    for name in ("subwords", "offsets", "word_ids", "word_shape_ids", "segment_ids", "lost", "boundary"):
        np.testing.assert_array_equal(getattr(encoded.take(order), name), getattr(alone, name), err_msg=name)


def test_one_field_is_the_same_beside_two(bert: SubwordTokenizer) -> None:
    alone, beside = bert.encode(ROWS, 6), bert.encode(ROWS, 6, [None] * len(ROWS))
    assert alone.digest() == beside.digest()
    assert alone.lost.tolist() == beside.lost.tolist()


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)), [2, "a", 3, 3, "b", 3]),
        (processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), [2, "a", 3, "b", 3]),
        (processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)]), ["a", 3, "b", 3]),
        (
            processors.TemplateProcessing(
                single="$A [SEP] [CLS]", pair="$A [SEP] $B:1 [SEP]:1 [CLS]:2", special_tokens=[("[SEP]", 3), ("[CLS]", 2)]
            ),
            ["a", 3, "b", 3, 2],
        ),
        (None, ["a", "b"]),
    ],
)
def test_pairs_are_framed_as_the_tokenizer_frames_them(processor: object, expected: list[str | int]) -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[CLS]": 2, "[SEP]": 3, "[UNK]": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if processor is not None:
        words.post_processor = processor
    encoded = SubwordTokenizer(words).encode([["a"]], 8, [["b"]])
    assert encoded.subwords.tolist() == [{"a": 0, "b": 1}.get(item, item) for item in expected]  # type: ignore[call-overload]
    assert encoded.boundary.tolist() == [expected.index("b")]
    assert encoded.word_ids.tolist() == [0 if isinstance(item, str) else -1 for item in expected]


def test_room_is_needed_beside_the_frame_of_two_fields(bert: SubwordTokenizer) -> None:
    assert bert.encode([["the"]], 3).lengths.tolist() == [3]
    with pytest.raises(EncoderError, match="max_length 3 leaves no room for text beside 3 special subwords"):
        bert.encode([["the"]], 3, [["fox"]])
    with pytest.raises(ValueError, match="1 rows have 2 right fields"):
        bert.encode([["the"]], 8, [["fox"], None])


HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\u0301\u200d\u200b\ufe0f\u2028\x00\x1c\xa0ß\u0130\ufb01\u1e9e\U0001f468\U0001f3fd\ud800\u0e33\u0915\u094d\uac00\u1100\u202e"
        ),
        st.sampled_from(" .'-[]#@ aB"),
    ),
    max_size=30,
)


@given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=3), st.integers(5, 24))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("learnt", [False, True])
def test_offsets_of_tokens_are_exact_in_every_field(
    bert: SubwordTokenizer, learnt: bool, rows: list[tuple[str, str]], max_length: int
) -> None:
    tokenizer = LEARNT if learnt else bert
    fields = [[tokenize(row[field]) for row in rows] for field in (0, 1)]
    lefts, rights = ([tokens for tokens, _, _ in field] for field in fields)
    for encoded in (tokenizer.encode(lefts, max_length, rights), encode_windows(tokenizer, lefts, max_length, rights)):
        for window in range(len(encoded)):
            row = window if encoded.owner is None else int(encoded.owner[window])
            subwords, word_ids, shapes = row_of(encoded, window)
            for place, (word, segment) in enumerate(zip(word_ids, segments_of(encoded, window), strict=True)):
                if word < 0:
                    continue
                tokens, _, starts = fields[segment][row]
                piece = rows[row][segment][starts[word] : starts[word] + len(tokens[word])]
                assert piece == tokens[word]
                # The subwords that stand there are those of this very slice of the text.
                inner = next((i for i in range(place + 1, len(shapes)) if shapes[i] % 2 or not shapes[i]), len(shapes))
                whole = row_of(tokenizer.encode([[piece]], 999), 0)[0][1:-1]
                assert subwords[place:inner] == whole[: inner - place]
                assert inner - place == len(whole) or not shapes[inner]  # cut at the end of a field only


LEARNT = SubwordTokenizer.train(ROWS, 300)


# --- markers ----------------------------------------------------------------------------------------------------------

NAMES = ["[E1]", "[/E1]"]


def marked(tiny_bert: Path) -> tuple[SubwordTokenizer, dict[str, int]]:
    tokenizer = SubwordTokenizer.load(tiny_bert / "tokenizer.json")
    return tokenizer, tokenizer.add_markers(NAMES)


def test_a_marker_is_an_entry_of_the_vocabulary_and_no_token(tiny_bert: Path, bert: SubwordTokenizer, tmp_path: Path) -> None:
    tokenizer, ids = marked(tiny_bert)
    assert list(ids.values()) == [bert.size, bert.size + 1]
    assert tokenizer.size == bert.size + 2
    assert tokenizer.add_markers(NAMES) == ids
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = SubwordTokenizer.load(tmp_path / "tokenizer.json")
    assert (loaded.add_markers(NAMES), loaded.size) == (ids, tokenizer.size)
    row = [Marker("[E1]"), "the", Marker("[/E1]"), "fox"]
    for one in (tokenizer, loaded):
        the, fox = (one._tokenizer.token_to_id(subword) for subword in ("the", "fox"))
        encoded = one.encode([row, ["the"]], 16, [["fox", Marker("[E1]"), "the"], None])
        assert row_of(encoded, 0) == (
            [2, ids["[E1]"], the, ids["[/E1]"], fox, 3, fox, ids["[E1]"], the, 3],
            [-1, -1, 0, -1, 1, -1, 0, -1, 1, -1],
            [0, 0, 1, 0, 1, 0, 1, 0, 1, 0],
        )
    cut = tokenizer.encode([["the", "fox", Marker("[E1]"), "the"]], 4)
    assert (row_of(cut, 0)[1], cut.lost.tolist()) == ([-1, 0, 1, -1], [1])


def test_the_shared_prefix_goes_by_indices_and_ends_at_markers(tiny_bert: Path, bert: SubwordTokenizer) -> None:
    marked, other = (SubwordTokenizer.load(tiny_bert / "tokenizer.json") for _ in range(2))
    assert bert.shared_prefix(marked) == bert.size
    marked.add_markers(["<e1>", "<e2>"])
    other.add_markers(["<e1>", "<x>"])
    assert bert.shared_prefix(marked) == marked.shared_prefix(bert) == bert.size
    assert marked.shared_prefix(other) == bert.size + 1

    def words(indices: dict[str, int]) -> SubwordTokenizer:
        return SubwordTokenizer(Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, **indices}, unk_token="[UNK]")))

    gaps = {"b": 5, "c": 6}
    assert words(gaps).shared_prefix(words(gaps)) == 7
    assert words(gaps).shared_prefix(words({"b": 5, "d": 6})) is None
    assert words(gaps).shared_prefix(words({"b": 5})) is None


@given(tokens, st.integers(3, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_spells_a_marker(tiny_bert: Path, bert: SubwordTokenizer, rows: list[list[str]], max_length: int) -> None:
    tokenizer, _ = marked(tiny_bert)
    hostile = [[*row, "[E1]", "[/E1]x", str(Marker("[E1]"))] for row in rows]
    assert tokenizer.encode(hostile, max_length).digest() == bert.encode(hostile, max_length).digest()


@pytest.mark.parametrize("name", ["the", "[SEP]", "[CLS]", "[UNK]"])
def test_a_subword_of_the_tokenizer_cannot_be_a_marker(tiny_bert: Path, name: str) -> None:
    tokenizer, _ = marked(tiny_bert)
    with pytest.raises(EncoderError, match=f"{name[1:-1]}.* cannot be a marker"):
        tokenizer.add_markers([name])
    with pytest.raises(EncoderError, match="no marker 'the'"):
        tokenizer.encode([[Marker("the")]], 8)


def test_markers_are_put_between_the_subwords_of_tokens() -> None:
    shapes = np.array([1, 2, 3, 5, 6, 6, 1], dtype=np.int8)  # tokens of 2, 1, 3 and 1 subwords
    field = Uncut(np.arange(5, 12, dtype=np.int32), shapes, np.array([0, 6, 6, 6, 7]))
    places = np.array([[0, 3, 3, 1], [-1, -1, -1, -1], [0, -1, -1, -1], [-1, 1, -1, 0]])
    result = with_markers(field, places, np.array([20, 21, 22, 23]))
    assert result.subwords.tolist() == [20, 5, 6, 23, 7, 8, 9, 10, 21, 22, 20, 23, 11, 21]
    assert result.word_shape_ids.tolist() == [0, 1, 2, 0, 3, 5, 6, 6, 0, 0, 0, 0, 1, 0]
    assert result.offsets.tolist() == [0, 10, 10, 11, 14]
    assert result.tokens.tolist() == [3, 0, 0, 1]
