"""Tokens of raw text: words by the conventions of the Penn Treebank and the CoNLL corpora, or by those of tweets; and characters."""

import re

import regex

# Python's \w lacks combining marks: accents, and the vowel signs of Hebrew, Arabic, Thai and the Indic scripts.
MARK = "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e\u200c\u200d"
SPACELESS = (
    "\u0e00-\u0e3e\u0e40-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3031-\u30ff\u3105-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Chinese characters, kana. A class of ``re``."""
_LETTER = rf"[^\W_{SPACELESS}]"
_IN_ADDRESS = rf"[^\s<>\"{SPACELESS}\u3000-\u303f\uff00-\uffef]"
_LETTERS = rf"{_LETTER}(?:{_LETTER}|[{MARK}])*"
_WORD = rf"{_LETTERS}(?:(?:&amp;|[-'’.&/_]|(?<=\d),(?=\d)){_LETTERS})*"
_EMOTICON = r"[<>]?(?:[:;=]|(?<!\S)[8xX])[\-o*']?[)(\]\[dDpPoO/\\|}{@*3]+(?![^\W_])"
_SHORT = (
    "Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|Inc|Ltd|Co|Corp|Bros|No|Gen|Sen|Rep|Gov|Lt|Col|Sgt|Jan|Feb|Aug|Sept|Oct|Nov|Dec|"
    "Ala|Ariz|Ark|Calif|Colo|Conn|Del|Fla|Ill|Ind|Kan|Mass|Mich|Minn|Miss|Mo|Neb|Nev|Okla|Ore|Pa|Tenn|Va|Wash|Wis"
)
_CLITICS = "s|m|d|re|ve|ll"

_FIRST = (
    rf"(?:https?://|www\.){_IN_ADDRESS}*(?<![\'.,;:!?)\]}}’”])",  # web address, without trailing punctuation
    r"[\w.+-]{1,64}@\w[\w-]*(?:\.[\w-]+)+",  # mail address; without the limit of RFC 5321, joined words take quadratic time
    rf"[@#](?:{_LETTER}|_)+(?:[-_](?:{_LETTER}|_)+)*",  # handle, hashtag
    r"&(?:[a-z]+|\#\d+);",  # HTML entity that was not unescaped
    _EMOTICON,
    r"[(\[][-^;:oO~TuU><._]{1,3}[)\]]",  # eastern emoticon
    r"<3+|\^_+\^|-_+-|[-~]>|<[-~]",
    rf"(?<![^\s\"“(])['’](?:{_CLITICS})(?![^\W_])",  # a clitic that stands by itself
)
_ABBREVIATIONS = (  # whose period belongs to them, unless it ends the text
    r"\A\d{1,3}\.(?=\s)",  # number of an item
    r"[^\W\d_]\.(?=\s+[^\W\d_a-z])",  # an initial
    rf"(?:{_SHORT})\.(?=\s*\S)",
)
_WORDS = (
    # number, date, time, price; with letters after it, it is a word
    r"(?>[-+]?[$€£¥]?(?:(?<![\w.])\.)?\d+(?:[.,:/-]\d+)*)"
    rf"(?:%|(?:st|nd|rd|th|s|am|pm|k|m|bn|['’]s|[ap]\.m\.)(?!-?{_LETTER})|(?!-?{_LETTER}))",
    r"(?:[^\W\d_]\.){2,}(?:-\w+)*",  # U.S., a.m., U.S.-led
    r"(?<![^\W_])[A-Z]{1,3}\$",  # US$, C$
    r"[Ww]/",
    _WORD,
    rf"[{SPACELESS}](?:[{SPACELESS}]|[{MARK}])*",
)
_OF_TWEETS = (
    rf"(?<!\S)[-*/]{_WORD}\*?",  # a signature, an action
    rf"{_WORD}-(?!\S)",  # broken off
    rf"(?:(?!{_EMOTICON})[\"'“”‘’.?!…,:;]){{2,}}",
)
_LAST = (
    r"\.{2,}|…+|[?!]+|-{2,}|—+|\*+|~+|_+|=+",
    rf"[^\w\s](?:[{MARK}\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]|(?<=\u200d)[^\w\s])*",  # a sign, an emoji with its joined parts
    r"\S",
)
_OF_TREEBANK = re.compile("|".join((*_FIRST, *_ABBREVIATIONS, *_WORDS, *_LAST)))
_OF_TWEET = re.compile("|".join((*_FIRST, *_OF_TWEETS, *_WORDS, *_LAST)))
_TREEBANK = re.compile(rf"(?i)(?:(?=[^\W\d_]).+?(?=(?:n['’]t|['’](?:{_CLITICS})|['’])$)|[$€£¥](?=.)|[-+]?[\d.,]+(?=%$))")
_GENITIVE = re.compile(r"(?i)(?=[^\W\d_]).+?(?=(?:['’]s|['’])$)")
"""What comes before the place where a token is split."""
_SPACELESS = re.compile(f"[{SPACELESS}]")
_NO_SPACE = re.compile(r"\S+")
_CHARACTER = regex.compile(r"\X")


def tokenize(text: str, *, treebank: bool = True) -> tuple[list[str], list[bool], list[int]]:
    """Split a text into tokens. In scripts without spaces between words, each character is one.

    Args:
        text: any text.
        treebank: whether contractions, currency signs and percent signs are split, as in ``do n't`` and ``$ 5``, and abbreviations keep
            their period. If not, as in tweets, runs of punctuation are one token. ``'s`` is always split off.

    Returns:
        The tokens; whether white space follows each (never after the last); and the character offset of each token's start.
        ``text[start : start + len(token)] == token`` always holds, and only white space lies between tokens.
    """
    pattern, inner = (_OF_TREEBANK, _TREEBANK) if treebank else (_OF_TWEET, _GENITIVE)
    return _tokens(text, [span for match in pattern.finditer(text) for span in _parts(match.group(), match.start(), inner)])


def characters(text: str) -> tuple[list[str], list[bool], list[int]]:
    """Split a text into its characters as people see them, with their accents, vowel signs and joined parts (Unicode annex 29).

    Returns:
        As ``tokenize``.
    """
    return _tokens(text, [span for match in _NO_SPACE.finditer(text) for span in _characters(match.group(), match.start())])


def _tokens(text: str, spans: list[tuple[int, int]]) -> tuple[list[str], list[bool], list[int]]:
    starts = [start for start, _ in spans]
    following = [*starts[1:], 0][: len(starts)]
    return (
        [text[start:end] for start, end in spans],
        [after > end for (_, end), after in zip(spans, following, strict=True)],
        starts,
    )


def _parts(token: str, start: int, inner: re.Pattern[str]) -> list[tuple[int, int]]:
    """A token's span; two if it is split, as It 's and do n't are; those of the characters in a script without spaces."""
    end = start + len(token)
    if _SPACELESS.match(token):
        return _characters(token, start)
    if match := inner.match(token):
        return [(start, start + match.end()), (start + match.end(), end)]
    return [(start, end)]


def _characters(text: str, start: int) -> list[tuple[int, int]]:
    return [(start + match.start(), start + match.end()) for match in _CHARACTER.finditer(text)]
