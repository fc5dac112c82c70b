"""Foreign code confined to this machine and to files that run no code: an audit hook (PEP 578) refuses it the network and pickles."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from mtl.data.archives import SKIPPED
from mtl.errors import AugmentError


class _Hook:
    """Called by Python for every audited event of the process; refuses while ``inside``."""

    def __init__(self) -> None:
        self.inside = self.workers = False
        self.refusals: list[str] = []
        sys.addaudithook(self)  # a hook cannot be removed

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.inside and (refusal := self._refusal(event, arguments)):
            self.refusals.append(refusal)
            raise AugmentError(refusal)

    def _refusal(self, event: str, arguments: tuple[Any, ...]) -> str | None:
        """Why an event is refused, and what to do."""
        if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):  # else a path of this machine
            return "it asks for the network, and augmentation fetches nothing; choose another, or name files of this machine in its options"
        if event == "pickle.find_class" and not self.workers:
            return f"it unpickles {arguments[0]}.{arguments[1]}, and a pickle can run any code; name files of another type in its options"
        if event == "open" and isinstance(arguments[0], str) and PurePath(arguments[0]).suffix.lower() in SKIPPED:
            return f"it opens {arguments[0]}, which may be a pickle and run any code; name files of another type, such as safetensors"
        return None


_hook: _Hook | None = None


@contextmanager
def confined(*, workers: bool = False) -> Iterator[list[str]]:
    """Refuse the network and pickles to all that runs inside; yields what was refused, since foreign code may hide the error.

    Args:
        workers: allow the pickles that processes of one program send each other, which no event tells from others; files that by
            their names may be pickles are refused all the same.

    Raises:
        AugmentError: where the network or a pickle was requested.
    """
    global _hook
    _hook = _hook or _Hook()
    _hook.inside, _hook.workers, _hook.refusals = True, workers, []
    try:
        yield _hook.refusals
    finally:
        _hook.inside = False
