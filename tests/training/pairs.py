"""Tiny encoder-decoders with random weights, in folders as a hub would give them."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import processors
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MT5Config,
    T5Config,
)
from transformers.utils import logging

from mtl.config import EncoderDecoder
from mtl.encoders import SubwordTokenizer

WORDS = ("ant", "bee", "cat", "dog", "eel")
SOURCES = ["ant bee cat dog eel", *WORDS, "A dog met an eel, twice."]
TARGETS = ["Eel Dog Cat Bee Ant", *(word.title() for word in WORDS), "Ein Hund traf einen Aal, zweimal."]
SIZE = {"d_model": 16, "dropout": 0.0}
LAYERS = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}


def spm(texts: list[str]) -> bytes:
    """A unigram model."""
    model = BytesIO()
    spoken = [text for text in texts for _ in range(20)]
    quiet = {"minloglevel": 3, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(spoken), model_writer=model, vocab_size=48, **quiet)
    return model.getvalue()


def pieces(model: bytes) -> list[str]:
    found = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [found.id_to_piece(i) for i in range(3, found.get_piece_size())]


def marian(folder: Path) -> None:
    """As opus-mt models are: two models of SentencePiece, one vocabulary, the padding last."""
    both = {"source.spm": spm(SOURCES), "target.spm": spm(TARGETS)}
    for name, content in both.items():
        (folder / name).write_bytes(content)
    names = dict.fromkeys(["</s>", "<unk>", *(name for model in both.values() for name in pieces(model)), "<pad>"])
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    pad = len(names) - 1
    ids = {"pad_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0, "decoder_start_token_id": pad}
    size = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 64, "vocab_size": len(names), "scale_embedding": True}
    model = MarianMTModel(MarianConfig(**SIZE, **LAYERS, **ids, **size, init_std=0.5))
    model.generation_config.bad_words_ids = [[pad]]
    model.save_pretrained(folder)


def t5(folder: Path, kind: type[Any] = T5Config, **values: Any) -> None:
    tokenizer = SubwordTokenizer.train([text.split() for text in SOURCES + TARGETS], 300).copy()
    tokenizer.add_special_tokens(["</s>"])
    end = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", end)])
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = {"pad_token_id": 0, "eos_token_id": end, "decoder_start_token_id": 0, "vocab_size": end + 3}
    size = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    AutoModelForSeq2SeqLM.from_config(kind(**size, **ids, **values, initializer_factor=3.0)).save_pretrained(folder)


def mt5(folder: Path) -> None:
    """Its output layer has weights of its own."""
    t5(folder, MT5Config, tie_word_embeddings=False)


def bart(folder: Path) -> None:
    tokenizer = SubwordTokenizer.train([text.split() for text in SOURCES + TARGETS], 300)
    tokenizer.save(folder / "tokenizer.json")  # [CLS] … [SEP], as <s> … </s>
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3, "forced_eos_token_id": 3}
    size = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 64, "vocab_size": tokenizer.size}
    BartForConditionalGeneration(BartConfig(**SIZE, **LAYERS, **ids, **size, forced_bos_token_id=2, init_std=0.5)).save_pretrained(folder)


MODELS: dict[str, Callable[[Path], None]] = {"marian": marian, "t5": t5, "bart": bart, "mt5": mt5}


def make(name: str, folder: Path) -> Path:
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        MODELS[name](folder)
    return folder


def pair(**values: Any) -> EncoderDecoder:
    return EncoderDecoder.model_validate(
        {"type": "encoder_decoder", "source": {"url": "file:///nowhere"}, "max_length": 32, "target_length": 12, **values}
    )
