"""What the benchmark of augmentation works on, all made here: texts, settings, and stand-ins for data that cannot be downloaded."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from mtl import params
from mtl.augment import wordnet
from mtl.data.schema import schema

WORDNET = Path("/usr/share/wordnet")
TAGS = {"DT": "the a this that my your", "PRP": "i you he she it we they", "IN": "of in on at for with from to", "CC": "and but or"}
TAGS |= {"VB": "is are was be have has had do can will go get", "RB": "not so too just now here", "NN": "lol day week time man phone"}
FUNCTION = {word: tag for tag, words in TAGS.items() for word in words.split()}
OTHER = ["twitter", "iphone", "monday", "coffee", "pizza", "mom", "dad", "kids", "game", "song", "video", "weekend", "chicago", "london"]
NAMES = ["Ann Lee", "Bob", "New York", "Eva Stone", "Oslo", "Acme"]


class NotInstalledError(Exception):
    """What the machine lacks, and how to install it."""


def sentences(rows: int, seed: int = 0) -> Iterator[tuple[list[str], list[str]]]:
    """Tokens and tags; about one token in eight has a synonym, frequent words come often."""
    random = Random(seed)
    swappable = random.sample(sorted(wordnet.load()), 2000)
    for _ in range(rows):
        tokens, tags = [], []
        for _ in range(random.randint(5, 24)):
            kind = random.random()
            words = [f"@user{random.randrange(10**6)}"]
            if kind < 0.03:
                words = random.choice(NAMES).split()
            elif kind < 0.95:
                common = list(FUNCTION) if kind < 0.7 else OTHER
                word = swappable[int(2000 * random.random() ** 3)] if kind < 0.15 else random.choice(common)
                words = [word + random.choice(["", "", "", "", "", ",", ".", "!"])]
            tags += ["B-name", *["I-name"] * (len(words) - 1)] if kind < 0.03 else ["O"]
            tokens += words
        yield tokens, tags


def table(rows: int, *, tagged: bool) -> pa.Table:
    content = []
    for number, (tokens, tags) in enumerate(sentences(rows)):
        row = {"id": str(number), "split": "train", "tokens": tokens, "space_after": [True] * (len(tokens) - 1) + [False]}
        content.append({**row, "label": tags if tagged else "a"})
    return pa.Table.from_pylist(content, schema=schema({"label": "tags" if tagged else "class"}))


def texts(rows: int) -> list[str]:
    return [" ".join(tokens) for tokens, _ in sentences(rows)]


def settings(method: dict[str, Any], *, tagged: bool = False, shards: int = 1) -> params.Params:
    label = {"kind": "tags" if tagged else "class", "column": "label"}
    dataset = {"source": {"url": "x"}, "reader": {"format": "parquet"}, "labels": {"label": label}, "split": {"train": 0.9, "test": 0.1}}
    task = {"type": "token_classification" if tagged else "classification", "label": "label"}
    rest: dict[str, Any] = {"seed": 1, "encoder": {"type": "cnn"}, "train": {}, "experiment": {}, "evaluate": {}, "report": {}}
    augment = {"shards": shards, "methods": {"method": method}}
    return params.parse({**rest, "datasets": {"bench": dataset}, "tasks": {"task": task}, "augment": augment})


def nltk_data(folder: Path) -> None:
    """WordNet as nltk wants it, and a tagger: nltk's own, trained here on 2,000 of our sentences, since its data cannot be installed."""
    if importlib.util.find_spec("nltk") is None:
        raise NotInstalledError("pip install nltk")
    if not (WORDNET / "data.noun").exists():
        raise NotInstalledError("apt-get install wordnet-base")
    import nltk
    from lemminflect import getAllLemmas
    from nltk.tag.perceptron import PerceptronTagger

    corpus = folder / "corpora" / "wordnet"
    shutil.copytree(WORDNET, corpus, ignore=lambda _, names: [name for name in names if "." not in name])
    (corpus / "lexnames").write_text("".join(f"{number:02}\tfile{number:02}\t0\n" for number in range(45)))
    (corpus / "index.sense").touch()
    parts = {"NOUN": "NN", "VERB": "VB", "ADJ": "JJ", "ADV": "RB"}

    def tag(token: str) -> str:
        word = token.rstrip(",.!")
        return FUNCTION.get(word) or parts.get(next(iter(getAllLemmas(word)), "NOUN"), "NN")

    tagger = PerceptronTagger(load=False)
    tagger.train([[(token, tag(token)) for token in tokens] for tokens, _ in sentences(2000, seed=1)], nr_iter=3)
    target = folder / "taggers" / "averaged_perceptron_tagger_eng"
    target.mkdir(parents=True)
    for content, name in zip(tagger.encode_json_obj(), tagger.param_files("eng"), strict=True):
        (target / name).write_text(json.dumps(content))
    nltk.data.path.insert(0, str(folder))


def marian(folder: Path) -> Path:
    """A model as large as opus-mt's, with random weights that never end an answer before the limit; a piece is a word."""
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
