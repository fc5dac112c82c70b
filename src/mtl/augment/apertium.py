"""Round trips through Apertium, the rule-based translator of Debian, as a chain of processes.

Its chain keeps state between sentences and can stall, so: a fresh chain for each chunk of texts, closed by the end of its input; a
numbered blank behind each text, by which outputs are told apart; and a time limit, after which the chain is ended and the chunk is
tried again, then halved, until the single text that stalls it is left without an output.
"""

import re
import shutil
from collections.abc import Sequence

from mtl.pipeline import programs

PACKAGES = {"en-eo": "apertium-eo-en", "en-es": "apertium-eng-spa"}
"""The packages of Debian that ``make apertium`` installs, by the pair of languages that each translates."""

_SPECIAL = re.compile(r"[][{}^$/\\@<>*~+#]")
_UNKNOWN = re.compile(r"[*@#]+(?=\w)")
_UNMARKED = re.compile(rb"[*@#]")
_LOOSE = re.compile(r" ([.,;:!?]+)(?= |$)")
_SENTINEL = re.compile(r"\[\n(\d+)\n\]")


def modes(language: str, pivot: str) -> tuple[str, str]:
    """The modes that lead from a language to the pivot language and back, by the tags of ``mtl.pipeline.programs.modes``."""
    one, other = map(programs.language_of, (language, pivot))
    return f"{one}-{other}", f"{other}-{one}"


def installed(language: str) -> list[str]:
    """The pivot languages to which, and back from which, the installed modes lead."""
    there, start = programs.modes("apertium"), programs.language_of(language)
    pivots = (mode.removeprefix(f"{start}-") for mode in there if mode.startswith(f"{start}-"))
    return sorted(pivot for pivot in pivots if f"{pivot}-{start}" in there)


def available(language: str, pivots: Sequence[str]) -> str | None:
    """None if Apertium has all of these pivots of a language, else one line that says what is missing and how to install it.

    A method never uses only those pivots that are installed: its rows would then depend on the machine.
    """
    pairs = dict.fromkeys("-".join(sorted(modes(language, pivot)[0].split("-"))) for pivot in pivots)
    install = " ".join(["apt-get install apertium", *(PACKAGES[pair] for pair in pairs if pair in PACKAGES), "(Debian, Ubuntu)"])
    if others := [pair for pair in pairs if pair not in PACKAGES]:
        install += f", and the package with {', '.join(others)}, if there is one (apt-cache search apertium)"
    if shutil.which("apertium") is None:
        return f"Apertium is not installed; install it: {install}"
    listed = programs.modes("apertium")
    lacking = {pivot: [mode for mode in modes(language, pivot) if mode not in listed] for pivot in dict.fromkeys(pivots)}
    missing = "; ".join(f"pivot {pivot} lacks {', '.join(modes)}" for pivot, modes in lacking.items() if modes)
    there = ", ".join(installed(language)) or "none"
    return (
        f"Apertium is incomplete: {missing}; install it: {install}; or choose from the pivots that are there: {there}" if missing else None
    )


def round_trip(texts: Sequence[str], language: str, pivot: str, seconds: float | None = None) -> list[str | None]:
    """Translate plain texts to the pivot language and back.

    Args:
        texts: their outputs depend on one another. A text that is not plain (see ``is_plain``) is not sent.
        language: that of the texts.
        pivot: one of ``installed``.
        seconds: time limit of a chunk, one way; by default a minute and a fifth of a second for each text.

    Returns:
        The outputs; None for a text that stalled the chain or was lost. A ``*`` before a word says that the way back does not know it.
    """
    there = programs.modes("apertium")
    chain = [there.get(mode, mode) for mode in modes(language, pivot)]
    outputs: list[str | None] = [None] * len(texts)
    plain = [place for place, text in enumerate(texts) if is_plain(text)]
    waiting = [(0, len(plain), 2)] if plain else []
    while waiting:
        start, end, tries = waiting.pop()
        translated = _chunk([texts[place] for place in plain[start:end]], chain, 60 + 0.2 * (end - start) if seconds is None else seconds)
        if translated is not None:
            for place, output in zip(plain[start:end], translated, strict=True):
                outputs[place] = output
        elif tries > 1:
            waiting.append((start, end, tries - 1))
        elif end - start > 1:
            middle = (start + end) // 2
            waiting += [(middle, end, 1), (start, middle, 1)]
    return outputs


def is_plain(text: str) -> bool:
    """Whether a text is printable, without the characters to which Apertium's stream gives a meaning."""
    return text.isprintable() and not _SPECIAL.search(text)


def _chunk(texts: Sequence[str], chain: Sequence[str], seconds: float) -> list[str] | None:
    """The outputs to a chunk; None if the chain stalled, failed or lost an output."""
    # The full stop ends the sentence whatever the text ends with; it is taken off the output again.
    stream: bytes | None = "".join(f"{text} .[][\n{number}\n]" for number, text in enumerate(texts)).encode()
    for mode in chain:
        stream = None if stream is None else programs.output_of(["apertium", "-f", "none", mode], _UNMARKED.sub(b"", stream), seconds)
    if stream is None:
        return None
    parts = _SENTINEL.split(stream.decode("utf-8", "replace"))
    if [int(number) for number in parts[1::2]] != list(range(len(texts))):
        return None
    return [_text(output) for output in parts[0:-1:2]]


def _text(output: str) -> str:
    """An output without the signs of the stream, the full stop that was added, and spaces before punctuation."""
    marked = _UNKNOWN.split(output)
    words = " ".join("*".join(_SPECIAL.sub(" ", part) for part in marked).split()).removesuffix(".").rstrip()
    return _LOOSE.sub(r"\1", words)
