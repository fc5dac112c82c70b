"""The tokenizers of a Marian folder, which has two models of SentencePiece and one vocabulary for both (Junczys-Dowmunt et al. 2018)."""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from mtl.errors import EncoderError, one_line

SOURCE, TARGET, VOCABULARY = "source.spm", "target.spm", "vocab.json"
END, UNKNOWN, PADDING = "</s>", "<unk>", "<pad>"
_UNREACHABLE = "\0"
"""Before the name of a subword that only the other language's model has. No text has it, so that no text is cut into such subwords."""
_UNIGRAM = 1


def found(folder: Path) -> bool:
    """Whether a folder has such files, and no ``tokenizer.json``."""
    return (folder / SOURCE).is_file() and not (folder / "tokenizer.json").is_file()


def read_tokenizer(folder: Path, side: str) -> Tokenizer:
    """The tokenizer of source or target texts, with the indices of the vocabulary, and the end after each text.

    Args:
        folder: of the model.
        side: ``SOURCE`` or ``TARGET``.

    Raises:
        EncoderError: a file is missing or not readable, or its model is not a unigram language model (Kudo 2018).
    """
    from sentencepiece import sentencepiece_model_pb2 as messages

    for name in (side, VOCABULARY):
        if not (folder / name).is_file():
            raise EncoderError(f"{folder}: is not a Marian model: {name} is missing")
    with one_line(EncoderError, f"{folder / VOCABULARY}: is not a vocabulary"):
        vocabulary: dict[str, int] = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        subwords = sorted(vocabulary, key=lambda name: vocabulary[name])
        if sorted(vocabulary.values()) != list(range(len(subwords))) or not {END, UNKNOWN, PADDING} <= vocabulary.keys():
            raise ValueError(f"indices must be 0, 1, 2, …, and {END}, {UNKNOWN} and {PADDING} must be there")
    with one_line(EncoderError, f"{folder / side}: is not a model of SentencePiece"):
        model = messages.ModelProto.FromString((folder / side).read_bytes())  # type: ignore[attr-defined]
        if model.trainer_spec.model_type != _UNIGRAM:
            raise ValueError("its type is not unigram")
        scores = {piece.piece: piece.score for piece in model.pieces} | dict.fromkeys((END, UNKNOWN, PADDING), 0.0)
        return _tokenizer(subwords, scores, vocabulary, model.normalizer_spec.precompiled_charsmap)


def _tokenizer(subwords: list[str], scores: dict[str, float], vocabulary: dict[str, int], characters: bytes) -> Tokenizer:
    named = [(name if name in scores else _UNREACHABLE + name, scores.get(name, 0.0)) for name in subwords]
    tokenizer = Tokenizer(models.Unigram(named, unk_id=vocabulary[UNKNOWN]))
    tokenizer.add_special_tokens([END, UNKNOWN, PADDING])
    own = [normalizers.Precompiled(characters)] if characters else []
    clean = [normalizers.Replace(_UNREACHABLE, ""), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence([*own, *clean])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace(_UNREACHABLE, ""), decoders.Metaspace()])
    template = {"single": f"$A {END}", "pair": f"$A {END} $B {END}"}
    tokenizer.post_processor = processors.TemplateProcessing(**template, special_tokens=[(END, vocabulary[END])])
    return tokenizer
