"""Tasks that write text, in plain transformers: the same texts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, EncoderDecoderModel

from mtl import decoders
from mtl.config import Decoder, TransformerEncoder
from mtl.encoders import build
from mtl.errors import ExportError
from mtl.export import hf
from mtl.model import folder as models
from mtl.model.model import Model
from mtl.model.prediction import Predictor
from mtl.tasks.classification import Classification
from mtl.tasks.generation import Generation
from training.pairs import make, pair

TEXTS = ["I love this film", "a dog in Paris", "great", "Berlin and London are large cities", "the lazy dog ."]


def bert(source: Path, width: int) -> Model:
    settings = {"type": "transformer", "source": {"url": "file:///nowhere"}, "word_shape": False, "max_length": 32}
    encoder, tokenizer = build(TransformerEncoder.model_validate(settings), source, [])
    own = Decoder(layers=2, width=width, heads=2, vocabulary=300, max_length=10, dropout=0.0)
    decoder = decoders.build(own, TEXTS, encoder.width, seed=1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())) * 0.3)
        decoder.subwords.weight[decoders.END] *= 4
    return Model(encoder, tokenizer, tasks(), max_length=32, dropout=0.0, decoder=decoder)


def of_source(name: str, folder: Path) -> Model:
    encoder, tokenizer = build(pair(), make(name, folder), [])
    tokenizer.add_markers(["<e1>"])
    encoder.grow_vocabulary(tokenizer.size)
    return Model(encoder, tokenizer, tasks(), max_length=32, dropout=0.0, decoder=encoder.decoder())


def tasks() -> dict[str, Any]:
    state = Generation.fit(TEXTS) | {"loss_scale": 1.0, "beams": 3}
    return {"text": Generation(state), "mood": Classification(Classification.fit(["good", "bad"]))}


def exported(model: Model, folder: Path) -> tuple[list[str], list[str]]:
    """The texts of the model, and those of the exported one."""
    with torch.no_grad():
        start = model.heads["text"].start
        start.add_(torch.randn(start.shape, generator=torch.Generator().manual_seed(7)) * start.abs().mean())
    (folder / "model").mkdir()
    models.save(model, folder / "model", {})
    hf.export(folder / "model", folder / "out", ["text"])
    rows = [text.split() for text in TEXTS]
    own = [str(found.value) for found in Predictor.load(folder / "model", "cpu").predict(rows, ["text"])["text"]]
    kind: Any = EncoderDecoderModel if (folder / "out/text/config.json").read_text().count("encoder-decoder") else AutoModelForSeq2SeqLM
    theirs, reading = kind.from_pretrained(folder / "out/text"), AutoTokenizer.from_pretrained(folder / "out/text")
    writing = AutoTokenizer.from_pretrained(folder / "out/text/target")
    written = []
    for row in rows:
        inputs = reading(row, is_split_into_words=True, truncation=True, return_tensors="pt")
        [ids] = theirs.generate(**inputs)
        written.append(" ".join(writing.decode(ids, skip_special_tokens=True).split()))
    return own, written


@pytest.mark.parametrize("width", [32, 48])
def test_a_decoder_from_scratch_is_an_encoder_decoder_model(width: int, tiny_bert: Path, tmp_path: Path) -> None:
    own, written = exported(bert(tiny_bert, width), tmp_path)
    assert own == written
    assert len(set(own)) > 2


@pytest.mark.parametrize("name", ["marian", "t5", "bart"])
def test_a_pair_is_of_the_class_of_its_source(name: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    own, written = exported(of_source(name, tmp_path / "source"), tmp_path)
    assert own == written
    assert len(set(own)) > 2


def test_what_transformers_cannot_express_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    for name, model, message in (
        ("narrow", bert(tiny_bert, 16), r"decoder\.width is 16, less than the encoder's 32; .*: set 32 or more"),
        ("pair", of_source("t5", tmp_path), r"type t5 cannot be exported to transformers; .*tasks that write text can be: text"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        models.save(model, folder, {})
        with pytest.raises(ExportError, match=message):
            hf.export(folder, tmp_path / "out", ["text"] if name == "narrow" else ["mood"])
