"""The synonym table: built once from WordNet's dictionary files, shipped as ``synonyms.tsv.gz``.

A word gets a synonym only where three things hold: its form has one dominant lemma and part of speech, the synonym shares a sense
that is frequent for both, and the synonym can be inflected the same way. An optional encoder removes pairs with
embeddings that are far apart, the more of them the less often the word has that sense. Each line of the table is
``word<TAB>synonym,synonym,...``, sorted. A swap may need another article (a or an):
``starts_with_vowel_sound`` says so to the caller.

WordNet: Miller (1995), "WordNet: a lexical database for English". Its licence lies beside the table.
"""

import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mtl.augment.similarity import similarities
from mtl.errors import AugmentError
from mtl.files import write_bytes

TABLE = Path(__file__).with_name("synonyms.tsv.gz")
PARTS = {"noun": "NOUN", "verb": "VERB", "adj": "ADJ", "adv": "ADV"}
_PART_OF_NUMBER = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}

DOMINANT = 0.6  # least share of a form's count that its lemma and part of speech must have
FREQUENT = 0.2  # least share of a lemma's count that a sense must have, for the word and for its synonym
COSINE = 0.5  # least similarity of the two words' embeddings
FITTING = 0.3  # least product of that similarity and the share of the word's count that has the sense
_WORD = re.compile(r"[a-z]{3,}")
_TAGS = {"NOUN": ("NN", "NNS"), "VERB": ("VB", "VBP", "VBZ", "VBG", "VBD", "VBN"), "ADJ": ("JJ", "JJR", "JJS"), "ADV": ("RB", "RBR", "RBS")}
# Function words: WordNet knows them only in rare other senses, or swapping them distorts the sentence.
_GRAMMAR_WORDS = """
be am is are was were been being have has had having do does did done doing will would shall should can could may might must not no nor
never none nothing and but for yet who whom whose which what when where why how that this these those there here all any both each few
more most other some such only own same than too very just now then once more most much many one two three four five six seven eight
nine ten hundred thousand million billion get gets got getting gotten let lets make makes made making go goes went gone going come comes
came coming take takes took taken taking give gives gave given giving put puts well good used god away back forth lot lots kind sort
someone somebody anyone anybody everyone everybody something anything everything individual about against between into through during
before after above below from down off over under again further out life night living building
"""
_GRAMMAR = frozenset(_GRAMMAR_WORDS.split())
# What common words would become and seldom can: terms of science and of books, and words that need another sentence around them.
_ODD_WORDS = """
argumentation bacterium blueish bluish brownish cigaret clustering cognition discourse dwell dweller economical fearfulness
filtrate forwards grayish greyish grouping guiltiness inhabit inquire instrumentalist intoxicant joyfulness joyousness
judicature lingual listing littler mammalian maximal messiness minimal narration nighttime nutrient occurrent pee psyche reddish refer
rely romanticist seacoast seeable signaling tallness technologist transmittal tropic tubing underside virtuousness vocalisation
vocalization wealthiness wee wing wittiness yellowish
"""
_ODD = frozenset(_ODD_WORDS.split())
# Pairs that WordNet calls synonyms and that seldom stand in the same sentence.
_UNLIKE_PAIRS = """
animal>beast animal>creature baby>babe chief>master child>minor comic>comical director>manager enough>plenty especially>specially
finally>eventually government>regime gravity>gravitation honor>reward honour>reward improve>better injury>hurt keep>hold metallic>metal
mood>temper nation>commonwealth opinion>sentiment panic>terror rather>instead republic>democracy rock>stone say>tell social>societal
sport>athletics sports>athletics start>commence stone>rock sum>amount technology>engineering tell>say tell>state travel>move
young>immature
"""
_UNLIKE = frozenset(_UNLIKE_PAIRS.split())


class Lemma(NamedTuple):
    """A dictionary word and its part of speech (``noun``, ``verb``, ``adj`` or ``adv``)."""

    word: str
    part: str


class Dictionary(NamedTuple):
    """What the table needs of WordNet: sense counts of each lemma, and the lemmas of each synset."""

    senses: dict[Lemma, dict[str, int]]
    """Lemma to ``{synset: count}``; synsets are named ``part:offset``. Senses that were never counted have 0."""
    members: dict[str, tuple[str, ...]]
    """Synset to its words as WordNet spells them."""


def read(dict_folder: Path) -> Dictionary:
    """Read WordNet's ``index.*``, ``data.*`` and ``cntlist.rev``.

    Raises:
        AugmentError: a file is missing.
    """
    needed = [dict_folder / "cntlist.rev", *(dict_folder / f"{file}.{part}" for file in ("index", "data") for part in PARTS)]
    missing = [path.name for path in needed if not path.is_file()]
    if missing:
        raise AugmentError(f"{dict_folder}: no WordNet dictionary, {', '.join(missing)} missing; install it: apt-get install wordnet-base")
    counts = _sense_counts(dict_folder / "cntlist.rev")
    senses: dict[Lemma, dict[str, int]] = {}
    members: dict[str, tuple[str, ...]] = {}
    for part in PARTS:
        members |= _synsets(dict_folder / f"data.{part}", part)
        for lemma, offsets in _index(dict_folder / f"index.{part}", part):
            senses[lemma] = {f"{part}:{offset}": counts.get((lemma, number), 0) for number, offset in enumerate(offsets, 1)}
    return Dictionary(senses, members)


def _lines(path: Path) -> Iterable[list[str]]:
    """The fields of each entry; the licence at the top is indented."""
    with path.open(encoding="ascii") as file:
        yield from (line.split() for line in file if not line.startswith(" "))


def _sense_counts(path: Path) -> dict[tuple[Lemma, int], int]:
    """How often each numbered sense was seen in WordNet's tagged texts."""
    counts: dict[tuple[Lemma, int], int] = {}
    for key, number, count in _lines(path):
        word, _, sense = key.partition("%")
        counts[Lemma(word, _PART_OF_NUMBER[sense[0]]), int(number)] = int(count)
    return counts


def _index(path: Path, part: str) -> Iterable[tuple[Lemma, list[str]]]:
    """Each lemma with its synsets' offsets, in the order of its sense numbers."""
    for fields in _lines(path):
        yield Lemma(fields[0], part), fields[len(fields) - int(fields[2]) :]


def _synsets(path: Path, part: str) -> dict[str, tuple[str, ...]]:
    """The words of each synset; the markers of an adjective's position, such as ``(p)``, are cut off."""
    synsets = {}
    for fields in _lines(path):
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        synsets[f"{part}:{fields[0]}"] = tuple(word.partition("(")[0] for word in words)
    return synsets


def pairs(dictionary: Dictionary) -> dict[str, dict[str, float]]:
    """Every word form with its candidate synonyms, sorted, before the encoder's filter, and with each the share of the word's uses
    that have its sense."""
    totals = {lemma: sum(senses.values()) for lemma, senses in dictionary.senses.items()}
    forms = _forms(totals)
    candidates: dict[str, dict[str, float]] = {}
    for form, readings in sorted(forms.items()):
        lemma = max(readings, key=lambda reading: (totals[reading], reading))
        if form in _GRAMMAR or totals[lemma] < DOMINANT * sum(totals[reading] for reading in readings):
            continue
        shares: dict[str, float] = {}
        for synonym, share in _synonyms(lemma, dictionary, totals):
            for word in _inflected(form, lemma, synonym):
                if word != form and word not in _ODD and _WORD.fullmatch(word):
                    shares[word] = max(share, shares.get(word, 0.0))
        if shares:
            candidates[form] = dict(sorted(shares.items()))
    return candidates


def _forms(totals: Mapping[Lemma, int]) -> dict[str, set[Lemma]]:
    """Each inflected form to the counted lemmas that it may belong to."""
    from lemminflect import getAllInflections

    forms: dict[str, set[Lemma]] = defaultdict(set)
    for lemma, total in totals.items():
        if total and _WORD.fullmatch(lemma.word):
            forms[lemma.word].add(lemma)
            for spellings in getAllInflections(lemma.word, upos=PARTS[lemma.part]).values():
                for form in spellings:
                    forms[form].add(lemma)
    return {form: lemmas for form, lemmas in forms.items() if _WORD.fullmatch(form)}


def _synonyms(lemma: Lemma, dictionary: Dictionary, totals: Mapping[Lemma, int]) -> Iterator[tuple[Lemma, float]]:
    """Single-word lemmas of the same part of speech that share a sense which is frequent for both, and the sense's share for this one."""
    for synset, count in dictionary.senses[lemma].items():
        if not count or count < FREQUENT * totals[lemma]:
            continue
        for word in dictionary.members[synset]:
            other = Lemma(word, lemma.part)
            if not _WORD.fullmatch(word) or word == lemma.word:
                continue
            if word in _GRAMMAR or word in _ODD or f"{lemma.word}>{word}" in _UNLIKE:
                continue
            # an adverb in -ly and one without rarely stand in the same place: completely, whole
            alike = lemma.part != "adv" or word.endswith("ly") == lemma.word.endswith("ly")
            if alike and _frequent(other, synset, dictionary, totals):
                yield other, count / totals[lemma]


def _frequent(lemma: Lemma, synset: str, dictionary: Dictionary, totals: Mapping[Lemma, int]) -> bool:
    """Whether a lemma often has this sense; of a lemma that was never counted, whether it is the first."""
    senses = dictionary.senses[lemma]
    if not totals[lemma]:
        return next(iter(senses)) == synset
    return senses[synset] >= max(1, FREQUENT * totals[lemma])


def _inflected(form: str, lemma: Lemma, synonym: Lemma) -> list[str]:
    """The synonym's form for all inflections that ``form`` may be; none where they differ (``cut`` is past and present)."""
    from lemminflect import getInflection

    spellings_of = {tag: getInflection(lemma.word, tag, inflect_oov=False) for tag in _TAGS[PARTS[lemma.part]]}
    tags = [tag for tag, spellings in spellings_of.items() if spellings[:1] == (form,)] or [
        tag for tag, spellings in spellings_of.items() if form in spellings
    ]
    if not tags:
        return [synonym.word] if form == lemma.word else []
    spellings = {getInflection(synonym.word, tag, inflect_oov=False)[:1] for tag in tags}
    return [spelling[0] for spelling in spellings if spelling] if len(spellings) == 1 else []


def _cosines(candidates: Mapping[str, Iterable[str]], encoder: Path) -> dict[tuple[str, str], float]:
    """Cosine of the mean-pooled embeddings of each pair's words."""
    pairs = [(form, word) for form, others in candidates.items() for word in others]
    cosines = similarities(encoder, [form for form, _ in pairs], [word for _, word in pairs])
    return dict(zip(pairs, cosines.tolist(), strict=True))


def _fits(cosine: float, share: float) -> bool:
    """Whether a pair is near enough; rounded, since an embedding's last digits differ between machines."""
    return round(cosine, 3) >= COSINE and round(cosine * share, 3) >= FITTING


def build(dict_folder: Path, encoder: Path | None, out: Path) -> None:
    """Build the table from a folder of WordNet dictionary files; same input, same bytes.

    Args:
        dict_folder: such as ``/usr/share/wordnet`` of Debian's ``wordnet-base``.
        encoder: folder of a sentence encoder in Hugging Face form; ``None`` skips its filter.
        out: the file to write.

    Raises:
        AugmentError: the dictionary is missing or incomplete.
    """
    candidates = pairs(read(dict_folder))
    if encoder is not None:
        cosine = _cosines(candidates, encoder)
        candidates = {
            form: {word: share for word, share in others.items() if _fits(cosine[form, word], share)} for form, others in candidates.items()
        }
    lines = "".join(f"{form}\t{','.join(others)}\n" for form, others in candidates.items() if others)
    write_bytes(out, gzip.compress(lines.encode(), compresslevel=9, mtime=0))


def load(table: Path = TABLE) -> dict[str, tuple[str, ...]]:
    """Each word of a table with its synonyms.

    Raises:
        AugmentError: the table cannot be read.
    """
    try:
        lines = gzip.decompress(table.read_bytes()).decode().splitlines()
        return {word: tuple(others.split(",")) for word, others in (line.split("\t") for line in lines)}
    except (OSError, EOFError, ValueError) as error:
        raise AugmentError(f"{table}: cannot be read as a synonym table: {error}") from None
