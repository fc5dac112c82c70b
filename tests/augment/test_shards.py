"""Shards: complete, checked, counted, and the same however they are made."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl import config
from mtl.augment import shards, synonym
from mtl.augment.alignment import entities
from mtl.augment.shards import augment_shard, read_counts, read_rejected
from mtl.augment.synonym import SynonymAugmenter
from mtl.augment.variants import REASONS, Variant, table_of
from mtl.config import Params
from mtl.data.schema import Writer, check, read, schema, write
from mtl.errors import AugmentError, DataError
from mtl.names import ShardName

from .rows import tagged_rows, tokens

SYNONYM = {"synonym": {"type": "synonym", "copies": 2, "rate": 0.5}}
KEYBOARD = {"typo": {"type": "nlpaug", "augmenter": "KeyboardAug"}}


def settings_of(methods: dict[str, Any], shards: int = 1, seed: int = 1) -> Params:
    source = {"url": "a", "sha256": "0" * 64}
    labels = {
        "tags": {"type": "tags", "column": "tags"},
        "topic": {"type": "class", "column": "c"},
        "grade": {"type": "number", "column": "n"},
    }
    return config.parse(
        {
            "seed": seed,
            "datasets": {"d": {"source": source, "reader": {"format": "parquet"}, "labels": labels, "split": {"train": 0.9, "test": 0.1}}},
            "tasks": {"t": {"type": "token_classification", "label": "tags"}},
            "augment": {"shards": shards, "methods": methods},
            "encoder": {"type": "cnn"},
            **{section: {} for section in ("train", "evaluate", "report")},
            "experiment": {"joint": ["plain"], "single_task": []},
        }
    )


def rows(content: Iterable[tuple[list[str], list[str] | None]]) -> pa.Table:
    made = [
        {"id": f"r{i}", "split": "test" if i % 9 == 8 else "train", **tokens(words), "tags": tags, "topic": f"c{i % 3}", "grade": i / 2}
        for i, (words, tags) in enumerate(content)
    ]
    return pa.Table.from_pylist(made, schema=schema({"tags": "tags", "topic": "class", "grade": "number"}))


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of 60 rows, in blocks of 8."""
    monkeypatch.setattr(shards, "BLOCK", 8)
    words = ["movie", "Bob", "really", "amazing.", "think", "@bob", "is", "big", "garbage", "lol"]
    content = []
    for i in range(60):
        chosen = random.Random(i).choices(words, k=1 + i % 7)
        content.append((chosen, None if i % 5 == 4 else ["B-person" if word == "Bob" else "O" for word in chosen]))
    write(rows(content), tmp_path / "examples" / "d.parquet")
    return tmp_path / "examples"


def made(settings: Params, examples: Path, folder: Path, indexes: Iterable[int] | None = None) -> list[Path]:
    folder.mkdir(exist_ok=True)
    numbers = range(settings.augment.shards) if indexes is None else indexes
    for index in numbers:
        augment_shard(settings, "d", index, examples, folder)
    return [folder / ShardName("d", index, settings.augment.shards).file for index in numbers]


def test_variants_carry_labels_and_name_their_parents(examples: Path, tmp_path: Path):
    (path,) = made(settings_of(SYNONYM), examples, tmp_path)
    assert path.name == "d-00000-of-00001.parquet"
    originals = {row["id"]: row for row in read(examples / "d.parquet").to_pylist()}
    table = read(path)
    check(table, "shard")
    assert table.schema.equals(read(examples / "d.parquet").schema)
    variants = table.to_pylist()
    assert variants
    texts = {tuple(row["tokens"]) for row in originals.values()}
    for row in variants:
        parent = originals[row["parent_id"]]
        assert parent["split"] == row["split"] == "train"
        assert row["id"] in (f"{parent['id']}~synonym~0", f"{parent['id']}~synonym~1")
        assert (row["topic"], row["grade"], row["tags"]) == (parent["topic"], parent["grade"], parent["tags"])
        assert row["augmenter"] == "synonym"
        assert tuple(row["tokens"]) not in texts
    assert any(row["tags"] is None for row in variants)


def test_counts_add_up_and_dropped_rows_are_shown(examples: Path, tmp_path: Path):
    (path,) = made(settings_of(SYNONYM), examples, tmp_path)
    counts = read_counts(path)
    method = counts["methods"]["synonym"]
    assert counts["rows"] == 54
    assert method["made"] == 108 == method["kept"] + sum(method["dropped"].values())
    assert method["kept"] == len(read(path))
    assert {"unchanged", "duplicate"} <= set(method["dropped"]) <= set(REASONS)
    samples = read_rejected(path)["synonym"]
    assert all(len(samples[reason]) == min(10, count) for reason, count in method["dropped"].items())
    assert set(samples["unchanged"][0]) == {"parent", "original", "variant"}


def test_one_shard_alone_is_the_same_to_the_last_byte(examples: Path, tmp_path: Path):
    settings = settings_of(SYNONYM, shards=3)
    all_of_them = made(settings, examples, tmp_path / "all")
    for index in (2, 0):
        (single,) = made(settings, examples, tmp_path / f"alone{index}", [index])
        assert single.read_bytes() == all_of_them[index].read_bytes()


def test_another_number_of_shards_gives_the_same_rows(examples: Path, tmp_path: Path):
    versions = [
        pa.concat_tables(read(path) for path in made(settings_of(SYNONYM | KEYBOARD, count), examples, tmp_path / str(count))).to_pylist()
        for count in (1, 3, 20)
    ]
    assert versions[0] == versions[1] == versions[2]
    assert {row["augmenter"] for row in versions[0]} == {"synonym", "typo"}


def test_another_seed_gives_other_rows(examples: Path, tmp_path: Path):
    paths = [made(settings_of(SYNONYM, seed=seed), examples, tmp_path / str(seed))[0] for seed in (1, 2)]
    assert read(paths[0]).to_pylist() != read(paths[1]).to_pylist()


def test_without_methods_a_shard_is_empty_but_valid(examples: Path, tmp_path: Path):
    for methods in ({}, {"s": {"type": "synonym", "datasets": []}}):
        (path,) = made(settings_of(methods), examples, tmp_path)
        assert len(read(path)) == 0
        assert read(path).schema.equals(read(examples / "d.parquet").schema)
        assert read_counts(path) == {"rows": 54, "methods": {}}


def test_a_missing_engine_is_counted_and_the_others_go_on(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (path,) = made(settings_of({"bt": {"type": "back_translate", "copies": 2}} | SYNONYM), examples, tmp_path)
    counts = read_counts(path)["methods"]
    assert counts["bt"]["dropped"] == {"engine missing": 108}
    assert "apt-get install" in counts["bt"]["note"]
    assert counts["synonym"]["kept"] == len(read(path)) > 0


BROKEN = {
    "too few tags": ({"tags": ["O"]}, "r0~s~0.*tags has another length than tokens"),
    "illegal tags": ({"tags": ["I-person", "O"]}, "r0~s~0.*not legal IOB2: I-person O"),
    "a lost entity": ({"tags": ["O", "O"]}, "r0~s~0: the entities of tags are not those of its parent"),
    "another entity": ({"tokens": ["Bobby", "new"]}, "r0~s~0: the entities of tags are not those of its parent"),
    "lost tags": ({"tags": None}, "tags was gained or lost"),
    "too few flags": ({"space_after": [True]}, "r0~s~0.*space_after has another length"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_invariant_is_an_error(change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Broken(SynonymAugmenter):
        def augment(self, rows: pa.Table) -> pa.Table:
            right: dict[str, Any] = {"tokens": ["Bob", "new"], "space_after": [True, False], "tags": ["B-person", "O"]} | change
            return table_of([Variant(0, 0, right["tokens"], right["space_after"], {"tags": right["tags"]})], ["tags"])

    monkeypatch.setattr(shards, "implementation_of", lambda spec: Broken)
    write(rows([(["Bob", "ran"], ["B-person", "O"])]), tmp_path / "d.parquet")
    with pytest.raises(AugmentError, match=message):
        made(settings_of({"s": {"type": "synonym"}}), tmp_path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_the_proof_does_not_trust_the_augmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(synonym, "_outside", lambda rows, row, position: np.ones(len(row), dtype=bool))
    write(rows([(["a", "movie"], ["O", "O"]), (["movie", "ran"], ["B-person", "O"])]), tmp_path / "d.parquet")
    with pytest.raises(AugmentError, match="r1~s~0: the entities of tags are not those of its parent"):
        made(settings_of({"s": {"type": "synonym"}}), tmp_path, tmp_path / "out")


def test_a_variant_that_is_not_accounted_for_is_an_error(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Losing(SynonymAugmenter):
        def augment(self, rows: pa.Table) -> pa.Table:
            return super().augment(rows).slice(1)

    monkeypatch.setattr(shards, "implementation_of", lambda spec: Losing)
    with pytest.raises(AugmentError, match="synonym: Losing does not return one variant for each row and copy"):
        made(settings_of(SYNONYM), examples, tmp_path)


def test_wrong_calls_are_errors(examples: Path, tmp_path: Path):
    with pytest.raises(AugmentError, match="no shard 1; choose from: 0 to 0"):
        augment_shard(settings_of(SYNONYM), "d", 1, examples, tmp_path)
    with pytest.raises(DataError, match=r"e\.parquet"):
        augment_shard(settings_of(SYNONYM), "e", 0, examples, tmp_path)
    with pytest.raises(DataError, match="not a shard"):
        read_counts(examples / "d.parquet")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(tagged_rows(), max_size=5))
def test_hostile_tables(tmp_path: Path, content: list[tuple[list[str], list[str]]]):
    write(rows(content), tmp_path / "d.parquet")
    (path,) = made(settings_of(SYNONYM), tmp_path, tmp_path / "out")
    for row in read(path).to_pylist():
        words, tags = content[int(row["parent_id"][1:])]
        assert entities(row["tokens"], row["tags"]) == entities(words, tags)


class Learning(SynonymAugmenter):
    """Remembers what it received."""

    fitted: list[str] = []
    received: list[list[str]] = []

    def fit(self, train: Iterable[pa.Table]) -> None:
        self.fitted += [row for part in train for row in part["id"].to_pylist()]

    def augment(self, rows: pa.Table) -> pa.Table:
        self.received.append(rows["id"].to_pylist())
        return super().augment(rows)


@pytest.mark.parametrize("together", [True, False])
def test_augmenters_learn_from_all_train_rows_and_see_whole_blocks(
    together: bool, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Fresh(Learning):
        fitted, received = [], []

    Fresh.together = together
    monkeypatch.setattr(shards, "implementation_of", lambda spec: Fresh)
    made(settings_of(SYNONYM, shards=3), examples, tmp_path, [1])
    train = [row["id"] for row in read(examples / "d.parquet").to_pylist() if row["split"] == "train"]
    assert Fresh.fitted == train
    # the second of three shards holds blocks 2 and 3 of 7
    assert Fresh.received == ([train[16:24], train[24:32]] if together else [train[16:32]])


def test_rows_do_not_depend_on_how_many_are_worked_on_at_once(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    versions = []
    for most in (8, 20, 4096):
        monkeypatch.setattr("mtl.augment.examples.ROW_GROUP", most)
        versions.append(read(made(settings_of(SYNONYM | KEYBOARD), examples, tmp_path / str(most))[0]).to_pylist())
    assert versions[0] == versions[1] == versions[2]


@pytest.mark.parametrize("copies", [1, 2])
def test_a_file_that_is_read_again_gives_the_same_as_one_that_is_kept(
    copies: int, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also where the file has many row groups, each with dictionaries of its own, and the shard too."""
    methods = {"synonym": SYNONYM["synonym"] | {"copies": copies}} | KEYBOARD
    versions = [read(made(settings_of(methods), examples, tmp_path / "whole")[0]).to_pylist()]
    monkeypatch.setattr(shards, "ROW_GROUP", 20)
    table = read(examples / "d.parquet")
    with Writer(examples / "d.parquet", table.schema) as file:
        for start in range(0, len(table), 7):
            file.write(table.slice(start, 7))
    for kept in (10**6, 0):
        monkeypatch.setattr("mtl.augment.examples.KEPT", kept)
        versions.append(read(made(settings_of(methods), examples, tmp_path / str(kept))[0]).to_pylist())
    assert versions[0] == versions[1] == versions[2]
    assert (tmp_path / "0" / "d-00000-of-00001.parquet").read_bytes() == (tmp_path / "1000000" / "d-00000-of-00001.parquet").read_bytes()


def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of tables; what Parquet notes of each row group, hundreds of bytes a column, it does not tell."""
    held: list[int] = []

    class Watched(SynonymAugmenter):
        def augment(self, rows: pa.Table) -> pa.Table:
            variants = super().augment(rows)
            held.append(pa.total_allocated_bytes())
            return variants

    monkeypatch.setattr(shards, "implementation_of", lambda spec: Watched)
    monkeypatch.setattr("mtl.augment.examples.KEPT", 0)
    for module in ("mtl.augment.examples", "mtl.augment.shards", "mtl.data.schema"):
        monkeypatch.setattr(f"{module}.ROW_GROUP", 1024)
    peaks = []
    for count in (5_000, 20_000):  # the vocabularies that are kept are then as many
        write(rows((["a", "movie", f"n{i}"], None) for i in range(count)), tmp_path / "d.parquet")
        held.clear()
        before = pa.total_allocated_bytes()
        made(settings_of(SYNONYM), tmp_path, tmp_path / "out")
        peaks.append(max(held) - before)
    assert len(held) > 15
    assert peaks[1] < 1.1 * peaks[0], peaks
