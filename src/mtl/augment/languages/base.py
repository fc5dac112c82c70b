"""What augmentation must know of a language: its words, those that must stay, what may stand in their place, what a translator may see.

The defaults are those of a language that puts spaces between words. Each language is a module of its own and declares what it has in
``features``; a method names the one that it needs in its settings (``mtl.config.Method.needs``).
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from mtl import plugins
from mtl.config import Feature
from mtl.data.tokens import tokenize
from mtl.errors import AugmentError

if TYPE_CHECKING:
    from mtl.augment.rows import Row

PUNCTUATION = re.compile(r"""[.,;:!?"'()¿¡«»]|\.\.\.+|--|!+|\?+|[!?]+""")
Synonyms = Mapping[str, Sequence[str]]
"""Each word with those that may stand in its place."""


class Word(NamedTuple):
    """A word of a row, which punctuation may adjoin within its token."""

    start: int
    end: int
    """Position behind its last token."""
    before: str
    text: str
    behind: str

    def tokens(self, text: str) -> list[str]:
        """The tokens of another word in its place: one where it is one, else one for each character."""
        return [self.before + text + self.behind] if self.end == self.start + 1 else list(text)


class Form(NamedTuple):
    """A number of a row in another form."""

    start: int
    end: int
    """Position behind its last token."""
    tokens: list[str]
    """What may stand in the place of these."""


class Language:
    """A language that puts spaces between words; subclasses say what else holds."""

    features: ClassVar[frozenset[Feature]] = frozenset()
    """What it has of the things that methods need."""
    spaced: ClassVar[bool] = True
    """Whether spaces stand between words."""
    denying: ClassVar[frozenset[str]] = frozenset()
    """Words, in lower case, that deny something: they stay where and as they are."""
    grammar: ClassVar[frozenset[str]] = frozenset()
    """Function words, in lower case."""
    letters: ClassVar[str] = r"[^\W\d_]"
    """A letter, as a class of ``re``."""
    keys: ClassVar[tuple[str, ...]] = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    """Letters of the keyboard, line by line from above; each line is set off to the right."""
    shortest: ClassVar[int] = 4
    """Letters of a word that is misspelt, at least."""
    marks: ClassVar[str] = ".;?:!,"
    """Punctuation that may be inserted."""
    table: ClassVar[str] = "a source"
    """Where a table of synonyms may come from, in the words of a message; empty if the package has one."""
    look_alike_table: ClassVar[str] = "a source"
    """Where a table of characters that look alike may come from, in the words of a message."""
    pivots: ClassVar[tuple[str, ...]] = ()
    """Languages by which ``back_translate`` with Apertium goes if its settings name none."""

    def __init__(self, tag: str = "und") -> None:
        self.tag = tag

    def denies(self, word: str) -> bool:
        """Whether a word denies something."""
        return word.lower() in self.denying

    def is_grammar(self, token: str) -> bool:
        """Whether a token is a function word or denies something."""
        return token.lower() in self.grammar or self.denies(token)

    def is_plain(self, token: str) -> bool:
        """Whether a token is a word that denies nothing: no web address, handle, hashtag or number, no punctuation at its ends."""
        return _plain(self.letters).fullmatch(token) is not None and not self.denies(token)

    def is_clitic(self, token: str) -> bool:
        """Whether a token is part of the word before it."""
        return False

    def words(self, row: "Row") -> list[tuple[int, int]]:
        """Start and end of the words that may be moved or left out: outside entities, denying nothing, without a clitic behind them."""
        tokens, following = row.tokens, [*row.tokens[1:], ""]
        return [(place, place + 1) for place in row.outside() if self.is_plain(tokens[place]) and not self.is_clitic(following[place])]

    def may_move(self, row: "Row", start: int, end: int) -> bool:
        """Whether one of the ``words`` may change places with another one."""
        return True

    def may_go(self, row: "Row", start: int, end: int) -> bool:
        """Whether one of the ``words`` can be left out, so that what stands around it stays apart."""
        return row.space_after[end - 1] or end == len(row.tokens)

    def bare(self, row: "Row") -> list[Word]:
        """The words that may have another one in their place, without the punctuation around them."""
        words = ((place, _bare(self.letters).fullmatch(row.tokens[place])) for place in row.outside())
        return [Word(place, place + 1, *match.groups()) for place, match in words if match and not self.denies(match[2])]

    def slips(self, word: str, place: float, number: float) -> list[str]:
        """What may come of a slip of the keyboard in a word; empty if it is too short.

        Args:
            word: one of ``bare``.
            place: from 0 up to 1, for the letter; the first one stays.
            number: from 0 up to 1, for the key that is struck instead.
        """
        if len(word) < self.shortest:
            return []
        at = 1 + int(place * (len(word) - 1))
        letter, before, behind = word[at], word[:at], word[at + 1 :]
        near = _near(self.keys).get(letter.lower(), [letter])
        struck = near[int(number * len(near))]
        slips = (
            before + (struck.upper() if letter.isupper() else struck) + behind,
            before + behind,
            before + letter + letter + behind,
            before + behind[:1] + letter + behind[1:],
        )
        return [slip for slip in slips if slip != word and not self.denies(slip)]

    def fits(self, word: str, synonym: str) -> bool:
        """Whether a synonym of a thesaurus can stand where the word does, as far as its form tells."""
        return True

    def synonyms(self, table: Path | None) -> Synonyms:
        """The synonyms of its words.

        Args:
            table: a file that the settings name: a gzip of lines ``word<TAB>synonym,synonym``, or a thesaurus of MyThes (``.dat``).

        Raises:
            AugmentError: the file cannot be read.
        """
        from mtl.augment.wordnet import load

        if table is None:
            return {}
        return self._thesaurus(table) if table.suffix == ".dat" else load(table)

    def _thesaurus(self, path: Path) -> Synonyms:
        """The words of a MyThes file with one meaning, and those of their synonyms that are single words and fit."""
        content = path.read_bytes()
        encoding = content.partition(b"\n")[0].decode("ascii", "replace").strip()
        synonyms: dict[str, list[str]] = {}
        try:
            lines = iter(content.decode(encoding).splitlines()[1:])
            for word, count in (line.rsplit("|", 1) for line in lines):
                meanings = [next(lines).split("|")[1:] for _ in range(int(count))]
                if len(meanings) == 1 and self._may_change(word):
                    others = (other for other in dict.fromkeys(meanings[0]) if other != word)
                    synonyms[word] = [other for other in others if self._may_change(other) and self.fits(word, other)]
        except (LookupError, ValueError, StopIteration) as error:
            raise AugmentError(f"{path}: cannot be read as a thesaurus of MyThes: {error!r}") from None
        return {word: others for word, others in synonyms.items() if others}

    def _may_change(self, word: str) -> bool:
        return self.is_plain(word) and not self.is_grammar(word)

    def look_alikes(self, folder: Path) -> Mapping[str, Sequence[str]]:
        """Each character with those that look like it, by the files that the settings name.

        Raises:
            AugmentError: they cannot be read.
        """
        return {}

    def number_forms(self, row: "Row") -> list[Form]:
        """The numbers outside entities that may be written in another form."""
        return []

    def other_script(self, text: str) -> str:
        """A text in the other script, with as many characters."""
        return text

    def words_of(self, text: str) -> list[str]:
        """The words of a text, in lower case."""
        return [word.lower() for word in _words(self.letters).findall(text.replace("’", "'"))]

    def negations(self, text: str) -> int:
        """How many words of a text deny something."""
        return sum(map(self.denies, self.words_of(text)))

    def known(self, word: str) -> bool | None:
        """Whether the lexicon has a word in lower case; None if there is no lexicon, so that only a translator can tell."""
        return None

    def kept(self, row: "Row") -> list[tuple[int, int]]:
        """Start and end of what no translator may see: all but words that may be known, numbers and punctuation."""
        return [(place, place + 1) for place, token in enumerate(row.tokens) if not _is_translatable(self, token)]

    def tokenize(self, text: str, row: "Row") -> tuple[list[str], list[bool]]:
        """The tokens of a translation, and whether a space follows each.

        Args:
            text: a part of the translation.
            row: that it stands for; tokens are as there.
        """
        tokens, space_after, _ = tokenize(text)
        return tokens, space_after

    def after_article(self, article: str, old: str, new: str) -> str:
        """The article before a word for which another one is put."""
        return article


@cache
def of(tag: str | None) -> Language | None:
    """The language of a tag; English where none is known, and None where no module has it."""
    found = plugins.language(tag or "en")
    return None if found is None else found(tag or "en")


@lru_cache(maxsize=100_000)
def _is_translatable(language: Language, token: str) -> bool:
    """Whether a translator may see a token. The empty token is left out."""
    if not token or PUNCTUATION.fullmatch(token) or language.is_clitic(token):
        return True
    match = _translatable(language.letters).fullmatch(token)
    if match is None:
        return False
    return match["word"].isdigit() or all(language.known(word) is not False for word in language.words_of(match["word"]))


@cache
def _translatable(letters: str) -> re.Pattern[str]:
    word = rf"{letters}+(?:['’-]{letters}+)*['’]?|\d+"
    return re.compile(rf"""["'(¿¡«]?(?P<word>{word})(?:[.,;:!?]+|\.\.\.)?["')»]?[.,;:!?]*""")


@cache
def _words(letters: str) -> re.Pattern[str]:
    return re.compile(rf"{letters}+(?:'(?={letters}))?")


@cache
def _plain(letters: str) -> re.Pattern[str]:
    return re.compile(rf"{letters}+(?:['’-]{letters}+)*")


@cache
def _bare(letters: str) -> re.Pattern[str]:
    return re.compile(rf"""([("'“‘«¿¡*\[]*)({letters}{{2,}})([.,;:!?…"'”’»)*\]]*)""")


@cache
def _near(lines: tuple[str, ...]) -> dict[str, list[str]]:
    """The keys that touch each key."""
    keys = {(line, column): key for line, content in enumerate(lines) for column, key in enumerate(content)}
    steps = ((0, -1), (0, 1), (-1, 0), (-1, 1), (1, -1), (1, 0))
    return {
        key: [keys[line + down, column + right] for down, right in steps if (line + down, column + right) in keys]
        for (line, column), key in keys.items()
    }
