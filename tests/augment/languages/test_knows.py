"""Methods are refused for datasets whose language they do not know."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from augment.test_fields import SCHEMA, row, settings_of
from mtl import config, plugins
from mtl.augment.shards import augment_shard, few_kept
from mtl.config.checks import knows
from mtl.data.schema import write
from mtl.errors import AugmentError, ParamsError
from mtl.plan import language_issues, plan

SWAP = {"a": {"type": "swap", "pairs": True}, "b": {"type": "shuffle_within_segments", "pairs": True}}


def params(language: str | None, methods: dict[str, Any] = SWAP) -> config.Params:
    content = settings_of(methods).model_dump(mode="json")
    content["datasets"]["d"]["language"] = language
    return config.parse(content)


@pytest.mark.parametrize("language", ["en", "en-GB", "EN"])
def test_a_method_knows_a_language_by_its_prefix(language: str):
    assert params(language).datasets["d"].language == language


def test_a_given_language_that_a_method_does_not_know_is_an_error_that_names_those_that_do():
    with pytest.raises(ParamsError) as caught:
        params("xx-Latn")
    (issue,) = caught.value.issues
    assert issue.key == "augment.methods.a"
    assert issue.message.startswith("swap does not know xx-Latn, the language of 'd'; choose from: ")
    named = issue.message.partition("choose from: ")[2].partition(";")[0].split(", ")
    assert {"mention_replace", "label_token_replace", "shuffle_within_segments"} <= set(named)
    assert not {"swap", "delete", "typo", "synonym", "insert_punctuation"} & set(named)


def test_apertium_needs_pivots_where_a_language_has_none():
    models = {"engine": "ctranslate2", "forward": {"url": "a"}, "backward": {"url": "b"}}
    with pytest.raises(ParamsError) as caught:
        params("zh-Hans", {"a": {"type": "back_translate"}})
    (issue,) = caught.value.issues
    assert issue.key == "augment.methods.a.pivots"
    assert "no default pivots for zh-Hans, the language of 'd'" in issue.message
    assert "apertium -l" in issue.message
    assert params("zh-Hans", {"a": {"type": "back_translate", **models}}).augment.methods
    assert params("ca", {"a": {"type": "back_translate", "pivots": ["es"]}}).augment.methods
    assert params("es-MX", {"a": {"type": "back_translate"}}).augment.methods


@pytest.mark.parametrize("language", ["english", "e", "zh_CN", ""])
def test_a_language_is_a_tag(language: str):
    with pytest.raises(ParamsError, match=r"datasets\.d\.language"):
        params(language)


def test_a_guessed_language_stops_the_shard_and_is_shown_by_the_plan(tmp_path: Path):
    examples = tmp_path / "examples"
    examples.mkdir()
    write(pa.Table.from_pylist([row(0, ["a", "b"], ["c", "d"])], schema=SCHEMA), examples / "d.parquet")
    card = {"language": {"tag": "xx", "guessed": True}}
    (examples / "d.json").write_text(json.dumps(card))
    with pytest.raises(AugmentError, match=r"augment\.methods\.a: swap does not know xx, .*as its texts look.*set datasets\.d\.language"):
        augment_shard(params(None), "d", 0, examples, tmp_path)
    (issue,) = language_issues(params(None), tmp_path)
    assert issue.key == "augment.methods.a"
    augment_shard(params("en"), "d", 0, examples, tmp_path)
    assert language_issues(params("en"), tmp_path) == []
    rows = {"rows": {"train": 1, "validation": 0, "test": 0}, "tokens": {"train": 2}}
    (examples / "d.json").write_text(json.dumps(card | rows))
    assert "    Language: xx, as the texts look; if they are not, set datasets.d.language.\n" in plan(params(None), tmp_path)


def test_each_method_knows_chinese_and_all_but_three_know_english():
    english = plugins.language("en")
    methods = {name: plugins.settings_of(plugins.AUGMENTERS, name) for name in plugins.names(plugins.AUGMENTERS)}
    assert all(knows(method, "zh") for method in methods.values())
    assert {name for name, method in methods.items() if not knows(method, "en")} == {"look_alike", "number_form", "script"}
    assert english.features == {"words", "slips", "synonyms"}


@pytest.mark.parametrize(
    ("made", "kept", "dropped", "text"),
    [
        (100, 9, {"unchanged": 80, "duplicate": 11}, "keeps 9 of 100 variants: most were dropped as unchanged (equal to its original"),
        (100, 10, {"unchanged": 90}, None),
        (100, 0, {"engine missing": 100}, None),
        (0, 0, {}, None),
    ],
)
def test_a_method_that_keeps_hardly_any_variant_is_named(made: int, kept: int, dropped: dict[str, int], text: str | None):
    found = few_kept(made, kept, dropped)
    assert found is None if text is None else found is not None and found.startswith(text)
