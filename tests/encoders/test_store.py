"""Stored rows: the same as rows encoded in memory, whatever their tokens, and read back in any order."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl.encoders import Encoded, SubwordTokenizer
from mtl.encoders.store import Layout, Markers, Rows, Stored, StoredTable, store_rows
from mtl.encoders.tokenizer import Marker, Row
from mtl.encoders.windows import around, encode_windows, with_two_fields

ROWS = [["one", "row"], [], ["another", "unfathomable", "ROW", "3"], ["last"], ["x"] * 40]
RIGHTS = [["a", "row"], [], ["b"], ["x"] * 30, ["y"]]
FIELDS = ("subwords", "offsets", "word_shape_ids", "lost", "word_ids", "boundary")
STRINGS = pa.list_(pa.string())
MARKERS = ["[E1]", "[/E1]"]


@pytest.fixture(scope="module")
def tokenizer() -> SubwordTokenizer:
    return SubwordTokenizer.train(ROWS, 300)


def table(
    tokenizer: SubwordTokenizer, folder: Path, rows: Sequence[Row], rights: Sequence[Row] | None = None, part: int = 2
) -> StoredTable:
    """Rows stored in parts."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [pa.array(side, STRINGS) for side in (rows, rights) if side is not None]
    parts = [[column.slice(start, part) for column in columns] for start in range(0, len(rows), part)]
    store_rows(tokenizer, ((own[0], own[1] if len(own) > 1 else None) for own in parts), folder)
    return StoredTable(folder)


def whole(*tables: StoredTable) -> Rows:
    return Rows([(table, np.ones(len(table.fields[0].offsets) - 1, dtype=np.bool_)) for table in tables])


def same(one: Encoded, other: Encoded) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("part", [1, 2, 5])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [4, 0, 4, 1], [2], [1], []])
def test_rows_are_read_back_as_they_were_encoded(tokenizer: SubwordTokenizer, tmp_path: Path, part: int, rows: list[int]) -> None:
    stored = Stored.of(whole(table(tokenizer, tmp_path, ROWS, part=part)), Layout(tokenizer, 16))
    found = stored.take(np.array(rows, dtype=np.int64))
    same(found, tokenizer.encode([ROWS[row] for row in rows], 16))
    np.testing.assert_array_equal(found.lengths, stored.lengths[rows])


def test_what_is_known_of_all_rows(tokenizer: SubwordTokenizer, tmp_path: Path) -> None:
    rows, encoded = whole(table(tokenizer, tmp_path, ROWS)), tokenizer.encode(ROWS, 16)
    stored = Stored.of(rows, Layout(tokenizer, 16))
    assert stored.used.tolist() == sorted(set(encoded.subwords.tolist()))
    assert stored.lost.tolist() == encoded.lost.tolist()
    assert stored.lost[4] > 0
    assert rows.counts() == [[len(row) for row in ROWS]] * 2
    again = Stored.of(whole(table(tokenizer, tmp_path / "again", ROWS, part=3)), Layout(tokenizer, 16))
    assert stored.digest() == again.digest() != Stored.of(rows, Layout(tokenizer, 8)).digest()


def test_no_rows(tokenizer: SubwordTokenizer, tmp_path: Path) -> None:
    for rows in (whole(), whole(table(tokenizer, tmp_path, []))):
        stored = Stored.of(rows, Layout(tokenizer, 16))
        assert len(stored.lengths) == len(stored.used) == 0
        assert len(stored.take(np.array([], dtype=np.int64)).subwords) == 0


def test_only_the_selected_rows_of_several_tables_in_the_order_that_is_asked_for(tokenizer: SubwordTokenizer, tmp_path: Path) -> None:
    single, pairs = table(tokenizer, tmp_path / "single", ROWS), table(tokenizer, tmp_path / "pairs", ROWS, RIGHTS)
    mask = np.array([True, False, True, True, True])
    stored = Stored.of(Rows([(pairs, mask), (single, ~mask), (single, mask)]), Layout(tokenizer, 16))
    chosen = [0, 2, 3, 4]
    lefts = [*(ROWS[i] for i in chosen), ROWS[1], *(ROWS[i] for i in chosen)]
    rights = [*(RIGHTS[i] for i in chosen), *[None] * 5]
    expected = tokenizer.encode(lefts, 16, rights)
    for rows in (list(range(9)), [8, 0, 4, 2, 2, 5]):
        same(stored.take(np.array(rows)), expected.take(np.array(rows)))
    assert stored.rows.counts()[1] == [len(right if right is not None else left) for left, right in zip(lefts, rights, strict=True)]


def test_many_words_are_forgotten_in_time(tokenizer: SubwordTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl.encoders.store.WORDS", 2)
    same(Stored.of(whole(table(tokenizer, tmp_path, ROWS, part=1)), Layout(tokenizer, 16)).take(np.arange(5)), tokenizer.encode(ROWS, 16))


tokens = st.text(st.characters(), max_size=6) | st.sampled_from([*MARKERS, "[CLS]", "\u0130", "\ud800", "e\u0301", "\u200d", "a" * 99])
sides = st.lists(tokens.map(lambda text: text.encode("utf-8", "replace").decode()), max_size=12)


@given(rows=st.lists(st.tuples(sides, st.none() | sides, st.data()), max_size=6), max_length=st.integers(8, 20), field=st.integers(0, 1))
@settings(max_examples=60, deadline=None)
@example(rows=[], max_length=8, field=0)
def test_stored_is_fresh(
    tokenizer: SubwordTokenizer, rows: list[tuple[list[str], list[str] | None, st.DataObject]], max_length: int, field: int
) -> None:
    """Markers, passages and windows are applied to stored rows as to new ones, and other markers than were known when they were stored."""
    with TemporaryDirectory() as folder:
        check(tokenizer, Path(folder), rows, max_length, field)


def check(
    tokenizer: SubwordTokenizer, folder: Path, rows: list[tuple[list[str], list[str] | None, st.DataObject]], max_length: int, field: int
) -> None:
    before = SubwordTokenizer(tokenizer.copy())
    single, double = [row for row in rows if row[1] is None], [row for row in rows if row[1] is not None]
    stored = whole(
        table(before, folder / "1", [left for left, _, _ in single]),
        table(before, folder / "2", [left for left, _, _ in double], [right or [] for _, right, _ in double]),
    )
    after = SubwordTokenizer(tokenizer.copy())
    indices = np.array([*after.add_markers(MARKERS).values()])
    fields, places, passages = list[list[Row | None]](), list[list[int]](), list[tuple[int, int]]()
    for left, right, data in [*single, *double]:
        sides: list[list[str | Marker] | None] = [[*left], None if right is None else [*right]]
        own, marked = sides[-1 if right is not None else 0], sides[field]
        first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(own or []))] * 2)))
        passages.append((first, last) if first < last and data.draw(st.booleans()) else (-1, -1))
        at = (
            sorted(data.draw(st.tuples(*[st.integers(0, len(marked or []))] * 2)))
            if marked is not None and data.draw(st.booleans())
            else []
        )
        for place, name in reversed(list(zip(at, MARKERS, strict=False))):
            assert marked is not None
            marked.insert(place, Marker(name))
        places.append(at or [-1, -1])
        fields.append([sides[0], sides[1]])
    lefts, rights = [row[0] or [] for row in fields], [row[1] for row in fields]
    layout = Layout(after, max_length, [Markers(field, np.array(places, dtype=np.int32).reshape(-1, 2), indices)])
    own_rows = np.arange(len(fields))
    same(layout.encode(stored, own_rows), after.encode(lefts, max_length, rights))
    same(layout.windows(stored, 3), encode_windows(after, lefts, max_length, rights, 3))
    kept = np.array(passages, dtype=np.int32).reshape(-1, 2)
    words, left_field, right_field = after.coded(lefts, rights)
    uncut, pairs = after.uncut(words, left_field, right_field), with_two_fields(left_field, right_field)
    found = Layout(after, max_length, layout.markers, kept).encode(stored, own_rows)
    same(found, around(after, uncut, pairs, max_length, kept))
    assert sum(stored.counts()[0]) == sum(len(left) for left, _, _ in rows)
