"""Tables are tokenised once for all runs and processes, and again only where what decides the subwords changed."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.encoders import SubwordTokenizer
from mtl.encoders.store import Rows
from mtl.training.subwords import Subwords
from mtl.training.texts import Tokens, read_split


@pytest.fixture
def tokens(project: Path, make_settings: Any) -> Tokens:
    """Of the train rows of both datasets."""
    params = make_settings()
    return read_split(params, "train", project / "examples", tuple(params.tasks)).tokens


@pytest.fixture
def tokenised(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of words in each call of the tokenizer."""
    calls, table = list[int](), SubwordTokenizer.table

    def counting(self: SubwordTokenizer, words: Any) -> Any:
        calls.extend([len(words)] * bool(words))
        return table(self, words)

    monkeypatch.setattr(SubwordTokenizer, "table", counting)
    return calls


def load(folder: Path, tokens: Tokens, size: int = 300) -> tuple[SubwordTokenizer, Rows]:
    subwords = Subwords(folder)
    tokenizer = SubwordTokenizer.load(subwords.learnt(tokens, size) / "tokenizer.json")
    return tokenizer, subwords.rows(tokenizer, tokens)


def content(rows: Rows) -> list[Any]:
    (field,) = rows.uncut(np.arange(len(rows)))
    return [field.subwords.tolist(), field.word_shape_ids.tolist(), field.offsets.tolist()]


def made(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (folder / "store").iterdir() if path.is_dir()}


def test_a_second_run_finds_vocabulary_and_tables(tokens: Tokens, tmp_path: Path, tokenised: list[int]) -> None:
    _, first = load(tmp_path, tokens)
    assert len(tokenised) == 2  # tables
    before, vocabulary = made(tmp_path), SubwordTokenizer.train(tokens.texts(), 300)
    few = Tokens(tuple(replace_mask(file) for file in tokens.files))
    _, again = load(tmp_path, tokens)
    Subwords(tmp_path).rows(vocabulary, few)  # other rows of the same tables; and a vocabulary saved and loaded is the same
    assert (content(again), made(tmp_path), len(tokenised)) == (content(first), before, 2)
    load(tmp_path, tokens, 280)
    assert len(tokenised) == 4  # another vocabulary
    few_alone = Subwords(tmp_path).learnt(few, 300)
    assert few_alone.name not in before  # learnt from other rows


def replace_mask(file: Any) -> Any:
    mask = file.mask.copy()
    mask[::2] = False
    return file._replace(mask=mask)


def test_what_is_damaged_is_made_again(tokens: Tokens, tmp_path: Path, tokenised: list[int]) -> None:
    _, first = load(tmp_path, tokens)
    expected = content(first)
    (path, *_) = sorted((tmp_path / "store").glob("*/0.subwords.npy"))
    path.write_bytes(path.read_bytes()[:-3])
    assert content(load(tmp_path, tokens)[1]) == expected
    assert len(tokenised) == 3


def test_processes_that_start_together_make_each_table_once(tokens: Tokens, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        results = pool.starmap(_in_process, [(tmp_path, tokens)] * 3)
    assert results[0][0] == results[1][0] == results[2][0]
    assert sum(count for _, count in results) == 3  # the vocabulary and two tables


def _in_process(folder: Path, tokens: Tokens) -> tuple[list[Any], int]:
    """What a process reads, and how much it made."""
    from mtl.pipeline.store import Store

    count, begin = 0, Store.begin

    def counting(self: Store, key: str, resume: bool) -> Path:
        nonlocal count
        count += 1
        return begin(self, key, resume)

    Store.begin = counting  # type: ignore[method-assign]
    try:
        return content(load(folder, tokens)[1]), count
    finally:
        Store.begin = begin  # type: ignore[method-assign]


def test_a_temporary_folder_lives_as_long_as_its_rows(tokens: Tokens) -> None:
    subwords = Subwords()
    folder = subwords._store.folder
    rows = subwords.rows(SubwordTokenizer.train(tokens.texts(), 300), tokens)
    del subwords
    assert content(rows)[0]
    del rows
    assert not folder.exists()
