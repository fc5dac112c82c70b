"""Encoder-decoders of transformers: heads on their encoder, texts by their decoder."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from tokenizers import processors
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    MT5Config,
    T5Config,
)
from transformers.utils import logging

import mtl
from mtl.config import EncoderDecoder, TransformerEncoder, parse
from mtl.data import schema
from mtl.decoders import Search, generate
from mtl.decoders.base import IGNORED
from mtl.encoders import SubwordTokenizer, build
from mtl.errors import EncoderError, ParamsError

from .loops import canonical, whole_and_resumed
from .test_generation import WORDS, generation, rows, settings

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


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    logging.disable_progress_bar()
    for name, make in MODELS.items():
        found[name] = tmp_path_factory.mktemp(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            make(found[name])
    return found


def pair(**values: Any) -> EncoderDecoder:
    return EncoderDecoder.model_validate(
        {"type": "encoder_decoder", "source": {"url": "file:///nowhere"}, "max_length": 32, "target_length": 12, **values}
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("beams", [1, 3])
def test_texts_and_loss_are_those_of_transformers(folders: dict[str, Path], name: str, beams: int) -> None:
    theirs = AutoModelForSeq2SeqLM.from_pretrained(folders[name]).eval()
    encoder, _ = build(pair(), folders[name], [])
    decoder = encoder.eval().decoder().eval()
    start = decoder.begin_with()
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(9) < torch.tensor([[9], [3], [1], *[[int(size)] for size in torch.randint(1, 10, (21,), generator=generator)]])
    subwords = torch.randint(4, 40, mask.shape, generator=generator)
    with torch.inference_mode():
        states = encoder(subwords, mask, torch.zeros_like(subwords))
        own = generate(decoder, start, states, mask, Search(beams))[:, 1:].long()
        expected = theirs.generate(
            input_ids=subwords, attention_mask=mask.long(), num_beams=beams, max_new_tokens=12, do_sample=False, length_penalty=1.0
        )[:, 1:]
        texts = [decoder.vocabulary.decode([[i for i in row if i >= 0]])[0] for row in own.tolist()]
        assert texts == decoder.vocabulary.decode(expected.tolist())
        assert len(set(texts)) > 8
        targets = torch.tensor([[5, 6, 7, decoder.vocabulary.end], [8, decoder.vocabulary.end, IGNORED, IGNORED]])
        loss = theirs(input_ids=subwords[:2], attention_mask=mask[:2].long(), labels=targets).loss
        assert float(decoder.loss_sum(start, targets, states[:2], mask[:2], 0.0)) / 6 == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.filterwarnings("ignore:Recommended")
def test_the_tokenizers_of_marian_are_those_of_transformers(folders: dict[str, Path]) -> None:
    encoder, tokenizer = build(pair(), folders["marian"], [])
    own, theirs = encoder.decoder().vocabulary, MarianTokenizer.from_pretrained(folders["marian"])
    texts = ["Ein Hund traf  einen Aal, zweimal.", "Eel Dog", " Bee ", "東京 Hund", ""]
    expected = [theirs(text_target=text)["input_ids"] for text in texts]
    assert [[*ids, own.end] for ids in own.encode(texts)] == expected
    everything = [list(range(theirs.vocab_size)), *expected]
    assert own.decode(everything) == [" ".join(theirs.decode(row, skip_special_tokens=True).split()) for row in everything]
    words = [["A", "dog", "met"], ["ant"], ["eel", "twice"]]
    assert [tokenizer.encode([row], 32).subwords.tolist() for row in words] == [theirs(" ".join(row))["input_ids"] for row in words]


TASKS = {"back": generation("reverse", label_smoothing=0.0, beams=2), "first": {"type": "classification", "label": "first"}}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    schema.write(canonical(rows(120), {"reverse": "text", "copy": "text", "first": "class"}), folder / "texts.parquet")
    return folder


@pytest.mark.parametrize("name", ["marian", "t5", "bart"])
def test_a_pair_is_trained_resumed_saved_and_loaded(folders: dict[str, Path], texts: Path, tmp_path: Path, name: str) -> None:
    params = settings(TASKS, pair().model_dump(mode="json"), epochs=2, eval_every=2, batch_tokens=200)
    whole, resumed = whole_and_resumed(params, params.runs()["joint-plain-1"], texts, texts, folders[name], tmp_path)
    for file in ("model.safetensors", "config.json"):
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()
    losses = [json.loads(line)["loss"] for line in (whole / "history.jsonl").read_text().splitlines() if '"train"' in line]
    assert losses[-1]["back"] < losses[0]["back"]
    [found, empty] = mtl.load(whole, "cpu").predict(["bee cat dog", ""])
    assert found["back"].keys() == {"text", "score"}
    assert found["first"]["label"] in WORDS
    assert empty == {"back": None, "first": None}


def test_markers_are_no_subwords_that_it_writes(folders: dict[str, Path], tmp_path: Path) -> None:
    encoder, tokenizer = build(pair(), folders["marian"], [])
    size = encoder.vocabulary
    tokenizer.add_markers(["<e1>", "</e1>"])
    encoder.grow_vocabulary(tokenizer.size)
    decoder = encoder.decoder()
    states = torch.zeros(1, 2, 16)
    logits, _ = decoder.begin(decoder.begin_with(), states, torch.ones(1, 2, dtype=torch.bool), 1)
    assert (logits.shape[1], encoder.vocabulary) == (size, size + 2)
    again = type(encoder).restore(json.loads(json.dumps(encoder.config())))
    again.load_state_dict(encoder.state_dict())
    assert again.decoder(decoder.config()).vocabulary.encode(["Hund"]) == decoder.vocabulary.encode(["Hund"])


def test_each_wrong_source_gets_one_message(folders: dict[str, Path], tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"model_type 'bert' is not an encoder-decoder .*set encoder.type: transformer"):
        build(pair(), tiny_bert, [])
    plain = TransformerEncoder.model_validate({"type": "transformer", "source": {"url": "file:///nowhere"}})
    with pytest.raises(EncoderError, match=r"model_type 't5' has a decoder too; set encoder\.type: encoder_decoder"):
        build(plain, folders["t5"], [])
    with pytest.raises(EncoderError, match="target_length is 65, but the decoder has 64 positions"):
        build(pair(target_length=65), folders["bart"], [])
    (tmp_path / "source.spm").write_bytes(b"no")
    for path in folders["marian"].iterdir():
        if path.suffix != ".spm":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(EncoderError, match=r"source\.spm: is not a model of SentencePiece"):
        build(pair(), tmp_path, [])
    spec = settings(TASKS, pair().model_dump(mode="json")).model_dump(mode="json")
    spec["tasks"]["back"]["decoder"] = {"layers": 2}
    with pytest.raises(ParamsError, match=r"tasks\.back\.decoder: must go: .*encoder\.target_length"):
        parse(spec)
