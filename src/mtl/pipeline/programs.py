"""Programs from outside Python that a job can do without, by a name that fits into a file's: ``apertium``, or ``apertium.en-eo``, one of
its modes."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

_SECONDS = 60  # time limit of asking a program for its modes


def found(name: str) -> bool:
    """Whether a program is there, and has the mode that the name may end with."""
    program, _, mode = name.partition(".")
    return shutil.which(program) is not None and (not mode or mode in modes(program))


def modes(program: str) -> list[str]:
    """What a program can do, of those that can be asked for it; nothing if it gives no prediction within a minute.

    Names come from files, so none is run that is not known here.
    """
    if program != "apertium":
        return []
    return (output_of(["apertium", "-l"], b"", _SECONDS) or b"").decode("utf-8", "replace").split()


def output_of(command: Sequence[str], data: bytes, seconds: float) -> bytes | None:
    """What a command makes of its input; None if it fails, or when the time is up. Its children end with it, whatever happens."""
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
    """End a process and all that it has started, without waiting for what they may still write."""
    with suppress(ProcessLookupError):  # nothing of it is left
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()
