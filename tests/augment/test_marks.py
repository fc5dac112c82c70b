"""Marked ranges of raw texts, however hostile: every variant of every method has the very same ranges."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl import config, plugins
from mtl.augment import apertium
from mtl.augment.shards import augment_shard
from mtl.config import Params
from mtl.config.checks import knows
from mtl.data.labels import reader_of
from mtl.data.marks import marked_tokens
from mtl.data.schema import read, schema, write
from mtl.names import ShardName

from .rows import HOSTILE

METHODS: dict[str, dict[str, Any]] = {
    name: {"type": name, "copies": 2}
    for name in plugins.names(plugins.AUGMENTERS)
    if not (method := plugins.settings_of(plugins.AUGMENTERS, name)).needs_tags and knows(method, "en")
}
METHODS["nlpaug"]["augmenter"] = "RandomCharAug"
SCHEMA = schema({"link": "relation"})


def settings_of(segmentation: str, methods: dict[str, Any] = METHODS) -> Params:
    dataset = {
        "source": {"url": "a"},
        "reader": {"format": "jsonl"},
        "marks": ["e1", "e2"],
        "segmentation": segmentation,
        "labels": {"link": {"type": "relation", "column": "link", "head": "e1", "tail": "e2"}},
        "split": {"train": 0.9, "test": 0.1},
    }
    return config.parse(
        {
            "seed": 3,
            "datasets": {"d": dataset},
            "tasks": {"t": {"type": "relation_classification", "label": "link"}},
            "augment": {"shards": 1, "methods": methods},
            "encoder": {"type": "cnn"},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


WORDS = [word for word in HOSTILE if word.strip()] + ["The", "movie", "is", "really", "amazing", "dogs", "think"]


@st.composite
def marked_texts(draw: st.DrawFn) -> str:
    """A text with two marked ranges, in any order, at its ends or touching, and perhaps within a word."""
    inside = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
    around = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
    first, second = draw(st.permutations(["e1", "e2"]))
    space = st.sampled_from(["", " "])
    return "".join(
        [
            draw(around) + draw(space),
            f"<{first}>{draw(inside)}</{first}>",
            draw(st.just("") | around.map(lambda text: f" {text} ") | around),
            f"<{second}>{draw(inside)}</{second}>",
            draw(space) + draw(around),
        ]
    )


def rows_of(texts: Sequence[str], params: Params) -> list[dict[str, Any]]:
    """Canonical rows of the texts, read as a source is."""
    dataset = params.datasets["d"]
    label = reader_of(dataset.labels["link"])
    rows = []
    for number, text in enumerate(texts):
        tokens, spaces, ranges = marked_tokens(text, {}, dataset)
        link = label.read({"link": f"c{number % 2}", **ranges}, tokens)
        rows.append({"id": f"r{number}", "split": "train", "tokens": tokens, "space_after": spaces, "link": link})
    return [dict.fromkeys(SCHEMA.names) | row for row in rows]


def marked(row: dict[str, Any]) -> tuple[str, list[list[str]]]:
    """The class of a row, and the tokens of both ranges, found without the code under test."""
    link = row["link"]
    ranges = [(link[f"{side}_start"], link[f"{side}_end"]) for side in ("head", "tail")]
    assert all(0 <= start < end <= len(row["tokens"]) for start, end in ranges)
    assert ranges[0][1] <= ranges[1][0] or ranges[1][1] <= ranges[0][0]
    return link["class"], [row["tokens"][start:end] for start, end in ranges]


def variants_of(texts: Sequence[str], params: Params, folder: Path) -> list[dict[str, Any]]:
    """All variants, after each was compared with its original row."""
    rows = rows_of(texts, params)
    write(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "d.parquet")
    augment_shard(params, "d", 0, folder, folder)
    variants: list[dict[str, Any]] = read(folder / ShardName("d", 0, 1).file).to_pylist()
    originals = {row["id"]: row for row in rows}
    for variant in variants:
        assert len(variant["tokens"]) == len(variant["space_after"])
        assert marked(variant) == marked(originals[variant["parent_id"]])
        assert variant["tokens"] != originals[variant["parent_id"]]["tokens"]
    return variants


def translated(texts: Sequence[str], language: str, pivot: str) -> list[str | None]:
    """What a bad translator may return: words in another order, some missing, some twice."""
    draw = random.Random(f"{pivot} {texts}")
    results: list[str | None] = []
    for text in texts:
        words = text.split()
        draw.shuffle(words)
        results.append(None if draw.random() < 0.1 else " ".join(words[: len(words) - draw.randint(0, 1)] + words[: draw.randint(0, 1)]))
    return results


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(marked_texts(), min_size=1, max_size=8), st.sampled_from(["spaces", "words"]))
def test_marked_ranges_are_carried_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], segmentation: str):
    monkeypatch.setattr(apertium, "available", lambda language, pivots: None)
    monkeypatch.setattr(apertium, "round_trip", translated)
    variants_of(texts, settings_of(segmentation), tmp_path)


def test_every_method_makes_variants_of_marked_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(apertium, "available", lambda language, pivots: None)
    monkeypatch.setattr(apertium, "round_trip", translated)
    texts = [
        f"I really think that the big <e1>dog {i}</e1><e2>שלום e\u0301</e2> was amazing and made the movie beautiful" for i in range(30)
    ]
    assert {variant["augmenter"] for variant in variants_of(texts, settings_of("spaces"), tmp_path)} == set(METHODS)


@pytest.mark.skipif(apertium.available("en", ["eo", "es"]) is not None, reason="needs Apertium")
@settings(max_examples=3, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(marked_texts(), min_size=20, max_size=20))
def test_marked_ranges_come_through_the_real_translator(tmp_path: Path, texts: list[str]):
    params = settings_of("words", {"bt": {"type": "back_translate", "copies": 2}})
    variants_of([*texts, "The <e1>garden</e1> of <e2>Ann Lee</e2> is really very big and beautiful."], params, tmp_path)
