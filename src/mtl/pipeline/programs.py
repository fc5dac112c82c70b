"""Optional programs from outside Python, by names that fit into a file's name: ``apertium``, or ``apertium.en-eo``, one of its modes.

A mode is named by the tags of its two languages, however its package spells them: ``es-ca`` for ``spa-cat``.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

_PAIR = re.compile("([a-z]{2,3})-([a-z]{2,3})")
_SECONDS = 60  # time limit of listing the modes of a program


def installed(name: str) -> bool:
    """Whether a program is installed, and has the mode that the name may end with."""
    program, _, mode = name.partition(".")
    return shutil.which(program) is not None and (not mode or mode in modes(program))


def modes(program: str) -> dict[str, str]:
    """The modes of a program that can list them, by the tags of their languages; none if it does not answer within a minute.

    Names come from files, so only programs that are known here are run.
    """
    if program != "apertium":
        return {}
    listed = (output_of(["apertium", "-l"], b"", _SECONDS) or b"").decode("utf-8", "replace").split()
    pairs = ((_PAIR.fullmatch(mode), mode) for mode in sorted(listed, reverse=True))
    return {"-".join(map(language_of, pair.groups())): mode for pair, mode in pairs if pair}


def language_of(tag: str) -> str:
    """The tag of a language without script and region, from the shortest code: ``es`` for ``spa`` and for ``es-MX``."""
    from langcodes import Language

    return Language.get(tag).language or tag


def output_of(command: Sequence[str], data: bytes, seconds: float) -> bytes | None:
    """The output of a command for an input; None if it fails or runs out of time. Its children always end with it."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    try:
        output, _ = process.communicate(data, timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            _end(process)
    return output if process.returncode == 0 else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children without waiting for their output."""
    with suppress(ProcessLookupError):  # nothing of it is left
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()
