"""Round trips through real models of Hugging Face form, made here: tiny, with random weights."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

from mtl.augment.back_translate import BackTranslateAugmenter
from mtl.augment.neural import RoundTrip
from mtl.augment.randomness import Stream
from mtl.data import sources
from mtl.errors import AugmentError, SourceError
from mtl.params import BackTranslate, Source

from .rows import texts

TEXTS = ["I think that this film is good", "a dog", "Qzbaq went away"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("model")
    words = ["<pad>", "</s>", "<unk>", "Qzbaq", *sorted({word for text in TEXTS for word in text.split()} - {"Qzbaq"})]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(folder)
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    special = {"pad_token_id": 0, "eos_token_id": 1, "forced_eos_token_id": 1, "decoder_start_token_id": 0}
    size = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 512, "vocab_size": len(words)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MarianMTModel(MarianConfig(**layers, **special, **size, init_std=1.0)).save_pretrained(folder)
    return Source(url=str(folder), sha256=sources.checksum(Source(url=str(folder))))


def test_answers_are_reproducible_and_later_copies_are_sampled(model: Source):
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    first, again = (RoundTrip(model, model, Stream(1, "bt")) for _ in range(2))
    found = [first(TEXTS, copy) for copy in range(3)]
    assert [again(TEXTS, copy) for copy in (2, 0)] == [found[2], found[0]]
    assert all(len(answers) == len(TEXTS) for answers in found)
    assert any(found[0])
    assert found[1] != found[2]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_augmenter_accounts_for_every_row(model: Source):
    spec = BackTranslate(type="back_translate", engine="transformers", forward=model, backward=model, copies=2)
    assert BackTranslateAugmenter.available(spec) is None
    found = BackTranslateAugmenter(spec, Stream(1, "bt")).augment(texts(*TEXTS[:2])).to_pylist()
    assert [(row["copy"], row["row"]) for row in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_wrong_sum_or_a_folder_without_a_model_is_an_error(model: Source, tmp_path: Path):
    with pytest.raises(SourceError, match="forward"):
        RoundTrip(Source(url=model.url, sha256="0" * 64), model, Stream(1, "bt"))(TEXTS, 0)
    (tmp_path / "config.json").write_text("{}")
    empty = Source(url=str(tmp_path), sha256=sources.checksum(Source(url=str(tmp_path))))
    with pytest.raises(AugmentError, match="cannot be loaded as a translation model"):
        RoundTrip(empty, model, Stream(1, "bt"))(TEXTS, 0)
