"""Spanish, as an example of a language with spaces: the words that stay, slips of its keyboard, synonyms of a thesaurus."""

from pathlib import Path
from typing import Any

import pytest

from augment.rows import tagged, texts
from augment.test_rows import SPEC
from mtl.augment.languages import base
from mtl.augment.randomness import Stream
from mtl.errors import AugmentError
from mtl.plugins import implementation_of

THESAURUS = """ISO8859-1
película|1
-|cinta|filme|pieza cinematográfica
bonito|1
-|lindo|hermosa|atún
niño|1
-|chiquillo|criatura
casa|2
-|vivienda
-|linaje
no|1
-|nones
"""


def variants(method: str, rows: Any, folder: Path, **spec: Any) -> list[dict[str, Any]]:
    tables = {"tables": {"es": {"url": "t.dat"}}} if method == "synonym" else {}
    settings = SPEC.validate_python({"type": method, **tables, **spec})
    language = base.of("es-MX")
    assert language is not None
    augmenter = implementation_of(settings).for_language(language)(settings, Stream(1, method))
    augmenter.language, augmenter.models = language, folder
    (folder / "tables.es").mkdir(exist_ok=True)
    (folder / "tables.es/t.dat").write_text(THESAURUS, encoding="iso8859-1")
    made: list[dict[str, Any]] = augmenter.augment(rows).to_pylist()
    return made


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("la película era larga", "la cinta era larga"),
        ("¡Bonito día!", "¡Lindo día!"),
        ("el (niño), no", "el (chiquillo), no"),
        ("una casa", None),
        ("el Niño", None),
    ],
)
def test_synonyms_are_of_one_meaning_and_of_the_same_ending(text: str, variant: str | None, tmp_path: Path):
    (row,) = variants("synonym", texts(text), tmp_path, rate=1.0)
    assert (row["reason"] is None) == (variant is not None)
    assert variant is None or " ".join(row["tokens"]) == variant


def test_what_denies_and_entities_stay(tmp_path: Path):
    words, tags = ["nunca", "vimos", "Ciudad", "Real", "ni", "nada", "mejor"], ["O", "O", "B-loc", "I-loc", "O", "O", "O"]
    for method in ("swap", "delete", "typo"):
        for row in variants(method, tagged((words, tags)), tmp_path, rate=1.0, copies=10):
            if row["reason"] is None:
                assert {"nunca", "Ciudad", "Real", "ni", "nada"} <= set(row["tokens"])


def test_slips_are_those_of_its_keyboard():
    language = base.of("es")
    assert language is not None
    slips = {slip for number in (0.0, 0.3, 0.6, 0.9) for slip in language.slips("años", 0.1, number)}
    assert {"alos", "apos", "aos", "aoñs", "añños"} <= slips


def test_an_article_before_another_mention_stays(tmp_path: Path):
    language = base.of("es")
    assert language is not None
    assert language.after_article("a", "Madrid", "Andorra") == "a"


@pytest.mark.parametrize("content", ["UTF-8\nbonito|2\n-|lindo\n", "x-none\na|1\n-|b\n", "UTF-8\nbonito\n"])
def test_a_damaged_thesaurus_is_named(content: str, tmp_path: Path):
    (tmp_path / "t.dat").write_text(content)
    language = base.of("es")
    assert language is not None
    with pytest.raises(AugmentError, match=r"t\.dat: cannot be read as a thesaurus of MyThes"):
        language.synonyms(tmp_path / "t.dat")
