"""German: nouns keep their capital, endings agree, and what denies stays."""

from pathlib import Path

from augment.rows import tagged
from augment.test_rows import SPEC
from mtl.augment.languages import base
from mtl.augment.randomness import Stream
from mtl.plugins import implementation_of

THESAURUS = "UTF-8\nhübsch|1\n-|schön|hübsche|Schönheit|fesch\ntaumeln|1\n-|torkeln|wanken (ugs.)|nie\n"


def test_synonyms_have_the_ending_and_the_case_of_the_word(tmp_path: Path):
    language = base.of("de-AT")
    assert language is not None
    (tmp_path / "t.dat").write_text(THESAURUS, encoding="utf-8")
    assert language.synonyms(tmp_path / "t.dat") == {"hübsch": ["fesch"], "taumeln": ["torkeln"]}
    assert language.fits("taumeln", "torkeln")
    assert not language.fits("hübsch", "Schönheit")
    assert not language.fits("gehen", "Wehen")


def test_what_denies_and_entities_stay():
    words, tags = ["wir", "sahen", "nie", "Bad", "Ischl", "und", "keine", "besseren", "Berge"], ["O", "O", "O", "B-l", "I-l", *["O"] * 4]
    for method in ("swap", "delete", "typo"):
        settings = SPEC.validate_python({"type": method, "rate": 1.0, "copies": 10})
        language = base.of("de")
        assert language is not None
        augmenter = implementation_of(settings).for_language(language)(settings, Stream(1, method))
        augmenter.language = language
        kept = [row for row in augmenter.augment(tagged((words, tags))).to_pylist() if row["reason"] is None]
        assert kept
        assert all({"nie", "Bad", "Ischl", "keine"} <= set(row["tokens"]) for row in kept)


def test_its_keyboard_has_z_beside_t():
    language = base.of("de")
    assert language is not None
    slips = {slip for number in (0.0, 0.2, 0.4, 0.6, 0.8) for slip in language.slips("Butter", 0.3, number)}
    assert "Buzter" in slips
    assert "Buyter" not in slips
