"""What many tests need: one thread for torch, examples without a deadline, and a real but tiny encoder folder."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a slow hour of the machine is no failure
settings.load_profile("untimed")

# Read when torch is first imported; importing it here would cost every test that does not need it three seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SENTENCES = [
    "The quick brown fox jumps over the lazy dog .",
    "Angela Merkel visited Paris in 2015 with a friend from New York .",
    "I love this wonderful film , it is great !",
    "What a terrible , boring waste of time ...",
    "Berlin and London are large cities ; Acme Corp. is a company .",
]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a hub would give it: a BERT of 2 layers, width 32 and 64 positions, random weights, uncased WordPiece."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny_bert")
    subwords = write_wordpiece(folder / "tokenizer.json")
    config = BertConfig(
        vocab_size=subwords,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def write_wordpiece(path: Path) -> int:
    """Write the tokenizer of ``tiny_bert``, with the padding and cutting that published ones often have; returns its size."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = sorted({c for sentence in SENTENCES for c in sentence.lower() if c != " "})
    words = sorted({word for sentence in SENTENCES for word in sentence.lower().split() if len(word) > 1})
    subwords = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), *words]
    tokenizer = Tokenizer(models.WordPiece({subword: i for i, subword in enumerate(subwords)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(subwords[:5])
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(16)
    tokenizer.save(str(path))
    return len(subwords)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, where the user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
