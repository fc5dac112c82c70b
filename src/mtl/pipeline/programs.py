"""Programs from outside Python that a part can do without, by a name that fits into a file's: ``apertium``, or ``apertium.en-eo``, one of
its modes."""

import shutil
import subprocess


def found(name: str) -> bool:
    """Whether a program is there, and has the mode that the name may end with."""
    program, _, mode = name.partition(".")
    return shutil.which(program) is not None and (not mode or mode in _modes(program))


def _modes(program: str) -> list[str]:
    """What a program can do, of those that can be asked for it. Names come from files, so none is run that is not known here."""
    if program != "apertium":
        return []
    return subprocess.run(["apertium", "-l"], capture_output=True, text=True, check=False).stdout.split()
