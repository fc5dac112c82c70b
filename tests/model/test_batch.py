"""Batches: rows padded to the longest, with the field of each subword where rows have two."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from mtl.encoders import SubwordTokenizer
from mtl.encoders.transformer import TransformerEncoder
from mtl.model.batch import collate
from mtl.model.model import Model
from mtl.tasks.regression import Regression

ROWS = [["the", "quick", "fox"], ["fox"], ["lazy", "dog"]]
RIGHTS = [["over"], None, ["the", "lazy", "dog"]]


def test_rows_of_one_field_have_no_segments(tiny_bert: Path) -> None:
    tokenizer = SubwordTokenizer.load(tiny_bert / "tokenizer.json")
    assert collate(tokenizer.encode(ROWS, 16), np.array([0, 2])).segment_ids is None
    assert collate(tokenizer.encode(ROWS, 16, RIGHTS), np.array([1])).segment_ids is None


def test_segments_are_padded_like_their_rows_and_reach_the_encoder(tiny_bert: Path) -> None:
    tokenizer = SubwordTokenizer.load(tiny_bert / "tokenizer.json")
    encoded = tokenizer.encode(ROWS, 16, RIGHTS)
    batch = collate(encoded, np.array([2, 1, 0]))
    assert batch.segment_ids is not None
    assert batch.segment_ids.dtype == torch.int64
    flat = encoded.take(np.array([2, 1, 0]))
    assert batch.segment_ids[batch.mask].tolist() == flat.segment_ids.tolist()
    assert not batch.segment_ids[~batch.mask].any()
    auto: Any = AutoModel
    config = AutoConfig.for_model("bert", vocab_size=tokenizer.size, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = TransformerEncoder(auto.from_config(config), word_shape=False)
        torch.nn.init.normal_(encoder.get_parameter("model.embeddings.token_type_embeddings.weight"))
    model = Model(encoder, tokenizer, {"rating": Regression({"mean": 0.0, "std": 1.0})}, max_length=16, dropout=0.0).eval()
    torch.nn.init.normal_(model.heads["rating"].layers[-1].weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scores = model(batch, ["rating"])["rating"][:, 0]
        alone = [model(collate(encoded, np.array([row])), ["rating"])["rating"][0, 0] for row in (2, 1, 0)]
        batch.segment_ids.zero_()
        without = model(batch, ["rating"])["rating"][:, 0]
    torch.testing.assert_close(scores, torch.stack(alone), rtol=1e-4, atol=1e-5)
    assert ((scores - without).abs() > 1e-3).tolist() == [True, False, True]
