"""A synthetic project, the same for the same arguments: settings, prepared tables, and an encoder folder. It needs no network.

Texts consist of synthetic words with the frequencies of a language. Cue words decide the class and the number of a review; names are
tagged in the texts about places. The tokenizer has as many subwords as BERT's.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from known_answer import word

from mtl.data import schema

VOCABULARY, WORDS, CUES, NAMES = 30_522, 40_000, 20, 200
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LABELS = {"reviews": {"mood": "class", "rating": "number"}, "places": {"names": "tags"}}
TASKS = {"mood": "classification", "rating": "regression", "names": "token_classification"}
Row = dict[str, Any]


def write_project(folder: Path, rows: int) -> None:
    """Write ``params.json``, ``examples`` and ``encoder``.

    Args:
        folder: made if it is not there.
        rows: train rows of each dataset; validation and test have a tenth of that each.
    """
    draw = np.random.default_rng(1)
    for name, make in (("reviews", review), ("places", place)):
        splits = {"train": rows, "validation": rows // 10, "test": rows // 10}
        content = [row(make(draw), split, number) for split, count in splits.items() for number in range(count)]
        schema.write(pa.Table.from_pylist(content, schema=schema.schema(LABELS[name])), folder / "examples" / f"{name}.parquet")
    (folder / "params.json").write_text(json.dumps(settings(), indent=1))
    write_encoder(folder / "encoder")


def settings() -> dict[str, Any]:
    """One joint plain run with steps of 16,384 subwords and a single validation, at the end."""
    split = {"train": 0.8, "validation": 0.1, "test": 0.1}
    source = {"source": {"url": "file:///made-here"}, "reader": {"format": "jsonl"}, "split": split}
    labels = {name: {label: {"type": type_, "column": label} for label, type_ in own.items()} for name, own in LABELS.items()}
    return {
        "seed": 1,
        "datasets": {name: source | {"labels": own} for name, own in labels.items()},
        "tasks": {name: {"type": type_, "label": name} for name, type_ in TASKS.items()},
        "augment": {},
        "encoder": {
            "type": "transformer",
            "source": {"url": "file:///made-here"},
            "max_length": 64,
            "word_shape": True,
            "pooling": "first",
        },
        "train": {"batch_tokens": 16_384, "learning_rate": 1e-4, "head_learning_rate": 1e-3, "eval_every": 1_000_000},
        "experiment": {"joint": ["plain"], "single_task": []},
    }


# --- texts ------------------------------------------------------------------------------------------------------------


def row(content: Row, split: str, number: int) -> Row:
    """A row of the canonical table."""
    provenance = {"parent_id": None, "augmenter": None}
    return {"id": f"{split}-{number}", "split": split, "space_after": [True] * len(content["tokens"]), **content, **provenance}


def review(draw: np.random.Generator) -> Row:
    """A text with one to three cue words: which ones decides the class, how many the number."""
    mood, count = int(draw.integers(2)), int(draw.integers(1, 4))
    tokens = [*filler(draw), *(word(WORDS + mood * CUES + int(cue)) for cue in draw.integers(CUES, size=count))]
    sign = 1 if mood else -1
    return {"tokens": shuffled(tokens, draw), "mood": "good" if mood else "bad", "rating": sign * count + float(draw.normal(0, 0.1))}


def place(draw: np.random.Generator) -> Row:
    """A text in which up to two of the words are names."""
    names = [word(WORDS + 2 * CUES + int(name)) for name in draw.integers(NAMES, size=int(draw.integers(3)))]
    tokens = shuffled([*filler(draw), *names], draw)
    return {"tokens": tokens, "names": ["B-name" if token in names else "O" for token in tokens]}


def filler(draw: np.random.Generator) -> list[str]:
    """4 to 50 words, 17 on average; a few are very frequent."""
    length = int(np.clip(draw.lognormal(2.7, 0.5), 4, 50))
    return [word(int(number)) for number in np.minimum(draw.zipf(1.2, length), WORDS) - 1]


def shuffled(tokens: list[str], draw: np.random.Generator) -> list[str]:
    """The tokens in random order."""
    return [tokens[i] for i in draw.permutation(len(tokens))]


# --- encoder ----------------------------------------------------------------------------------------------------------


def write_encoder(folder: Path) -> None:
    """BERT's configuration and a WordPiece tokenizer: frequent words are one subword, others the syllables they consist of. No weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig

    syllables = sorted({word(number)[:2] for number in range(40)})
    base = [*SPECIAL, *syllables, *(f"##{syllable}" for syllable in syllables)]
    subwords = base + [word(number) for number in range(VOCABULARY - len(base))]
    tokenizer = Tokenizer(models.WordPiece({subword: i for i, subword in enumerate(subwords)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    BertConfig(vocab_size=VOCABULARY).save_pretrained(folder)
