"""The plan says what will run."""

import json
from pathlib import Path

import mtl.config
from mtl.names import ACROSS_DATASETS
from mtl.plan import plan

ROOT = Path(__file__).parents[1]


def test_the_plan_says_to_which_datasets_each_method_is_applied() -> None:
    content = mtl.config.read_yaml(ROOT / "examples/tweets/params.yaml")
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    content["augment"]["methods"] = {
        "everywhere": {"type": "typo", "copies": 2},
        "tagged": {"type": "mention_replace"},
        "here": {"type": "delete", "datasets": ["tweets_sentiment"]},
        "nowhere": {"type": "swap", "datasets": []},
    }
    lines = plan(mtl.config.parse(content)).splitlines()
    assert "  everywhere: typo, 2 variants per row of tweets_sentiment, tweets_entities" in lines
    assert "  tagged: mention_replace, 1 variant per row of tweets_entities" in lines
    assert "  here: delete, 1 variant per row of tweets_sentiment" in lines
    assert "  nowhere: swap, 1 variant per row of no dataset" in lines
    assert "  2 shards per dataset, 4 jobs" in lines
    content["augment"]["methods"] = {"tagged": {"type": "mention_replace"}}
    assert "  2 shards per dataset, 2 jobs" in plan(mtl.config.parse(content)).splitlines()
    content |= {"augment": {"methods": {}}, "experiment": {}}
    assert "Augmentation\n  none\nRuns: " in plan(mtl.config.parse(content))


def test_the_plan_says_why_a_method_is_not_applied_to_pairs() -> None:
    content = mtl.config.read_yaml(ROOT / "examples/tweets/params.yaml")
    content["tasks"] = {name: task | {"methods": None} for name, task in content["tasks"].items()}
    content["datasets"]["tweets_sentiment"] |= {"text": {"premise": "row", "hypothesis": "text"}}
    content["augment"]["methods"] = {"swap": {"type": "swap"}, "bold": {"type": "swap", "pairs": True}}
    lines = plan(mtl.config.parse(content)).splitlines()
    place = lines.index("  swap: swap, 1 variant per row of tweets_entities")
    assert lines[place + 1].startswith("    not tweets_sentiment: label sentiment is about both texts, and this method may make it false")
    assert "  bold: swap, 1 variant per row of tweets_sentiment, tweets_entities" in lines
    assert sum("is about both texts" in line for line in lines) == 1


def test_the_plan_says_that_every_size_makes_as_many_steps(tmp_path: Path) -> None:
    content = mtl.config.read_yaml(ROOT / "examples/tweets/params.yaml")
    (tmp_path / "examples").mkdir()
    for name in content["datasets"]:
        card = {"rows": dict.fromkeys(("train", "validation", "test"), 9), "tokens": {"train": 9}}
        (tmp_path / "examples" / f"{name}.json").write_text(json.dumps(card))
    assert "for every size" not in plan(mtl.config.parse(content), tmp_path)
    assert "Warnings" not in plan(mtl.config.parse(content), tmp_path)
    (tmp_path / "examples" / ACROSS_DATASETS).write_text(json.dumps({"leakage": [], "warnings": ["mood: only 1"]}))
    assert plan(mtl.config.parse(content), tmp_path).endswith("Warnings\n  mood: only 1")
    content["experiment"]["sizes"] = [50, "all"]
    text = plan(mtl.config.parse(content), tmp_path)
    assert "Runs: 10" in text
    assert "single_entities-augmented-1-50: entities" in text
    assert "per step, the same for every size" in text
