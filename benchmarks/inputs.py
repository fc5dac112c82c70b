"""Synthetic inputs of the augmentation benchmark: texts, settings, and substitutes for data that cannot be downloaded."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtl import config
from mtl.augment.languages.en import is_grammar
from mtl.data.schema import ROW_GROUP, Writer, schema
from mtl.data.segmentation import into_chinese_words

WORDNET = Path("/usr/share/wordnet")
NAMES = ["Ann Lee", "Bob", "New York", "Eva Stone", "Oslo", "Acme"]
PARTS = {"NOUN": "NN", "VERB": "VB", "ADJ": "JJ", "ADV": "RB"}


class NotInstalledError(Exception):
    """A missing package, with the command that installs it."""


def glosses(rows: int, seed: int = 0) -> list[str]:
    """Definitions and examples of WordNet, real English of 6 to 40 words, shuffled with the seed."""
    if not (WORDNET / "data.noun").exists():
        raise NotInstalledError("apt-get install wordnet-base")
    lines = [line for part in ("noun", "verb", "adj", "adv") for line in (WORDNET / f"data.{part}").read_text().splitlines() if "|" in line]
    result = sorted({" ".join(line.split("|")[1].replace('"', " ").split()) for line in lines})
    result = [text for text in result if 6 <= text.count(" ") + 1 <= 40]
    Random(seed).shuffle(result)
    return result[:rows]


def sentences(rows: int, seed: int = 0) -> Iterator[tuple[list[str], list[str]]]:
    """Tokens and tags of glosses, with a name inserted into every second one."""
    random = Random(seed)
    for number, text in enumerate(glosses(rows, seed)):
        tokens, name = text.split(), random.choice(NAMES).split() if number % 2 else []
        tags = ["O"] * len(tokens)
        position = random.randint(0, len(tokens))
        tokens[position:position], tags[position:position] = name, ["B-name", "I-name"][: len(name)]
        yield tokens, tags


def table(rows: int, *, tagged: bool) -> pa.Table:
    content = []
    for number, (tokens, tags) in enumerate(sentences(rows)):
        row = {"id": str(number), "split": "train", "tokens": tokens, "space_after": [True] * (len(tokens) - 1) + [False]}
        content.append({**row, "label": tags if tagged else "a"})
    return pa.Table.from_pylist(content, schema=schema({"label": "tags" if tagged else "class"}))


def long_table(rows: int, path: Path) -> None:
    """A table of any length: the rows of ``table``, repeated, each with a unique number appended.

    Its row groups are full, as in a table that is written at once.
    """
    base = table(3 * ROW_GROUP, tagged=False)
    lengths = pc.list_value_length(base["tokens"]).to_numpy()
    ends = np.cumsum(lengths + 1)
    with Writer(path, base.schema) as file:
        for start in range(0, rows, len(base)):
            own = pa.array(f"n{number}" for number in range(start, start + len(base)))
            tokens = np.empty(ends[-1], dtype=object)
            last = np.zeros(ends[-1], dtype=bool)
            last[ends - 1] = True
            tokens[last], tokens[~last] = own, base["tokens"].combine_chunks().flatten()
            spaces = pa.array(~last)
            offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
            columns = {"id": own, "tokens": pa.ListArray.from_arrays(offsets, pa.array(tokens, pa.string()))}
            columns["space_after"] = pa.ListArray.from_arrays(offsets, spaces)
            part = pa.table([columns.get(name, base[name]) for name in base.schema.names], schema=base.schema)
            file.write(part.slice(0, rows - start))


def texts(rows: int) -> list[str]:
    return [" ".join(tokens) for tokens, _ in sentences(rows)]


def table_of(texts: list[str]) -> pa.Table:
    """Chinese texts as words, of the class a."""
    content = [{"id": str(number), "split": "train", "label": "a", **into_words(text)} for number, text in enumerate(texts)]
    return pa.Table.from_pylist(content, schema=schema({"label": "class"}))


def into_words(text: str) -> dict[str, Any]:
    """The columns of a text."""
    tokens, space_after, _ = into_chinese_words(text)
    return {"tokens": tokens, "space_after": space_after}


def settings(method: dict[str, Any], *, tagged: bool = False, shards: int = 1, language: str = "en") -> config.Params:
    label = {"type": "tags" if tagged else "class", "column": "label"}
    dataset: dict[str, Any] = {
        "source": {"url": "x"},
        "reader": {"format": "parquet"},
        "labels": {"label": label},
        "split": {"train": 0.9, "test": 0.1},
    }
    dataset["language"] = language
    task = {"type": "token_classification" if tagged else "classification", "label": "label"}
    rest: dict[str, Any] = {"seed": 1, "encoder": {"type": "cnn"}, "train": {}, "experiment": {}, "evaluate": {}, "report": {}}
    augment = {"shards": shards, "methods": {"method": method}}
    return config.parse({**rest, "datasets": {"bench": dataset}, "tasks": {"task": task}, "augment": augment})


def nltk_data(folder: Path) -> None:
    """WordNet in nltk's layout, and nltk's perceptron tagger trained on 2,000 glosses, since its data cannot be installed."""
    if importlib.util.find_spec("nltk") is None:
        raise NotInstalledError("pip install nltk")
    content = [tokens for tokens, _ in sentences(2000, seed=1)]
    import nltk
    from lemminflect import getAllLemmas
    from nltk.tag.perceptron import PerceptronTagger

    corpus = folder / "corpora" / "wordnet"
    shutil.copytree(WORDNET, corpus, ignore=lambda _, names: [name for name in names if "." not in name])
    (corpus / "lexnames").write_text("".join(f"{number:02}\tfile{number:02}\t0\n" for number in range(45)))
    (corpus / "index.sense").touch()

    def tag(token: str) -> str:
        word = token.rstrip(",.;!?")
        return "IN" if is_grammar(word) else PARTS.get(next(iter(getAllLemmas(word)), "NOUN"), "NN")

    tagger = PerceptronTagger(load=False)
    tagger.train([[(token, tag(token)) for token in tokens] for tokens in content], nr_iter=3)
    target = folder / "taggers" / "averaged_perceptron_tagger_eng"
    target.mkdir(parents=True)
    for part, name in zip(tagger.encode_json_obj(), tagger.param_files("eng"), strict=True):
        (target / name).write_text(json.dumps(part))
    nltk.data.path.insert(0, str(folder))


def marian(folder: Path) -> Path:
    """A model of the size of opus-mt with random weights. It never ends an output before the limit, and its subwords are words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import MarianConfig, MarianMTModel, PreTrainedTokenizerFast

    words = dict.fromkeys(["</s>", "<unk>", *(token for text in texts(3000) for token in text.split()), *map(str, range(58_100))])
    vocabulary = {word: number for number, word in enumerate([*list(words)[:58_100], "<pad>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "model_input_names": ["input_ids", "attention_mask"]}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    layers = {
        f"{side}_{key}": n for side in ("encoder", "decoder") for key, n in (("layers", 6), ("attention_heads", 8), ("ffn_dim", 2048))
    }
    torch.manual_seed(0)
    model = MarianMTModel(
        MarianConfig(**layers, d_model=512, max_position_embeddings=512, activation_function="swish", scale_embedding=True)
    )
    model.final_logits_bias[0, 0] = -100.0
    model.generation_config.num_beams = 4
    model.save_pretrained(folder)
    return folder
