"""Letters that a tokenizer loses are named."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mtl.encoders import SubwordTokenizer
from mtl.training.letters import lost_letters

LETTERS = sorted(set("abcdefghijklmnopqrstuvwxyzıßüöäđ。，か王が"))


def wordpiece(*, lowercase: bool, strip: bool) -> SubwordTokenizer:
    words = ["[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    words += [word for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for word in (letter, f"##{letter}")]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return SubwordTokenizer(tokenizer)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Tôi yêu tiếng Việt", "ê → e, ô → o, ế → e, ệ → e"),
        ("Işık İzmir", "I → i, İ → i, ş → s"),
        ("schöne Grüße", "ö → o, ü → u"),
        ("がか", "が → か"),
        ("e\u0301te\u0301", "é → e"),
    ],
)
def test_an_accent_stripping_tokenizer_is_a_warning(text: str, named: str) -> None:
    first, *_ = lost_letters(wordpiece(lowercase=True, strip=True), [text.split()])
    assert f"({named})" in first
    assert first.startswith("the tokenizer changes letters in ")


def test_case_and_width_are_no_loss() -> None:
    assert list(lost_letters(wordpiece(lowercase=True, strip=False), [["Grüße", "Ärger", "Is", "đ"]])) == []
    assert list(lost_letters(wordpiece(lowercase=True, strip=True), [["Is", "A", "plain", "text"]] * 100)) == []


def test_unknown_characters_are_a_warning() -> None:
    (warning,) = lost_letters(wordpiece(lowercase=False, strip=False), [["王", "明", "ab", "北"]])
    assert warning == "the tokenizer does not know 50.0% of the train tokens, such as 北, 明; choose another encoder"


def test_few_are_none() -> None:
    assert list(lost_letters(wordpiece(lowercase=True, strip=True), [["a"] * 999 + ["é"]])) == []
    assert list(lost_letters(wordpiece(lowercase=True, strip=True), [])) == []


@pytest.mark.parametrize("text", ["王小明在北京买屏幕", "これはペンです", "สวัสดีครับ", "مرحبا بكم", "שלום", "Tiếng Việt ẩn", "🙂e\u0301"])
def test_the_vocabulary_of_a_small_encoder_knows_all_that_occurs(text: str) -> None:
    rows = [list(text.replace(" ", ""))] * 3
    tokenizer = SubwordTokenizer.train(rows, 600)
    assert list(lost_letters(tokenizer, rows)) == []
    encoded = tokenizer.encode(rows, 128)
    assert tokenizer.unknown not in encoded.subwords.tolist()
    assert encoded.lengths[0] == len(rows[0]) + 2  # a character that occurs twice is one subword
