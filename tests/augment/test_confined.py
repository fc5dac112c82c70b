"""What foreign code is refused, and that all is as before behind it."""

import pickle
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mtl.augment.confined import confined
from mtl.errors import AugmentError

PICKLE = pickle.dumps(Path("x"))


def by_name() -> None:
    socket.create_connection(("model-hub.invalid", 443), timeout=1)


def by_address() -> None:
    with socket.socket() as connection:
        connection.connect(("127.0.0.1", 9))


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (by_name, "asks for the network"),
    (by_address, "asks for the network"),
    (lambda: pickle.loads(PICKLE), "unpickles pathlib"),
    (lambda: pickle._loads(PICKLE), "unpickles pathlib"),
    (lambda: Path("pytorch_model.bin").read_bytes(), "opens pytorch_model.bin, which may be a pickle"),
]


@pytest.mark.parametrize(("action", "reason"), REFUSED, ids=["name", "address", "pickle", "pickle in Python", "file of a pickle"])
def test_network_and_pickles_are_refused_inside_only(action: Callable[[], Any], reason: str):
    with confined() as refused:
        with suppress(Exception):  # as foreign code does that tries something else then
            action()
        assert len(refused) == 1
        assert reason in refused[0]
    with suppress(OSError):
        action()
    with pytest.raises(AugmentError, match=reason), confined():
        action()


def test_other_files_and_talk_within_the_machine_are_not_refused(tmp_path: Path):
    with confined(workers=True), socket.socket(socket.AF_UNIX) as connection, socket.socket(socket.AF_UNIX) as listener:
        (tmp_path / "model.safetensors").write_bytes(b"")
        listener.bind(str(tmp_path / "own"))
        listener.listen()
        connection.connect(str(tmp_path / "own"))
        assert pickle.loads(PICKLE) == Path("x")
