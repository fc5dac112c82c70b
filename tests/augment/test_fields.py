"""Rows of two text fields, with positional labels of every type: each field is augmented by itself, and all labels stay true."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl import config, plugins
from mtl.augment import apertium, shards
from mtl.augment.fields import combine, label_of, view
from mtl.augment.shards import augment_shard, read_counts, read_rejected
from mtl.augment.variants import Variant, table_of
from mtl.config import Params, RelationChanging
from mtl.config.checks import knows
from mtl.data.coded import list_of, plain
from mtl.data.labels import label_type
from mtl.data.schema import Writer, check, fields_of, labels_of, read, schema, write
from mtl.errors import AugmentError
from mtl.names import ShardName

from .rows import tagged_rows, tokens

FIELDS = ("text", "context")
LABELS = {"parts": "spans", "names": "tags", "link": "relation", "topic": "class", "many": "classes", "grade": "number", "target": "text"}
LABEL_FIELDS = {"names": "context", "link": "context"}
SCHEMA = schema(LABELS, FIELDS, LABEL_FIELDS)
ONE_FIELD = schema({name: type_ for name, type_ in LABELS.items() if name not in LABEL_FIELDS})
TEXT, CONTEXT = ("tokens", "space_after", "parts"), ("context.tokens", "context.space_after", "names", "link")
ROW_LABELS = ("topic", "many", "grade", "target", "split")

METHODS: dict[str, dict[str, Any]] = {
    name: {"type": name, "copies": 2, **({} if name == "nlpaug" else {"rate": 0.7})}
    for name in plugins.names(plugins.AUGMENTERS)
    if name != "back_translate" and knows(plugins.settings_of(plugins.AUGMENTERS, name), "en")
}
METHODS["nlpaug"]["augmenter"] = "KeyboardAug"
for name, method in METHODS.items():
    if issubclass(plugins.settings_of(plugins.AUGMENTERS, name), RelationChanging):
        method["pairs"] = True
KEPT = {"mention_replace": "types", "label_token_replace": "tags", "shuffle_within_segments": "tags"}


def settings_of(methods: dict[str, Any], *, two: bool = True) -> Params:
    extra = {"relation": {"head": "head", "tail": "tail"}}
    labels = {
        name: {"type": type_, "column": name, **extra.get(type_, {}), **({"field": LABEL_FIELDS[name]} if name in LABEL_FIELDS else {})}
        for name, type_ in LABELS.items()
        if two or name not in LABEL_FIELDS
    }
    dataset = {"source": {"url": "a"}, "reader": {"format": "jsonl"}, "labels": labels, "split": {"train": 0.9, "test": 0.1}}
    return config.parse(
        {
            "seed": 3,
            "datasets": {"d": dataset | {"text": list(FIELDS) if two else "text"}},
            "tasks": {"t": {"type": "classification", "label": "topic"}},
            "augment": {"shards": 1, "methods": methods},
            "encoder": {"type": "cnn"},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


def relation(first: tuple[int, int], second: tuple[int, int], name: str = "owns") -> dict[str, Any]:
    return {"class": name, "head_start": first[0], "head_end": first[1], "tail_start": second[0], "tail_end": second[1]}


def row(number: int, text: list[str], context: list[str], **labels: Any) -> dict[str, Any]:
    fields = tokens(text) | {f"context.{name}": values for name, values in tokens(context).items()}
    of_row = {"topic": f"c{number % 3}", "many": [f"m{number % 2}"], "grade": number / 2, "target": "A  goal."}
    return (
        {"id": f"r{number}", "split": "test" if number % 5 == 4 else "train"}
        | fields
        | of_row
        | dict.fromkeys(["parts", "names", "link"])
        | labels
    )


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(draw(st.integers(0, 5))):
        text, tags = draw(tagged_rows())
        context, names = draw(tagged_rows())
        link = None
        if len(context) > 1 and draw(st.booleans()):
            middle = draw(st.integers(1, len(context) - 1))
            first, second = (0, draw(st.integers(1, middle))), (draw(st.integers(middle, len(context) - 1)), len(context))
            link = relation(*((first, second) if draw(st.booleans()) else (second, first)))
        spans = label_type("spans").from_tags(tags, None) if draw(st.booleans()) else None
        made.append(row(number, text, context, parts=spans, names=names if draw(st.booleans()) else None, link=link))
    return made


def shard(content: Iterable[dict[str, Any]], methods: dict[str, Any], folder: Path, *, two: bool = True) -> pa.Table:
    table_schema = SCHEMA if two else ONE_FIELD
    content = [{name: values.get(name) for name in table_schema.names} for values in content]
    write(pa.Table.from_pylist(content, schema=table_schema), folder / "d.parquet")
    out = folder / ("two" if two else "one")
    out.mkdir(exist_ok=True)
    augment_shard(settings_of(methods, two=two), "d", 0, folder, out)
    return read(out / ShardName("d", 0, 1).file)


def entities(values: dict[str, Any], label: str) -> list[tuple[str, tuple[str, ...], tuple[int, int]]]:
    """Type, tokens and place of the ranges that a label names, found without the code under test."""
    words = values["context.tokens" if label in LABEL_FIELDS else "tokens"]
    value = values[label]
    if value is None:
        return []
    if label == "link":
        ranges = [(f"{value['class']}.{end}", value[f"{end}_start"], value[f"{end}_end"]) for end in ("head", "tail")]
    elif label == "parts":
        ranges = [(item["type"], item["start"], item["end"]) for item in value]
    else:
        starts = [place for place, tag in enumerate(value) if tag.startswith("B-")]
        ends = [next((end for end in range(start + 1, len(value)) if not value[end].startswith("I-")), len(value)) for start in starts]
        ranges = [(value[start][2:], start, end) for start, end in zip(starts, ends, strict=True)]
    assert all(0 <= start < end <= len(words) for _, start, end in ranges)
    return [(name, tuple(words[start:end]), (start, end)) for name, start, end in ranges]


def aspects(values: dict[str, Any], label: str, method: str) -> Any:
    """What a method keeps of a label."""
    if KEPT.get(method) == "tags":
        return sorted((name, place) for name, _, place in entities(values, label))
    return Counter((name, () if method in KEPT else words) for name, words, _ in entities(values, label))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows())
def test_labels_of_both_fields_stay_true(tmp_path: Path, content: list[dict[str, Any]]):
    table = shard(content, METHODS, tmp_path)
    check(table, "shard")
    assert table.schema.equals(SCHEMA)
    assert (fields_of(table.schema), labels_of(table.schema)) == (list(FIELDS), LABELS)
    originals = {values["id"]: values for values in content}
    for values in table.to_pylist():
        parent, method = originals[values["parent_id"]], values["augmenter"]
        assert {name: values[name] for name in ROW_LABELS} == {name: parent[name] for name in ROW_LABELS}
        assert any(values[column] != parent[column] for column in ("tokens", "context.tokens"))
        for label in ("parts", "names", "link"):
            assert (values[label] is None) == (parent[label] is None)
            assert aspects(values, label, method) == aspects(parent, label, method)
    first = (tmp_path / "two" / ShardName("d", 0, 1).file).read_bytes()
    shard(content, METHODS, tmp_path)
    assert (tmp_path / "two" / ShardName("d", 0, 1).file).read_bytes() == first


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows(), st.sampled_from(FIELDS))
def test_a_field_that_a_method_does_not_name_stays(tmp_path: Path, content: list[dict[str, Any]], field: str):
    methods = {name: method | {"fields": [field]} for name, method in METHODS.items()}
    same, other = (CONTEXT, TEXT) if field == "text" else (TEXT, CONTEXT)
    originals = {values["id"]: values for values in content}
    for values in shard(content, methods, tmp_path).to_pylist():
        assert {name: values[name] for name in same} == {name: originals[values["parent_id"]][name] for name in same}
        assert values[other[0]] != originals[values["parent_id"]][other[0]]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows())
def test_the_field_text_changes_as_it_does_without_another_field(tmp_path: Path, content: list[dict[str, Any]]):
    one = {values["id"]: values for values in shard(content, METHODS, tmp_path, two=False).to_pylist()}
    two = {values["id"]: values for values in shard(content, METHODS, tmp_path).to_pylist()}
    assert {name: [two[name][column] for column in TEXT] for name in one} == {
        name: [values[column] for column in TEXT] for name, values in one.items()
    }
    originals = {values["id"]: values for values in content}
    repeated = {tuple(values["tokens"]) for values in one.values()} | {tuple(values["tokens"]) for values in content}
    for name in two.keys() - one.keys():  # then the text alone was unchanged, or equal to another one
        assert two[name]["tokens"] == originals[two[name]["parent_id"]]["tokens"] or tuple(two[name]["tokens"]) in repeated


WORDS = ["the", "new", "movie", "is", "really", "amazing", "and", "the", "big", "garden", "is", "beautiful"]


def test_fields_draw_from_streams_of_their_own(tmp_path: Path):
    content = [row(number, [*WORDS, f"n{number}"], [*WORDS, f"n{number}"]) for number in range(4)]
    variants = shard(content, {"typo": {"type": "typo", "rate": 0.5}}, tmp_path).to_pylist()
    assert len(variants) == 4
    assert all(values["tokens"] != values["context.tokens"] for values in variants)


def test_a_variant_is_dropped_only_if_no_field_changed(tmp_path: Path):
    content = [row(0, ["5"], WORDS), row(1, WORDS, ["5"]), row(2, ["5"], ["6"]), row(3, ["^_^"], ["movie"])]
    table = shard(content, {"typo": {"type": "typo"}}, tmp_path)
    assert table["parent_id"].to_pylist() == ["r0", "r1", "r3"]
    assert read_counts(tmp_path / "two" / ShardName("d", 0, 1).file)["methods"]["typo"]["dropped"] == {"unchanged": 1}
    (sample,) = read_rejected(tmp_path / "two" / ShardName("d", 0, 1).file)["typo"]["unchanged"]
    assert sample == {"parent": "r2", "original": "5\n6", "variant": "5\n6"}


def test_a_row_repeats_another_only_if_all_its_fields_do(tmp_path: Path):
    swap = {"swap": {"type": "swap", "rate": 0.1, "pairs": True}}
    content = [row(0, ["good", "film"], ["x", "1"]), row(1, ["film", "good"], ["x", "1"]), row(2, ["film", "good"], ["x", "2"])]
    table = shard(content, swap, tmp_path)
    assert [(values["parent_id"], values["tokens"]) for values in table.to_pylist()] == [("r2", ["good", "film"])]
    assert read_counts(tmp_path / "two" / ShardName("d", 0, 1).file)["methods"]["swap"]["dropped"] == {"duplicate": 2}


def test_another_number_of_shards_and_row_groups_gives_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "BLOCK", 8)
    monkeypatch.setattr("mtl.augment.examples.KEPT", 0)
    words = [[*WORDS[number % 5 :], f"n{number}"] for number in range(60)]
    labels = [{"parts": [{"start": 1, "end": 3, "type": f"t{number % 3}"}], "link": relation((0, 1), (2, 4))} for number in range(60)]
    content = [row(number, words[number], words[-number], **labels[number]) for number in range(60)]
    methods = {"synonym": {"type": "synonym"}, "mention": {"type": "mention_replace", "copies": 2, "pairs": True}}
    table = shard(content, methods, tmp_path)
    assert len(table) > 90
    with Writer(tmp_path / "d.parquet", SCHEMA) as file:
        for start in range(0, 60, 7):
            file.write(pa.Table.from_pylist(content[start : start + 7], schema=SCHEMA))
    params = settings_of(methods)
    params = params.model_copy(update={"augment": params.augment.model_copy(update={"shards": 3})})
    for index in range(3):
        augment_shard(params, "d", index, tmp_path, tmp_path)
    assert [values for index in range(3) for values in read(tmp_path / ShardName("d", index, 3).file).to_pylist()] == table.to_pylist()


@pytest.mark.skipif(apertium.available("en", ["eo"]) is not None, reason="needs Apertium")
def test_back_translation_of_two_fields(tmp_path: Path):
    context = ["The", "garden", "of", "Ann", "Lee", "is", "very", "big", "and", "beautiful", "."]
    content = [
        row(0, WORDS, context, link=relation((3, 5), (1, 2)), parts=[{"start": 2, "end": 3, "type": "thing"}]),
        row(1, ["I", "think", "that", "we", "should", "have", "gone", "to", "the", "old", "house", "yesterday"], ["5"]),
    ]
    table = shard(content, {"bt": {"type": "back_translate", "pivots": ["eo"]}}, tmp_path)
    assert len(table) == 2
    for values in table.to_pylist():
        for label in ("parts", "link"):
            assert aspects(values, label, "bt") == aspects(content[int(values["parent_id"][1:])], label, "bt")
    assert table["context.tokens"][1].as_py() == ["5"]


def test_a_single_field_may_have_another_name(tmp_path: Path):
    table_schema = schema({"topic": "class", "parts": "spans"}, ["review"])
    words = {f"review.{name}": values for name, values in tokens(WORDS).items()}
    parts = [{"start": 2, "end": 3, "type": "thing"}]
    content = [{"id": "r0", "split": "train", **words, "topic": "a", "parts": parts}]
    write(pa.Table.from_pylist(content, schema=table_schema), tmp_path / "d.parquet")
    params = settings_of({"delete": {"type": "delete", "rate": 0.5, "pairs": True}}, two=False)  # the dataset has a target text
    dataset = params.datasets["d"].model_copy(update={"text": {"review": "text"}})
    augment_shard(params.model_copy(update={"datasets": {"d": dataset}}), "d", 0, tmp_path, tmp_path)
    (values,) = read(tmp_path / ShardName("d", 0, 1).file).to_pylist()
    (span,) = values["parts"]
    assert values["review.tokens"][span["start"] : span["end"]] == ["movie"]
    assert len(values["review.tokens"]) < len(WORDS)


def test_a_view_spells_every_positional_label_as_tags():
    content = [
        row(0, ["a", "b"], ["c", "d", "e"], parts=[{"start": 0, "end": 2, "type": "x"}], link=relation((2, 3), (0, 2))),
        row(1, ["a"], ["b"], names=["B-y"]),
    ]
    table = pa.Table.from_pylist(content, schema=SCHEMA)
    assert plain(view(table, "text")).to_pylist() == [
        {"id": "r0", "tokens": ["a", "b"], "space_after": [True, False], "parts": ["B-x", "I-x"]},
        {"id": "r1", "tokens": ["a"], "space_after": [False], "parts": None},
    ]
    context = view(table, "context").drop_columns(["id", "space_after"])
    assert plain(context).to_pylist() == [
        {"tokens": ["c", "d", "e"], "names": None, "link": ["B-tail", "I-tail", "B-head"]},
        {"tokens": ["b"], "names": ["B-y"], "link": None},
    ]


@pytest.mark.parametrize("span", [{"start": 0, "end": 3, "type": "x"}, {"start": 0, "end": 1, "type": ""}], ids=["beyond", "no type"])
def test_a_label_that_is_not_one_of_the_text_is_refused(span: dict[str, Any]):
    with pytest.raises(AugmentError, match="r0: parts cannot be spelled as tags of 2 tokens"):
        view(pa.Table.from_pylist([row(0, ["a", "b"], ["c"], parts=[span])], schema=SCHEMA), "text")


@pytest.mark.parametrize("tags", [["B-head", "O"], ["B-head", "B-tail", "B-head"], ["I-head", "B-tail"], None], ids=str)
def test_tags_that_no_label_spells_are_refused(tags: list[str] | None):
    column = pa.chunked_array([pa.array([["B-head", "B-tail"], tags], list_of(pa.string()))])
    parents = pa.chunked_array([pa.array([relation((0, 1), (1, 2))] * 2, label_type("relation").arrow())])
    if tags is None:
        assert label_of(column, parents, "relation", ["a", "b"]).to_pylist()[1] is None
        return
    with pytest.raises(AugmentError, match=r"^b: no label of type Relation has these tags"):
        label_of(column, parents, "relation", ["a", "b"])


def test_the_reason_of_a_row_is_that_of_a_field_that_could_not_be_augmented():
    table = pa.Table.from_pylist([row(number, ["a"], ["b"]) for number in range(4)], schema=SCHEMA)
    views = {field: view(table, field) for field in FIELDS}

    def made(*reasons: str | None) -> pa.Table:
        variants = (
            Variant(place, 0, ["z"], [False]) if reason is None else Variant.dropped(place, 0, reason, "tried")
            for place, reason in enumerate(reasons)
        )
        return table_of(variants, [])

    text = made("unchanged", "unchanged", None, "length").append_column("parts", pa.nulls(4, list_of(pa.string())))
    context = made("unchanged", "negation", "placeholder", "placeholder")
    for name in ("names", "link"):
        context = context.append_column(name, pa.nulls(4, list_of(pa.string())))
    combined = combine({"text": text, "context": context}, views)
    assert combined["reason"].to_pylist() == ["unchanged", "negation", None, "length"]
    assert plain_lists(combined["tokens"]) == [["a"], ["a"], ["z"], ["tried"]]
    assert plain_lists(combined["context.tokens"]) == [["b"], ["tried"], ["b"], ["tried"]]


def plain_lists(column: pa.ChunkedArray) -> list[list[str]]:
    values: list[list[str]] = column.cast(list_of(pa.string())).to_pylist()
    return values
