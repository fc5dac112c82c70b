"""How near variants are to their originals, by a real encoder made here: tiny, with random weights."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from mtl import config
from mtl.augment.shards import augment_shard, read_counts, read_rejected
from mtl.augment.similarity import embeddings, mark_dissimilar, similarities
from mtl.config import Params
from mtl.data.schema import schema, text_of, write
from mtl.errors import AugmentError, ParamsError
from mtl.names import ShardName
from mtl.pipeline.stages import STAGES

from .rows import texts, tokens
from .test_shards import SYNONYM, settings_of

TEXTS = ["a really amazing movie", "really", "I think that this is a big film about a small dog and a cat", "", "words " * 400]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of downloads with an encoder."""
    folder = tmp_path_factory.mktemp("raw")
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary | {f"##{letter}": i + 30 for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    wrapped.save_pretrained(folder / "model.encoder")
    size = {"vocab_size": 56, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(**size, max_position_embeddings=128, initializer_range=0.5)).save_pretrained(folder / "model.encoder")
    return folder


def test_embeddings_are_those_of_one_text_alone(raw: Path):
    together = embeddings(raw / "model.encoder", TEXTS)
    assert together.shape == (5, 32)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    model = BertModel.from_pretrained(raw / "model.encoder").eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(raw / "model.encoder")
    for text, vector in zip(TEXTS, together, strict=True):
        subwords = tokenizer(text, return_tensors="pt", truncation=True, max_length=126)["input_ids"]
        with torch.inference_mode():
            mean = model(subwords).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-4)


def test_similarities(raw: Path):
    variants = ["an awfully big house", TEXTS[1], "I think that this is a big film about a small dog and a pet", "x", "words " * 401]
    threads = torch.get_num_threads()
    cosines = similarities(raw / "model.encoder", TEXTS, variants)
    assert cosines[1] == pytest.approx(1, abs=1e-5)
    assert cosines[4] == pytest.approx(1, abs=1e-5)  # of both, the same first subwords count
    assert cosines[[0, 2, 3]].max() < 0.99
    assert (similarities(raw / "model.encoder", TEXTS, variants) == cosines).all()
    assert similarities(raw / "model.encoder", [], []).shape == (0,)
    assert torch.get_num_threads() == threads


def similar(least: float | None, **changes: Any) -> Params:
    content = settings_of(SYNONYM).model_dump(mode="json") | changes
    content["augment"]["min_similarity"] = least
    return config.parse(content)


TRANSFORMER = {"encoder": {"type": "transformer", "source": {"url": "x", "sha256": "0" * 64}}}


def test_variants_far_from_their_originals_are_dropped(raw: Path, tmp_path: Path):
    write(
        texts(*(f"a {word} movie was {i} really big" for i, word in enumerate(["amazing", "garbage", "fine"] * 20))), tmp_path / "d.parquet"
    )

    def counts(least: float | None) -> dict[str, Any]:
        augment_shard(similar(least, **TRANSFORMER), "d", 0, tmp_path, tmp_path, raw)
        method: dict[str, Any] = read_counts(tmp_path / ShardName("d", 0, 1).file)["methods"]["synonym"]
        return method

    without, some, every = counts(None), counts(0.9), counts(1.0)
    assert "dissimilar" not in without["dropped"]
    assert 0 < some["dropped"]["dissimilar"] < without["kept"]
    assert some["kept"] + some["dropped"]["dissimilar"] == without["kept"]
    assert every["kept"] < some["kept"]
    for sample in read_rejected(tmp_path / ShardName("d", 0, 1).file)["synonym"]["dissimilar"]:
        assert sample["variant"] != sample["original"]
        assert text_of([sample["variant"]], [False])


def test_the_filter_is_in_the_fingerprint_only_when_it_is_on():
    (off,), (on,) = (list(STAGES["augment"].jobs(similar(least, **TRANSFORMER))) for least in (None, 0.5))
    assert "min_similarity" not in off.settings
    assert on.settings["min_similarity"] == 0.5
    assert "raw/model.encoder/*" in on.reads
    assert set(on.reads) - set(off.reads) == {"raw/model.encoder/*"}


def test_it_needs_a_pretrained_encoder(tmp_path: Path):
    with pytest.raises(ParamsError, match=r"augment\.min_similarity: .*encoder\.type is 'cnn'; choose transformer"):
        similar(0.5)
    write(texts("a movie"), tmp_path / "d.parquet")
    with pytest.raises(AugmentError, match="snakemake download"):
        augment_shard(similar(0.5, **TRANSFORMER), "d", 0, tmp_path, tmp_path, tmp_path)
    (tmp_path / "model.encoder").mkdir()
    with pytest.raises(AugmentError, match="cannot be loaded as an encoder"):
        augment_shard(similar(0.5, **TRANSFORMER), "d", 0, tmp_path, tmp_path, tmp_path)


def test_without_it_a_shard_does_not_import_torch(tmp_path: Path):
    write(texts("a really big movie"), tmp_path / "d.parquet")
    (tmp_path / "params.json").write_text(config.dump(similar(None)))
    code = (
        "import sys; from pathlib import Path; from mtl import config; from mtl.augment.shards import augment_shard;"
        "folder = Path(sys.argv[1]);"
        "augment_shard(config.load(folder / 'params.json'), 'd', 0, folder, folder, folder); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_text_field_must_be_near_its_original(raw: Path):
    two = schema({}, ["text", "context"])
    near, far = TEXTS[0].split(), ["zzz", "qqq", "xxx"]
    contents = [(near, near), (near, far), (far, near), (far, far)]

    def fields(text: list[str], context: list[str]) -> dict[str, Any]:
        return tokens(text) | {f"context.{name}": values for name, values in tokens(context).items()}

    rows = pa.Table.from_pylist([{"id": str(i), "split": "train", **fields(near, near)} for i in range(5)], schema=two)
    variants = [fields(*content) | {"row": i, "reason": None} for i, content in enumerate(contents)]
    variants.append(fields(far, far) | {"row": 4, "reason": "length"})
    judged = mark_dissimilar(pa.Table.from_pylist(variants), rows, raw / "model.encoder", 0.95)
    assert judged["reason"].to_pylist() == [None, "dissimilar", "dissimilar", "dissimilar", "length"]
