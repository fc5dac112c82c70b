"""English: which words it has, which of them deny, and what stands before vowel sounds."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mtl.augment.languages.base import Language, Word

if TYPE_CHECKING:
    from mtl.augment.rows import Row

# Function words; the dictionary of inflections knows nouns, verbs, adjectives and adverbs only.
_GRAMMAR_WORDS = """
a an the this that these those i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its
itself we us our ours ourselves they them their theirs themselves who whom whose which what whatever whoever whichever one oneself
someone somebody something anyone anybody anything everyone everybody everything nobody nothing none no not nor neither either both and
or but if unless until till while whereas although though because since as than so yet when whenever where wherever why how however
whether of in on at to for from by with without within into onto upon about above across after against along among amid around before
behind below beneath beside besides between beyond despite down during except inside like near off out outside over past per through
throughout toward towards under underneath unlike up via worth am is are was were be been being have has had do does did can could may
might must shall should will would ought cannot let each every all any some few many much more most several such other others another
same own here there now then thus hence very too also just only even still again once twice never ever always often yes oh ok okay
please hello two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion first second third whereby wherein therefore
"""
_GRAMMAR = frozenset(_GRAMMAR_WORDS.split())
_CLITIC = re.compile(r"(?i)(n't|'(?:s|m|d|re|ve|ll))$")
_LEADING_CLITIC = re.compile(r"(?i)['’](?:s|m|d|re|ve|ll)(?![A-Za-z])")
_CONTRACTION = re.compile(r"[A-Za-z]['’][A-Za-z]")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_DENYING_WORDS = """
no not never none nobody no-one noone nope nothing nowhere neither nor cannot without
dont doesnt didnt cant couldnt wont wouldnt isnt arent wasnt werent havent hasnt hadnt aint shouldnt mustnt neednt
"""
_NEGATIONS = frozenset(_DENYING_WORDS.split())
_PLAIN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_BARE = re.compile(r"""([("'“‘*\[]*)([A-Za-z]{4,})([.,;:!?…"'”’)*\]]*)""")
_CONSONANT_SOUND = re.compile(r"(eu|ewe|one(?!i)|once|u(?=[bcfknrst][aeiou]|ni)(?!nim|nin))")
_SILENT_H = re.compile(r"(hour|honest|honou?r|heir)")
_OTHER_ARTICLE = {"a": "an", "an": "a", "A": "An", "An": "A", "AN": "A"}


def words(text: str) -> list[str]:
    """The words of a text, in lower case, contractions whole."""
    return [word.lower() for word in _WORD.findall(text.replace("’", "'"))]


@lru_cache(maxsize=100_000)
def known(word: str) -> bool:
    """Whether a lower-case word, or what stands before its clitic, is English."""
    from lemminflect import getAllLemmas

    stem = _CLITIC.sub("", word)
    return (
        word in _GRAMMAR or stem in _GRAMMAR or word in ("won't", "can't", "shan't", "ain't", "y'all", "let's") or bool(getAllLemmas(stem))
    )


def negations(text: str) -> int:
    """How many words of a text deny something."""
    return sum(map(denies, words(re.sub(r"(?i)\b(\w+) (n['’]t)\b", r"\1\2", text))))


def denies(word: str) -> bool:
    """Whether a word denies something."""
    word = word.lower().replace("’", "'")
    return word in _NEGATIONS or word.endswith("n't")


@lru_cache(maxsize=100_000)
def is_plain(token: str) -> bool:
    """Whether a token is a word of letters that denies nothing: no web address, handle, hashtag or number, no punctuation at its ends."""
    return _PLAIN.fullmatch(token) is not None and not denies(token)


@lru_cache(maxsize=100_000)
def is_clitic(token: str) -> bool:
    """Whether a token is the end of a contraction that was cut off: n't, 's, 'll."""
    return _CLITIC.fullmatch(token.replace("’", "'")) is not None


def is_grammar(token: str) -> bool:
    """Whether a token is a function word, such as articles, pronouns, prepositions, clitics and words that deny."""
    return token.lower() in _GRAMMAR or is_clitic(token) or denies(token)


@lru_cache(maxsize=100_000)
def bare(token: str) -> tuple[str, str, str] | None:
    """A word of at least four ASCII letters that denies nothing, between the punctuation before and behind it."""
    match = _BARE.fullmatch(token)
    return (match[1], match[2], match[3]) if match and not denies(match[2]) else None


def starts_with_vowel_sound(word: str) -> bool:
    """Whether ``an`` rather than ``a`` stands before a lower-case word."""
    if word[0] == "h":
        return _SILENT_H.match(word) is not None
    return word[0] in "aeiou" and not _CONSONANT_SOUND.match(word)


class English(Language):
    """Its synonym table is in the package, and ``mtl.augment.synonym`` works on it by whole columns."""

    features = frozenset({"words", "slips", "synonyms"})
    letters = "[A-Za-z]"
    table = ""
    pivots = ("eo", "es")

    def denies(self, word: str) -> bool:
        """Whether a word denies something."""
        return denies(word)

    def is_grammar(self, token: str) -> bool:
        """Whether a token is a function word."""
        return is_grammar(token)

    def is_plain(self, token: str) -> bool:
        """Whether a token is a word that may be moved."""
        return is_plain(token)

    def is_clitic(self, token: str) -> bool:
        """Whether a token is the end of a contraction."""
        return is_clitic(token)

    def bare(self, row: "Row") -> list[Word]:
        """Words of at least four ASCII letters."""
        return [Word(place, place + 1, *parts) for place in row.outside() if (parts := bare(row.tokens[place]))]

    def words_of(self, text: str) -> list[str]:
        """The words of a text, contractions whole."""
        return words(text)

    def negations(self, text: str) -> int:
        """How many words of a text deny something, ``do n't`` as one."""
        return negations(text)

    def known(self, word: str) -> bool:
        """Whether a word is English."""
        return known(word)

    def tokenize(self, text: str, row: "Row") -> tuple[list[str], list[bool]]:
        """Tokens with contractions as the row writes them; the text may begin with the end of one."""
        if clitic := _LEADING_CLITIC.match(text):
            tokens, space_after = self.tokenize(text[clitic.end() :], row)
            return [clitic.group(), *tokens], [text[clitic.end() : clitic.end() + 1] == " ", *space_after]
        tokens, space_after = super().tokenize(text, row)
        if any(_CONTRACTION.search(token) for token in row.tokens):
            for place in range(len(tokens) - 1, 0, -1):
                if is_clitic(tokens[place]) and not space_after[place - 1] and tokens[place - 1][-1].isalpha():
                    tokens[place - 1 : place + 1] = [tokens[place - 1] + tokens[place]]
                    del space_after[place - 1]
        return tokens, space_after

    def after_article(self, article: str, old: str, new: str) -> str:
        """``a`` or ``an``, by the sound with which the new word starts."""
        before, after = (bool(word) and starts_with_vowel_sound(word.lower()) for word in (old, new))
        return article if before == after else _OTHER_ARTICLE.get(article, article)
