"""How a run is asked to stop, and stops."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from mtl.errors import MtlError


class Preempted(MtlError):  # noqa: N818 - a request met, not an error
    """Training stopped on request: its state is saved, and the same call goes on from there."""

    exit_status = 143


@contextmanager
def stop_signals(*, insist: bool) -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and Ctrl-C into a flag, so that training ends between two steps. Only a main thread can set a handler.

    Args:
        insist: let a second Ctrl-C end training at once. Not so in one of several processes: each gets Ctrl-C from the terminal, and then
            again from the launcher.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return

    def request(number: int, frame: FrameType | None) -> None:
        if requested.is_set() and number == signal.SIGINT and insist:
            raise KeyboardInterrupt
        requested.set()

    before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
