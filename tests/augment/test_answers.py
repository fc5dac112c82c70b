"""Answers to questions keep their tokens in every variant, also where they overlap."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl import config
from mtl.augment.shards import augment_shard
from mtl.config import Params
from mtl.data import schema
from mtl.names import ShardName

from .rows import tagged_rows, tokens
from .test_fields import METHODS

SCHEMA = schema.schema({"answers": "answers"}, ["question", "context"], {"answers": "context"})
# Others replace ranges by others of their type: `check` refuses them here.
APPLIED = {name: method for name, method in METHODS.items() if name not in ("mention_replace", "label_token_replace")}


def params() -> Params:
    label = {"type": "answers", "column": "answers", "field": "context"}
    dataset = {"source": {"url": "a"}, "reader": {"format": "squad"}, "text": ["question", "context"], "labels": {"answers": label}}
    return config.parse(
        {
            "seed": 3,
            "datasets": {"d": dataset | {"split": {"train": 0.9, "test": 0.1}}},
            "tasks": {"t": {"type": "question_answering", "label": "answers"}},
            "augment": {"shards": 1, "methods": APPLIED},
            "encoder": {"type": "cnn"},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        (question, _), (context, _) = draw(tagged_rows()), draw(tagged_rows())
        fields = {
            f"{field}.{name}": values
            for field, text in (("question", question), ("context", context))
            for name, values in tokens(text).items()
        }
        starts = draw(st.lists(st.integers(0, max(0, len(context) - 1)), max_size=4)) if context else []
        answers = [{"text": "?", "start": start, "end": draw(st.integers(start + 1, len(context)))} for start in starts]
        labels = {"answers": draw(st.none() | st.just(answers)), "parent_id": None, "augmenter": None}
        made.append({"id": f"r{number}", "split": "train"} | fields | labels)
    return made


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows())
def test_every_answer_keeps_its_tokens(tmp_path: Path, content: list[dict[str, Any]]) -> None:
    schema.write(pa.Table.from_pylist(content, schema=SCHEMA), tmp_path / "d.parquet")
    augment_shard(params(), "d", 0, tmp_path, tmp_path)
    originals = {row["id"]: row for row in content}

    def covered(row: dict[str, Any]) -> list[tuple[str, list[str]]] | None:
        answers = row["answers"]
        return None if answers is None else [(a["text"], row["context.tokens"][a["start"] : a["end"]]) for a in answers]

    for variant in schema.read(tmp_path / ShardName("d", 0, 1).file).to_pylist():
        parent = originals[variant["parent_id"]]
        assert covered(variant) == covered(parent)
        assert any(variant[name] != parent[name] for name in ("question.tokens", "context.tokens"))
