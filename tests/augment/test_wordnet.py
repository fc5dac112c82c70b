"""The recipe of the synonym table on a dictionary small enough to read, and the table that is shipped."""

import re
from pathlib import Path

import pytest

from mtl.augment import wordnet
from mtl.augment.languages.en import denies
from mtl.errors import AugmentError

LICENCE = "  1 licence\n"
# film and movie share a frequent sense, flick has it rarely; row has two parts of speech that are as frequent; hour takes "an"
FILES = {
    "index.noun": "film n 1 0 1 1 00000001\nmovie n 1 0 1 1 00000001\nflick n 2 0 2 2 00000002 00000001\nrow n 1 0 1 1 00000003\n"
    "line n 1 0 1 1 00000003\n",
    "data.noun": "00000001 10 n 03 movie 0 film 0 flick 0 000 | a picture\n00000002 10 n 01 flick 0 000 | a blow\n"
    "00000003 10 n 02 row 0 line 0 000 | one beside another\n",
    "index.verb": "row v 1 0 1 1 00000001\nstart v 1 0 1 1 00000002\nbegin v 1 0 1 1 00000002\n"
    "say v 1 0 1 1 00000003\nstate v 1 0 1 1 00000003\ntell v 1 0 1 1 00000003\n",
    "data.verb": "00000001 30 v 01 row 0 000 01 + 01 00 | pull oars\n00000002 30 v 02 start 0 begin 0 000 01 + 01 00 | set out\n"
    "00000003 32 v 03 say 0 state 0 tell 0 000 01 + 01 00 | put in words\n",
    "index.adj": "big a 1 0 1 1 00000001\nlarge a 1 0 1 1 00000001\nred a 1 0 1 1 00000002\nreddish a 1 0 1 1 00000002\n",
    "data.adj": "00000001 00 a 02 big(p) 0 large 0 000 | of great size\n00000002 00 a 02 red 0 reddish 0 000 | like blood\n",
    "index.adv": "completely r 1 0 1 1 00000001\nwhole r 1 0 1 1 00000001\n",
    "data.adv": "00000001 02 r 02 completely 0 whole 0 000 | wholly\n",
    "cntlist.rev": "film%1:06:00:: 1 40\nmovie%1:06:00:: 1 20\nflick%1:04:00:: 1 30\nflick%1:06:00:: 2 1\nrow%1:14:00:: 1 10\n"
    "row%2:38:00:: 1 10\nline%1:14:00:: 1 10\nstart%2:30:00:: 1 10\nbegin%2:30:00:: 1 10\nbig%3:00:00:: 1 5\n"
    "large%3:00:00:: 1 5\ncompletely%4:02:00:: 1 5\nwhole%4:02:00:: 1 5\n"
    "say%2:32:00:: 1 9\nstate%2:32:00:: 1 9\ntell%2:32:00:: 1 9\nred%3:00:00:: 1 5\nreddish%3:00:00:: 1 5\n",
}


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(LICENCE + content if name.startswith(("index", "data")) else content)
    return tmp_path


def test_the_recipe(dictionary: Path, tmp_path: Path):
    wordnet.build(dictionary, None, tmp_path / "table.tsv.gz")
    synonyms = wordnet.load(tmp_path / "table.tsv.gz")
    assert synonyms["film"] == ("movie",)  # not flick, of which it is no frequent sense
    assert synonyms["films"] == ("movies",)
    assert "started" not in synonyms  # begin has two past forms, so the meaning is unclear
    assert synonyms["starting"] == ("beginning",)
    assert synonyms["biggest"] == ("largest",)
    assert "row" not in synonyms  # no dominant part of speech
    assert "completely" not in synonyms
    assert synonyms["line"] == ("row",)
    assert synonyms["says"] == ("states",)  # not tells, which wants to know whom
    assert "red" not in synonyms  # reddish is odd wherever it is put


def test_the_rarer_a_sense_the_nearer_a_synonym_must_be():
    assert wordnet._fits(0.5, 1.0)
    assert wordnet._fits(0.75, 0.4)
    assert not wordnet._fits(0.7, 0.4)
    assert not wordnet._fits(0.49, 1.0)


def test_same_dictionary_same_bytes(dictionary: Path, tmp_path: Path):
    wordnet.build(dictionary, None, tmp_path / "a.gz")
    wordnet.build(dictionary, None, tmp_path / "b.gz")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_missing_dictionary_says_how_to_install_it(tmp_path: Path):
    with pytest.raises(AugmentError, match=r"index\.noun.*apt-get install wordnet-base"):
        wordnet.build(tmp_path, None, tmp_path / "table.gz")


def test_a_damaged_table_is_an_error(tmp_path: Path):
    (tmp_path / "table.gz").write_bytes(b"no gzip")
    with pytest.raises(AugmentError, match="synonym table"):
        wordnet.load(tmp_path / "table.gz")


def test_the_shipped_table():
    table = wordnet.load()
    assert len(table) > 4500
    assert list(table) == sorted(table)
    assert table["movie"] == ("film",)
    for word, synonyms in table.items():
        assert synonyms
        assert word not in synonyms
        assert all(re.fullmatch("[a-z]{3,}", text) for text in (word, *synonyms))
        assert not any(map(denies, (word, *synonyms)))  # a swap never adds or removes a negation
    assert not {"not", "never", "no", "have", "used", "life", "night"} & set(table)
    assert not {"inhabit", "nighttime", "reddish"} & {synonym for synonyms in table.values() for synonym in synonyms}
    assert "told" not in table["said"]
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in wordnet.TABLE.with_name("LICENSE-wordnet.txt").read_text()
