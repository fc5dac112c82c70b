"""The plan says what would be done."""

from pathlib import Path

import mtl.params
from mtl.plan import plan

ROOT = Path(__file__).parents[1]


def test_the_plan_says_to_which_data_sets_each_method_is_applied() -> None:
    content = mtl.params.read_yaml(ROOT / "params.yaml")
    content["augment"]["methods"] = {
        "everywhere": {"type": "typo", "copies": 2},
        "tagged": {"type": "mention_replace"},
        "here": {"type": "delete", "datasets": ["tweets_sentiment"]},
        "nowhere": {"type": "swap", "datasets": []},
    }
    lines = plan(mtl.params.parse(content)).splitlines()
    assert "  everywhere: typo, 2 variant(s) a row of tweets_sentiment, tweets_entities" in lines
    assert "  tagged: mention_replace, 1 variant(s) a row of tweets_entities" in lines
    assert "  here: delete, 1 variant(s) a row of tweets_sentiment" in lines
    assert "  nowhere: swap, 1 variant(s) a row of no data set" in lines
