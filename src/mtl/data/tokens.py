"""A tokenizer of raw text for prediction, with the conventions of tokenised tweets and the CoNLL corpora."""

import re

# Python's \w lacks combining marks: accents, and the vowel signs of Hebrew, Arabic, Thai and the Indic scripts.
MARK = "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e\u200c\u200d"
_WORD = rf"[^\W_](?:[^\W_]|[{MARK}])*(?:[-'’.&/_][^\W_](?:[^\W_]|[{MARK}])*)*"

_PATTERN = re.compile(
    "|".join(
        (
            r"(?:https?://|www\.)[^\s<>\"]*[^\s<>\"\'.,;:!?)\]}’”]",  # web address, without trailing punctuation
            r"[\w.+-]{1,64}@\w[\w-]*(?:\.[\w-]+)+",  # mail address; without the limit of RFC 5321, joined words take quadratic time
            r"[@#]\w+(?:[-_]\w+)*",  # handle, hashtag
            r"&(?:[a-z]+|\#\d+);",  # HTML entity that was not unescaped
            r"[<>]?[:;=8xX][\-o*']?[)(\]\[dDpPoO/\\|}{@*3]+(?![^\W_])",  # western emoticon
            r"[(\[][-^;:oO~TuU><._]{1,3}[)\]]",  # eastern emoticon
            r"<3+|\^_+\^|[-~]>|<[-~]",
            r"[-+]?[$€£¥]?\d+(?:[.,:/-]\d+)*(?:%|(?:st|nd|rd|th|s|am|pm|k|m|bn|['’]s|[ap]\.m\.)(?![^\W_]))?",  # number, date, time, price
            r"(?:[^\W\d_]\.){2,}",  # U.S., a.m.
            r"(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|Inc|Ltd|Co|Corp|No|Gen|Sen|Rep|Gov)\.",
            _WORD,
            r"\.{2,}|…+|!+|\?+|[?!]+|-{2,}|—+|\*+|~+|_+|=+",
            rf"[^\w\s](?:[{MARK}\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]|(?<=\u200d)[^\w\s])*",  # a sign, an emoji with its joined parts
            r"\S",
        )
    )
)
_CLITIC = re.compile(r"(?i)(?P<stem>.+?)(?P<clitic>n['’]t|['’](?:s|m|d|re|ve|ll)|['’])$")
_CANNOT = re.compile(r"(?i)can(?=not$)")


def tokenize(text: str) -> tuple[list[str], list[bool], list[int]]:
    """Split a text into tokens.

    Returns:
        The tokens; whether white space follows each (never after the last); and the character offset of each token's start.
        ``text[start : start + len(token)] == token`` always holds, and only white space lies between tokens.
    """
    spans = [span for match in _PATTERN.finditer(text) for span in _parts(match.group(), match.start())]
    starts = [start for start, _ in spans]
    following = [*starts[1:], 0][: len(starts)]
    return (
        [text[start:end] for start, end in spans],
        [after > end for (_, end), after in zip(spans, following, strict=True)],
        starts,
    )


def _parts(token: str, start: int) -> list[tuple[int, int]]:
    """A token's span, or two spans if it has a clitic: It 's, do n't, can not."""
    end = start + len(token)
    if not token[0].isalpha():
        return [(start, end)]
    if match := _CANNOT.match(token):
        return [(start, start + match.end()), (start + match.end(), end)]
    if match := _CLITIC.fullmatch(token):
        return [(start, start + match.end("stem")), (start + match.end("stem"), end)]
    return [(start, end)]
