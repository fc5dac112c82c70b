"""A task that writes text as a model of transformers: an ``EncoderDecoderModel``, or of the class of its encoder-decoder source."""

import copy
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForSeq2SeqLM,
    EncoderDecoderModel,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from mtl.decoders import TransformerDecoder
from mtl.decoders.seq2seq import Seq2SeqDecoder, Seq2SeqEncoder
from mtl.encoders.transformer import TransformerEncoder
from mtl.model.model import Model

EPSILON = 1e-5
"""Of layer normalisation, as in ``torch.nn.LayerNorm``."""


def reason_against(model: Model, task: str) -> str | None:
    """Why no model of transformers writes the same texts; None if one does."""
    decoder, head = model.decoder, model.heads[task]
    if head.search.no_repeat == 1:
        return "no_repeat is 1, by which transformers forbids the subword that ends a text too"
    if head.sampling is not None:
        return "its texts are drawn by a seed of each source text; train with temperature: 0"
    if isinstance(decoder, TransformerDecoder) and model.encoder.width > decoder.width:
        width = model.encoder.width
        return f"decoder.width is {decoder.width}, less than the encoder's {width}; transformers has no such decoder: set {width} or more"
    return None


def plain(model: Model, task: str) -> Any:
    """The model of transformers with all weights. ``reason_against`` must be None.

    It begins a text with the embedding of the subword that ends one: as input, that subword occurs nowhere else. What stands there is what
    the task begins with. Output weights are apart, as they were.
    """
    encoder, decoder, start = model.encoder, model.decoder, model.heads[task].start
    if isinstance(encoder, Seq2SeqEncoder) and isinstance(decoder, Seq2SeqDecoder):
        found = _of_source(encoder, decoder, start)
    elif isinstance(encoder, TransformerEncoder) and isinstance(decoder, TransformerDecoder):
        found = EncoderDecoderModel(encoder=_with_norm(encoder, task, decoder.source_norm), decoder=_gpt2(decoder, start))
        if encoder.width != decoder.width:
            found.enc_to_dec_proj.weight.copy_(torch.eye(decoder.width, encoder.width))
            found.enc_to_dec_proj.bias.zero_()
    else:
        raise TypeError(f"{type(encoder).__name__} and {type(decoder).__name__} have no form in transformers")
    _plan(found, model, task)
    return found.eval()


def tokenizer(model: Model) -> Any:
    """That of target texts."""
    vocabulary: Any = model.decoder.vocabulary if model.decoder else None
    own = Tokenizer.from_str(vocabulary.dump())
    library: Any = PreTrainedTokenizerFast  # untyped
    return library(tokenizer_object=own, eos_token=own.id_to_token(vocabulary.end))


def _plan(found: Any, model: Model, task: str) -> None:
    """How it generates, and with which subwords."""
    decoder: Any = model.decoder
    search, end = model.heads[task].search, decoder.vocabulary.end
    ids = {"decoder_start_token_id": end, "eos_token_id": end, "pad_token_id": end}
    first, last = getattr(decoder, "forced", (None, None))
    suppressed = [] if decoder.suppressed is None else decoder.suppressed.nonzero().flatten().tolist()
    library: Any = GenerationConfig  # untyped
    found.generation_config = library(
        **ids,
        num_beams=search.beams,
        length_penalty=search.length_penalty if search.beams > 1 else 1.0,
        no_repeat_ngram_size=search.no_repeat,
        max_new_tokens=decoder.max_length,
        do_sample=False,
        forced_bos_token_id=first,
        forced_eos_token_id=last,
        suppress_tokens=suppressed or None,
    )
    for name, value in ids.items():
        setattr(found.config, name, value)


def _with_norm(encoder: TransformerEncoder, task: str, norm: nn.LayerNorm) -> Any:
    """The encoder with the normalisation of its states as one more layer, whose attention and feed-forward network give 0."""
    own: Any = encoder.model.config
    config = copy.deepcopy(own)
    config.num_hidden_layers = own.num_hidden_layers + 1
    auto: Any = AutoModel
    found = auto.from_config(config, dtype=torch.float32)
    found.load_state_dict(encoder.weights(task), strict=False)
    layer = found.encoder.layer[-1]
    for weight in layer.parameters():
        weight.zero_()
    layer.attention.output.LayerNorm.weight.fill_(1.0)
    layer.output.LayerNorm.load_state_dict(norm.state_dict())
    return found


def _gpt2(decoder: TransformerDecoder, start: Tensor) -> Any:
    """GPT-2 with cross-attention, whose layers normalise before each part, as those of the decoder do."""
    settings = decoder.config()
    config = GPT2Config(
        vocab_size=decoder.vocabulary.size,
        n_positions=decoder.max_length,
        n_embd=decoder.width,
        n_layer=settings["layers"],
        n_head=settings["heads"],
        activation_function="gelu",
        layer_norm_epsilon=EPSILON,
        add_cross_attention=True,
        tie_word_embeddings=False,
        bos_token_id=decoder.vocabulary.end,
        eos_token_id=decoder.vocabulary.end,
    )
    found: Any = GPT2LMHeadModel(config)
    body = found.transformer
    body.wte.weight.copy_(decoder.subwords.weight)
    body.wte.weight[decoder.vocabulary.end] = start
    found.lm_head.weight.copy_(decoder.subwords.weight)
    body.wpe.weight.copy_(decoder.places.weight)
    body.ln_f.load_state_dict(decoder.norm.state_dict())
    for block, layer in zip(body.h, decoder.layers, strict=True):
        _block(block, layer)
    return found


def _block(block: Any, layer: Any) -> None:
    for norm, own in zip((block.ln_1, block.ln_cross_attn, block.ln_2), layer.norms, strict=True):
        norm.load_state_dict(own.state_dict())
    cross = block.crossattention
    pairs = (
        (block.attn.c_attn, layer.own),
        (block.attn.c_proj, layer.own_out),
        (cross.q_attn, layer.query),
        (cross.c_proj, layer.source_out),
        (block.mlp.c_fc, layer.up),
        (block.mlp.c_proj, layer.down),
    )
    for convolution, linear in pairs:
        convolution.weight.copy_(linear.weight.T)
        convolution.bias.copy_(linear.bias)
    cross.c_attn.weight.zero_()  # states that are narrower than the decoder have zeros at their end
    cross.c_attn.weight[: layer.source.in_features] = layer.source.weight.T
    cross.c_attn.bias.copy_(layer.source.bias)


def _of_source(encoder: Seq2SeqEncoder, decoder: Seq2SeqDecoder, start: Tensor) -> Any:
    """The class of the source, with weights of its own for the embeddings of encoder and decoder and for the output layer."""
    config = copy.deepcopy(decoder.whole.config)
    config.tie_word_embeddings = False
    auto: Any = AutoModelForSeq2SeqLM
    found = auto.from_config(config, dtype=torch.float32)
    embedding, size = decoder.embedding, decoder.vocabulary.size
    for part, own, weight in (
        (found.get_encoder(), encoder.model, encoder.embedding.weight[: encoder.rows]),
        (found.get_decoder(), decoder.whole.get_decoder(), embedding.weight[:size]),
    ):
        part.load_state_dict({**own.state_dict(), "embed_tokens.weight": weight})
    begins = found.get_decoder().embed_tokens
    begins.weight[decoder.vocabulary.end] = start / getattr(embedding, "embed_scale", 1.0)
    found.get_input_embeddings().weight.copy_(encoder.embedding.weight[: encoder.rows])
    found.lm_head.weight.copy_(decoder.output_weights())
    if hasattr(found, "final_logits_bias"):
        found.final_logits_bias.copy_(decoder.whole.final_logits_bias)
    return found
