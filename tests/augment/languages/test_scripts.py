"""Arabic, Hebrew, Thai, Japanese and Chinese: from raw text with offsets to variants, labels stay with their letters."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtl import config
from mtl.augment.shards import augment_shard, read_counts
from mtl.data.prepare import prepare
from mtl.data.schema import read, text_of
from mtl.data.segmentation import segment
from mtl.errors import AugmentError
from mtl.names import ShardName

TEXTS = {
    "ar": ("سافر أحمد إلى القاهرة، ثم عاد.", "القاهرة", "عمّان"),
    "he": ("דני נסע לעיר חיפה, נכון?", "חיפה", "אילת"),
    "th": ("สมชายไปกรุงเทพมา", "กรุงเทพ", "ภูเก็ต"),
    "ja": ("山田さんは東京で買った。", "東京", "大阪"),
    "zh": ("王小明在北京买iPhone，很好。", "北京", "上海"),
}
"""Language to a text, a place in it, and another place."""


def params(*methods: str) -> config.Params:
    dataset = {
        "source": {"url": "a.jsonl"},
        "reader": {"format": "jsonl"},
        "text": "tokens",
        "tokens": True,
        "segmentation": "words",
        "labels": {"places": {"type": "tags", "column": "places"}},
        "split": {"train": 1.0},
    }
    return config.parse(
        {
            "seed": 1,
            "datasets": {"d": dataset},
            "tasks": {"t": {"type": "token_classification", "label": "places"}},
            "augment": {"shards": 1, "methods": {name: {"type": name, "copies": 3, "rate": 1.0} for name in methods}},
            "encoder": {"type": "cnn"},
        }
    )


def tagged(text: str, place: str) -> dict[str, Any]:
    """The tokens of a raw text, and tags by the offsets of a place in it."""
    tokens, _, starts, _ = segment(text, "words")
    first, end = text.index(place), text.index(place) + len(place)
    inside = [first <= start < end for start in starts]
    assert "".join(token for token, own in zip(tokens, inside, strict=True) if own) == place
    return {
        "tokens": tokens,
        "places": [("B-x" if start == first else "I-x") if own else "O" for start, own in zip(starts, inside, strict=True)],
    }


@pytest.fixture(params=TEXTS)
def language(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A language whose texts are prepared."""
    text, place, other = TEXTS[request.param]
    rows = [tagged(text.replace(place, name), name) for name in (place, other) for _ in range(10)]
    (tmp_path / "raw/all").mkdir(parents=True)
    (tmp_path / "raw/all/a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare(params(), "d", tmp_path / "raw", tmp_path)
    return str(request.param)


def test_the_text_comes_back_and_its_language_is_guessed(language: str, tmp_path: Path):
    text, place, other = TEXTS[language]
    texts = {text_of(row["tokens"], row["space_after"]) for row in read(tmp_path / "d.parquet").to_pylist()}
    assert texts == {text, text.replace(place, other)}
    assert json.loads((tmp_path / "d.json").read_text())["language"] == {"tag": language, "guessed": True}


def test_methods_on_tags_know_every_language(language: str, tmp_path: Path):
    _, place, other = TEXTS[language]
    augment_shard(params("mention_replace", "shuffle_within_segments", "label_token_replace"), "d", 0, tmp_path, tmp_path)
    shard = tmp_path / ShardName("d", 0, 1).file
    variants = read(shard).to_pylist()
    assert any(row["augmenter"] == "shuffle_within_segments" for row in variants)
    assert read_counts(shard)["methods"]["mention_replace"]["dropped"] == {"duplicate": 60}  # each place is in each text already
    for row in variants:
        letters = "".join(token for token, tag in zip(row["tokens"], row["places"], strict=True) if tag != "O")
        if row["augmenter"] == "shuffle_within_segments":
            assert sorted(letters) in (sorted(place), sorted(other))


def test_delete_is_refused_where_no_module_has_the_language(language: str, tmp_path: Path):
    if language == "zh":
        augment_shard(params("delete"), "d", 0, tmp_path, tmp_path)
        assert len(read(tmp_path / ShardName("d", 0, 1).file))
        return
    with pytest.raises(AugmentError, match=rf"delete does not know {language}, the language of 'd'"):
        augment_shard(params("delete"), "d", 0, tmp_path, tmp_path)
