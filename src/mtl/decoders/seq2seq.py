"""Encoder-decoders of transformers (T5, mT5, BART, Marian): their encoder with heads on it, and their decoder, which tasks share."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, EncoderDecoderCache
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import BaseModelOutput

from mtl.config import BaseEncoder, EncoderDecoder
from mtl.decoders.base import IGNORED, Borrowed, Decoder, Tied
from mtl.decoders.vocabulary import clean
from mtl.encoders import marian
from mtl.encoders.cheap import make_cheap
from mtl.encoders.tokenizer import SubwordTokenizer
from mtl.encoders.transformer import TransformerEncoder, check, read_config, read_model, read_tokenizer, set_dropout, subword_tokenizer
from mtl.errors import EncoderError, ModelError, one_line

TYPES = ("bart", "marian", "mt5", "t5")
"""Model types that are tested."""


class Seq2SeqEncoder(TransformerEncoder):
    """The encoder of an encoder-decoder. Its embedding is usually the decoder's too, so that it keeps all subwords."""

    has_decoder = True

    def __init__(self, whole: Any, *, pooling: str = "mean", target: Mapping[str, Any] | None = None) -> None:
        """``whole`` is the model of transformers, ``target`` how it writes: see ``Seq2SeqDecoder``."""
        super().__init__(whole.get_encoder(), word_shape=False, pooling=pooling)
        self._source = (whole,)  # modules in a tuple are not registered twice
        self._target = target
        self.rows = self.embedding.num_embeddings
        """Subwords of the source."""

    @classmethod
    def build(cls, settings: BaseEncoder, source: Path | None, rows: Iterable[Sequence[str]]) -> tuple[Self, SubwordTokenizer]:
        """Load weights and tokenizers from a folder.

        Raises:
            EncoderError: the folder is not an encoder-decoder, or ``max_length`` or ``target_length`` is more than it can take.
        """
        if not isinstance(settings, EncoderDecoder) or source is None:
            raise EncoderError("an encoder of type encoder_decoder needs the folder of its source")
        with one_line(EncoderError, f"{source}: cannot be used as an encoder-decoder"):
            config: Any = read_config(source)
            _check_type(source, config)
            set_dropout(config, settings.dropout)
            if marian.found(source):
                tokenizer = SubwordTokenizer(marian.read_tokenizer(source, marian.SOURCE))
                writing = marian.read_tokenizer(source, marian.TARGET)
            else:
                tokenizer, writing = subword_tokenizer(source), read_tokenizer(source)
            model = read_model(source, config, AutoModelForSeq2SeqLM)
            check(source, model.get_encoder(), tokenizer, settings.max_length)
            _check_target(source, model, settings.target_length)
            return cls(model, pooling=settings.pooling, target=_target(model, writing, settings.target_length)), tokenizer

    @classmethod
    def restore(cls, config: Mapping[str, Any]) -> Self:
        """The same architecture. The caller loads the weights."""
        kept = dict(config["model"])
        model_config = AutoConfig.for_model(kept.pop("model_type"), **kept)
        auto: Any = AutoModelForSeq2SeqLM  # transformers leaves this method untyped
        encoder = cls(auto.from_config(model_config, dtype=torch.float32), pooling=config["pooling"])
        encoder.grow_vocabulary(config["vocabulary"])
        return encoder

    def config(self) -> dict[str, Any]:
        """The Hugging Face configuration of the source, how texts are pooled, and the subwords embedded, those of markers included."""
        model = json.loads(self._source[0].config.to_json_string(use_diff=False))
        return {"type": "encoder_decoder", "model": model, "pooling": self.pooling, "vocabulary": self.vocabulary}

    def grow_vocabulary(self, size: int) -> None:
        """See ``Encoder.grow_vocabulary``. The decoder does not write the new ones."""
        kept = self._source[0].config.vocab_size
        super().grow_vocabulary(size)
        self._source[0].config.vocab_size = kept  # of some models, that of the encoder is the same object

    def _embed(self, subwords: Tensor, word_shape_ids: Tensor) -> Tensor:
        """Marian's encoder scales embeddings itself, but only those that it looks up."""
        scale: float = getattr(self.model, "embed_scale", 1.0)
        return super()._embed(subwords, word_shape_ids) * scale

    def needed(self, subwords: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """All: the decoder writes with the same embedding."""
        return np.arange(self.vocabulary)

    def prune_vocabulary(self, subwords: npt.NDArray[np.integer]) -> None:
        """Nothing is left out."""

    def decoder(self, config: Mapping[str, Any] | None = None) -> "Seq2SeqDecoder":
        """The decoder of the source; see ``Encoder.decoder``."""
        target = config or self._target
        if target is None:
            raise ModelError("the settings of the decoder are missing")
        return Seq2SeqDecoder(self._source[0], self.embedding, self.rows, target)


class WrittenSubwords:
    """The subwords of target texts, by the source's tokenizer."""

    def __init__(self, tokenizer: Tokenizer, size: int, end: int) -> None:
        """``size`` is the number of logits, which may be more than there are subwords."""
        self._tokenizer, self.size, self.end = tokenizer, size, end
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # "</s>" in a text is plain text

    def dump(self) -> str:
        """All of the tokenizer as JSON."""
        return str(self._tokenizer.to_str())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The subwords of each text, with special ones before it, without the end."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(map(clean, texts)))]
        return [ids[:-1] if ids[-1:] == [self.end] else ids for ids in rows]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of subwords, without special ones."""
        return [" ".join(text.split()) for text in self._tokenizer.decode_batch([list(row) for row in rows], skip_special_tokens=True)]


@dataclass(slots=True)
class PairCache:
    """What decoding keeps, by row and beam."""

    past: Any
    """Keys and values, an ``EncoderDecoderCache``."""
    states: Tensor
    """``[rows × beams, positions, encoder width]``."""
    mask: Tensor
    """``[rows × beams, positions]``."""
    beams: int

    def select(self, beams: Tensor, rows: Tensor | None) -> None:
        """See ``mtl.decoders.base.Cache``."""
        self.past.self_attention_cache.reorder_cache(beams)
        if rows is not None:
            kept = (rows[:, None] * self.beams + torch.arange(self.beams, device=rows.device)).flatten()
            self.past.cross_attention_cache.reorder_cache(kept)
            self.states, self.mask = self.states.index_select(0, kept), self.mask.index_select(0, kept)


class Seq2SeqDecoder(Decoder):
    """The decoder of an encoder-decoder, with the output layer. What it shares with the encoder stays the encoder's."""

    pretrained = True

    def __init__(self, whole: Any, embedding: nn.Embedding, rows: int, target: Mapping[str, Any]) -> None:
        """It takes the model over, except for its encoder.

        Args:
            whole: the model of transformers.
            embedding: of the encoder.
            rows: subwords of the source, without those that the encoder has more.
            target: what ``config`` gives.
        """
        super().__init__()
        self.width, self.max_length = int(whole.config.d_model), int(target["max_length"])
        self._config = dict(target)
        decoder = whole.get_decoder()
        own = decoder.embed_tokens.weight is not embedding.weight
        written = decoder.embed_tokens if own else embedding
        if whole.lm_head.weight is written.weight:
            whole.lm_head = Tied(written, rows if not own else written.num_embeddings)
        size = written.num_embeddings if own else rows
        if not own:
            decoder.embed_tokens = Borrowed(embedding)
        (whole if hasattr(whole, "shared") else whole.model).shared = Borrowed(embedding)
        (whole if hasattr(whole, "encoder") else whole.model).encoder = nn.Identity()
        make_cheap(whole)
        self.whole: Any = whole
        self.vocabulary: WrittenSubwords = WrittenSubwords(Tokenizer.from_str(target["vocabulary"]), size, int(target["end"]))
        self.suppressed = _mask(size, target["suppressed"])

    def config(self) -> dict[str, Any]:
        """How the source writes: its tokenizer and special subwords. The encoder's configuration has the architecture."""
        return self._config

    @property
    def forced(self) -> tuple[int | None, int | None]:
        """The first and the last subword of every text, if the source forces them."""
        first, last = self._config["forced"]
        return first, last

    @property
    def embedding(self) -> nn.Embedding:
        """The one that it reads what it wrote by."""
        found: Any = self.whole.get_decoder().embed_tokens
        embedding: nn.Embedding = found.owner[0] if isinstance(found, Borrowed) else found
        return embedding

    def output_weights(self) -> Tensor:
        """``[vocabulary, width]``."""
        weights: Tensor = self.whole.lm_head.weight
        return weights

    def begin_with(self) -> Tensor:
        """The embedding of the subword that the source begins with."""
        start: Tensor = self._embedded(torch.tensor(self._config["start"]))
        return start

    def loss_sum(self, start: Tensor, targets: Tensor, states: Tensor, mask: Tensor, label_smoothing: float) -> Tensor:
        """See ``Decoder.loss_sum``."""
        before = torch.cat([start.expand(len(targets), 1, -1), self._embedded(targets[:, :-1].clamp(min=0))], dim=1)
        logits = self._run(before, states, mask, None).float()
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, label_smoothing=label_smoothing, reduction="sum"
        )

    def begin(self, start: Tensor, states: Tensor, mask: Tensor, beams: int) -> tuple[Tensor, PairCache]:
        """See ``Decoder.begin``."""
        states, mask = states.repeat_interleave(beams, 0), mask.repeat_interleave(beams, 0)
        cache = PairCache(EncoderDecoderCache(DynamicCache(), DynamicCache()), states, mask, beams)
        return self._next(start.expand(len(states), -1), cache), cache

    def step(self, subwords: Tensor, cache: PairCache) -> Tensor:
        """See ``Decoder.step``."""
        return self._next(self._embedded(subwords), cache)

    def _next(self, embedded: Tensor, cache: PairCache) -> Tensor:
        logits = self._run(embedded[:, None], cache.states, cache.mask, cache.past)[:, -1]
        length, (first, last) = cache.past.get_seq_length(), self.forced
        forced = first if length == 1 and first is not None else last if length == self.max_length else None
        if forced is None:
            return logits
        only = torch.full_like(logits, -torch.inf)
        only[:, forced] = 0.0
        return only

    def _run(self, embedded: Tensor, states: Tensor, mask: Tensor, past: EncoderDecoderCache | None) -> Tensor:
        """Logits ``[rows, subwords, vocabulary]``."""
        logits: Tensor = self.whole(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask.long(),
            decoder_inputs_embeds=embedded,
            past_key_values=past,
            use_cache=past is not None,
        ).logits
        return logits

    def _embedded(self, subwords: Tensor) -> Tensor:
        embedded: Tensor = self.whole.get_decoder().embed_tokens(subwords)
        return embedded


def _mask(size: int, subwords: Sequence[int]) -> Tensor | None:
    if not subwords:
        return None
    return torch.zeros(size, dtype=torch.bool).index_fill(0, torch.tensor(subwords), True)


def _check_type(folder: Path, config: Any) -> None:
    if config.model_type not in TYPES:
        advice = "choose one of type " + ", ".join(TYPES)
        if not config.is_encoder_decoder:
            advice = f"set encoder.type: transformer, beside which tasks that write text have a new decoder, or {advice}"
        raise EncoderError(
            f"{folder / 'config.json'}: model_type {config.model_type!r} is not an encoder-decoder that can be used; {advice}"
        )


def _check_target(folder: Path, model: Any, target_length: int) -> None:
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and target_length > limit:
        raise EncoderError(f"{folder}: encoder.target_length is {target_length}, but the decoder has {limit} positions")


def _target(model: Any, tokenizer: Tokenizer, target_length: int) -> dict[str, Any]:
    """How a model of transformers writes; see ``Seq2SeqDecoder.config``."""
    plan, config = model.generation_config, model.config

    def chosen(name: str) -> int | None:
        value = getattr(plan, name, None)
        value = getattr(config, name, None) if value is None else value
        return value[0] if isinstance(value, list) else value

    end, start = chosen("eos_token_id"), chosen("decoder_start_token_id")
    if end is None or start is None:
        raise EncoderError("config.json: eos_token_id and decoder_start_token_id must be set")
    suppressed = {words[0] for words in plan.bad_words_ids or () if len(words) == 1} | set(plan.suppress_tokens or ())
    return {
        "vocabulary": tokenizer.to_str(),
        "max_length": target_length,
        "end": end,
        "start": start,
        "forced": [chosen("forced_bos_token_id"), chosen("forced_eos_token_id")],
        "suppressed": sorted(suppressed - {end}),
    }
