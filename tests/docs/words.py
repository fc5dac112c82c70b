"""The words that documentation, messages, command line and report avoid, with better ones. ``violations`` finds them in a text."""

import re
from typing import NamedTuple


class Word(NamedTuple):
    """A pattern to avoid, without regard to case; ``allowed`` are phrases in which it is right."""

    pattern: str
    better: str
    allowed: str = ""


WORDS = (
    Word(r"pieces?", "subword tokens, subwords"),
    Word(
        r"sums?",
        "checksum (of a file), fingerprint (of settings and code)",
        r"(?:weighted|plain) sums?|sums? of (?:the |all |a )*(?:gradients?|losses|weights)|norm\s+of their sum|divided by their sum",
    ),
    Word(r"milestones?", "stage"),
    Word(
        r"(?:built )?parts?",
        "job, or what it makes (shard, run)",
        r"parts? of|(?:two|three|four) parts|in part|part-of-speech|protected part",
    ),
    Word(r"alone", "single-task; only; by itself"),
    Word(r"(?:its|models?'?|runs?'?|tasks?'?) answers?|answered", "prediction", r"model answers with"),
    Word(r"kinds?", "type"),
    Word(r"faults?|faulty", "issue, error"),
    Word(r"promises?|promised", "invariant"),
    Word(r"deal(?:s|t)?(?:\s+\w+)? out|dealing out", "assign"),
    Word(r"(?:narrow|widen)(?:s|ed|ing)?(?= (?:the |a |its )?(?:vocabulary|embedding))", "prune, restore"),
    Word(r"drowned|drowns?", "dominated"),
    Word(r"pulls?|pulled", "gradient share", r"(?:dvc|git|and) pull|`?dvc pull`?|pull requests?"),
    Word(r"(?:one|its|the|more) say", "gradient share"),
    Word(r"luck|lucky", "variance over seeds; biased upwards"),
    Word(r"data sets?", "dataset"),
    Word(r"written rows?|rows? (?:as|that) (?:it )?(?:was|is|were) written", "original row"),
    Word(r"reckon(?:s|ed|ing)?", "count, compute"),
    Word(r"lest", "so that … not"),
    Word(r"of which", "two sentences"),
    Word(r"(?:is|are|was|were) to be", "must be, will be"),
    Word(r"(?:is|are|was) no", "is not a …", r"there (?:is|are|was) no|(?:is|are|was) no (?:longer|more|less)\b"),
    Word(r"there (?:is|are) no \w+ that", "no …"),
    Word(r"\w+\(s\)", "1 variant, 2 variants", r"\w+\(s\)(?=\()"),
    Word(r"(?<![.,–−])1 (?:variants|rows|shards|runs|jobs|issues|errors|files|seeds|trials)", "the singular"),
)
"""What ``violations`` looks for."""

NAMES = ("found", "told", "asked", "shown", "given", "wanted", "grown", "pieces", "shapes", "milestone", "part", "kind", "alone", "fault")
"""Names in code that readers see (settings, keys of JSON, options) and that do not say what they hold."""


def violations(text: str) -> list[str]:
    """What a text should not say: ``word (better: …)``, in the order of the text.

    Args:
        text: Markdown, HTML or plain text; code is looked at for ``NAMES`` only.
    """
    prose = re.sub(r"```.*?```|~~~.*?~~~|``[^`]*``|`[^`\n]*`", lambda code: " " * len(code[0]), text, flags=re.DOTALL)
    hits = [hit for word in WORDS for hit in _hits(word, prose)]
    names = re.finditer(rf"`(?:--)?(?:{'|'.join(NAMES)}):?`", text)
    hits += [(name.start(), f"{name[0]} (a name that does not say what it holds)") for name in names]
    return [hit for _, hit in sorted(hits)]


def _hits(word: Word, prose: str) -> list[tuple[int, str]]:
    spans = [match.span() for match in re.finditer(rf"(?<!\w)(?:{word.allowed})", prose, re.IGNORECASE)] if word.allowed else []
    return [
        (match.start(), f"{_around(prose, match)} (better: {word.better})")
        for match in re.finditer(rf"(?<![\w-])(?:{word.pattern})(?![\w])", prose, re.IGNORECASE)
        if not any(low <= match.start() and match.end() <= high for low, high in spans)
    ]


def _around(prose: str, match: re.Match[str]) -> str:
    """The match with its line's number and what stands around it."""
    line = prose.count("\n", 0, match.start()) + 1
    context = " ".join(prose[max(match.start() - 30, 0) : match.end() + 30].split())
    return f"line {line}: {match[0]!r} in “{context}”"
