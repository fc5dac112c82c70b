"""No text that shares assign is in train in one dataset and held out in another."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtl.config import SPLITS, Dataset
from mtl.data import assignment
from mtl.data.examples import Example
from mtl.data.scan import scan
from mtl.data.splits import normalised

WORDS = st.sampled_from(["one", "two", "three"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), max_size=20)
"""Of few words, so that many texts are equal or near duplicates."""
SHARES = [(0.5, 0.25, 0.25), (0.7, 0.0, 0.3), (0.3, 0.7, 0.0), (1.0, 0.0, 0.0)]


def dataset(shares: tuple[float, float, float] | None, group_by: str = "text", *official: str) -> Dataset:
    source = {name: {"url": name} for name in ("train", *official)}
    split = None if shares is None else dict(zip(SPLITS, shares, strict=True)) | {"group_by": group_by}
    content = {"source": source, "reader": {"format": "jsonl"}, "labels": {"c": {"type": "class", "column": "c"}}, "split": split}
    return Dataset.model_validate(content)


def row(text: str, split: Any = "", group: str | None = None) -> Example:
    tokens = text.split()
    return Example("", split, {"text": tokens}, {"text": [True] * len(tokens)}, {"c": "x"}, group)


def assign_rows(rows: Mapping[str, Sequence[Example]], seed: int) -> dict[str, list[Example]]:
    """The rows with their splits."""
    with TemporaryDirectory() as folder:
        scans = {name: scan(DATASETS[name], part, seed, Path(folder) / name, keep=False) for name, part in rows.items()}
        splits = assignment.assign_rows(DATASETS, scans, seed)
    return {name: [example._replace(split=SPLITS[i]) for example, i in zip(rows[name], own, strict=True)] for name, own in splits.items()}


DATASETS = {
    **{f"text{i}": dataset(shares) for i, shares in enumerate(SHARES)},
    **{f"near{i}": dataset(shares, "near") for i, shares in enumerate(SHARES)},
    "near_too": dataset(SHARES[0], "near"),
    "shared": dataset((0.8, 0.2, 0.0)),
    "official": dataset(None, "text", "test"),
    "divided": dataset((0.8, 0.2, 0.0), "text", "test"),
    "films": dataset((0.5, 0.0, 0.5), "film"),
}


@st.composite
def projects(draw: Any) -> dict[str, list[Example]]:
    project = {}
    for name in draw(st.lists(st.sampled_from(list(DATASETS)), min_size=1, max_size=4, unique=True)):
        texts = draw(TEXTS)
        official = [draw(st.sampled_from(["train", "test"])) if name in ("official", "divided") else "" for _ in texts]
        splits = ["" if name == "divided" and split == "train" else split for split in official]
        groups = [draw(st.sampled_from("ab")) if name == "films" else None for _ in texts]
        project[name] = [row(*parts) for parts in zip(texts, splits, groups, strict=True)]
    return project


def splits_of(rows: Mapping[str, Sequence[Example]], seed: int = 1) -> dict[str, list[str]]:
    return {name: [example.split for example in part] for name, part in assign_rows(rows, seed).items()}


@given(projects(), st.integers(0, 5))
def test_what_one_dataset_holds_out_no_movable_row_trains_on(project: dict[str, list[Example]], seed: int) -> None:
    result = assign_rows(project, seed)
    held_out = {normalised(example.text) for part in result.values() for example in part if example.split != "train"}
    for name, examples in result.items():
        if DATASETS[name].movable:
            assert not held_out & {normalised(example.text) for example in examples if example.split == "train"}
        for before, after in zip(project[name], examples, strict=True):
            assert after.split in DATASETS[name].splits
            assert after == before._replace(split=after.split)
            assert before.split in ("", after.split)


@given(projects(), st.integers(0, 5), st.randoms())
def test_the_order_of_datasets_and_rows_does_not_matter(project: dict[str, list[Example]], seed: int, rng: random.Random) -> None:
    expected = {name: sorted(part, key=str) for name, part in assign_rows(project, seed).items()}
    names = rng.sample(list(project), len(project))
    other = {name: rng.sample(project[name], len(project[name])) for name in names}
    assert {name: sorted(part, key=str) for name, part in assign_rows(other, seed).items()} == expected


@given(projects(), st.integers(0, 5))
def test_each_job_finds_the_same_splits_from_what_it_reads(project: dict[str, list[Example]], seed: int) -> None:
    """A job reads the datasets of ``Params.compared_with``; they decide as all do."""
    expected = splits_of(project, seed)
    for name in project:
        own, others = DATASETS[name], {other: DATASETS[other] for other in project if other != name}
        reads_all = own.movable and not all(other.assigns_like(own) for other in others.values())
        assert splits_of(project if reads_all else {name: project[name]}, seed)[name] == expected[name]


def test_shares_that_differ_move_the_text_to_the_held_out_side() -> None:
    """Of many texts, some are in the train share of one dataset and the test share of another."""
    texts = [f"{a}{b} x" for a in "abcdefgh" for b in "abcdefgh"]
    rows = {name: [row(text) for text in texts] for name in ("text0", "text1", "text2")}
    alone = {name: splits_of({name: part})[name] for name, part in rows.items()}
    together = splits_of(rows)
    sides = [{alone[name][i] == "train" for name in rows} for i in range(len(texts))]
    assert 5 < sum(len(side) == 2 for side in sides) < 60
    for i, side in enumerate(sides):
        assert {together[name][i] == "train" for name in rows} == {side == {True}}
    assert set(together["text1"]) == {"train", "test"}  # no share of validation
    assert set(together["text2"]) == {"train", "validation"}


def test_near_duplicates_and_values_of_a_column_stay_together() -> None:
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "slept", "till", "noon"]
    texts = [" ".join([*words, extra]) for extra in "abcdefghijkl"]
    assert len(set(splits_of({"text0": [row(text) for text in texts]})["text0"])) > 1
    assert len(set(splits_of({"near0": [row(text) for text in texts]})["near0"])) == 1
    films = [row(text, group=f"film {i % 40}") for i, text in enumerate(texts * 20)]
    by_film = {(example.group, split) for example, split in zip(films, splits_of({"films": films})["films"], strict=True)}
    assert len(by_film) == 40
    assert 8 < Counter(split for _, split in by_film)["test"] < 32


def test_a_dataset_that_holds_out_nothing_joins_no_groups() -> None:
    """Its own job assigns no row, so a job that reads both must find the same as one that reads the other only."""
    chains = [[" ".join(f"{name}{letter}" for letter in "abcdefghijkl"[i : i + 10]) for i in range(3)] for name in "abcdefghijkl"]
    ends = [row(text) for chain in chains for text in (chain[0], chain[2])]
    bridges = [row(text) for chain in chains for text in chain]
    assert splits_of({"near0": bridges, "near3": ends})["near0"][2::3] != splits_of({"near0": ends})["near0"][1::2]
    assert splits_of({"near0": ends, "near3": bridges})["near0"] == splits_of({"near0": ends})["near0"]


def test_only_datasets_that_assign_by_the_same_texts_are_alike() -> None:
    alike = {(first, second) for first in DATASETS for second in DATASETS if DATASETS[first].assigns_like(DATASETS[second])}
    same = {(first, second) for first, second in alike if "".join(DATASETS[first].splits) != "train"}
    texts = [f"text{i}" for i in range(3)]
    assert same == {(name, name) for name in [*texts, "shared"]} | {("shared", "divided")}


def test_values_of_a_column_that_differ_in_digits_are_divided() -> None:
    rows = [row("show me flights to boston", group=str(i)) for i in range(100)]
    assert 30 < splits_of({"films": rows})["films"].count("test") < 70


def test_groups_of_near_duplicates_are_named_a_few_at_a_time(monkeypatch: Any) -> None:
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "slept", "till", "noon"]
    texts = [" ".join([f"{topic}{word}" for word in words] + [end]) for topic in "abcdefghij" for end in "xyz"]
    expected = splits_of({"near0": [row(text) for text in texts], "near_too": [row(text) for text in reversed(texts)]})
    assert len(set(expected["near0"])) > 1
    assert expected["near0"] == [split for split in expected["near0"][::3] for _ in range(3)] == expected["near_too"][::-1]
    monkeypatch.setattr(assignment, "NAMED", 3)
    assert splits_of({"near0": [row(text) for text in texts], "near_too": [row(text) for text in reversed(texts)]}) == expected


def test_leaked_train_rows_are_found_among_all_datasets(tmp_path: Path) -> None:
    texts = {"official": ["a b c", "A b, c 1", "d e f", "a b c", "e f g"], "films": ["x e f g", "E f g"]}
    scans = {name: scan(DATASETS[name], map(row, part), 1, tmp_path / name, keep=False) for name, part in texts.items()}
    codes = {"official": np.array([0, 0, 0, 2, 0], np.int8), "films": np.array([0, 1], np.int8)}
    train, found = assignment.leaked("official", scans, codes)
    assert train.tolist() == [0, 1, 2, 4]
    assert (found.exact.tolist(), found.near.tolist()) == ([True, False, False, False], [False, True, False, True])
