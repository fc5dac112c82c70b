"""Progress bars that are also readable outside a terminal: in a log, or among those of other jobs."""

import sys
from typing import Any

from tqdm import tqdm

from mtl.errors import printable

LINES_EVERY = 15.0  # seconds


class _Lines:
    """A stream that turns the redrawing of a bar into one line each time."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip("\r\n") + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(name: str, total: int | None, *, initial: int = 0, shown: bool = True, **options: Any) -> "tqdm[Any]":
    """A bar on stderr; a line every ``LINES_EVERY`` seconds where stderr is not a terminal."""
    if not sys.stderr.isatty():
        options |= {"file": _Lines(), "mininterval": LINES_EVERY, "ncols": 130, "maxinterval": LINES_EVERY}
    return tqdm(desc=name, total=total, initial=initial, disable=not shown, **options)


def note(bar: "tqdm[Any]", text: str) -> None:
    """Write a line above a bar that is displayed."""
    if not bar.disable:
        bar.write(printable(text), file=sys.stderr)


def warn(text: str) -> None:
    """Write a warning about data to stderr, which is the terminal and the log of a job."""
    sys.stderr.write(f"warning: {printable(text)}\n")
