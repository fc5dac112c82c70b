"""Runs the service until it is asked to stop."""

import socket
from dataclasses import dataclass

import uvicorn

from mtl.errors import ServingError
from mtl.serving import corrections
from mtl.serving.app import create_app
from mtl.serving.served import ServedModel
from mtl.serving.settings import Settings

GRACE_SECONDS = 60
"""How long accepted requests may take after the service was asked to stop."""

BACKLOG = 2048
"""Connections that may wait to be accepted; uvicorn's default."""


@dataclass(frozen=True, slots=True)
class Server:
    """A service that has its address and its model."""

    settings: Settings
    model: ServedModel
    listener: socket.socket

    @classmethod
    def start(cls, settings: Settings) -> "Server":
        """Take the address, load the model, and let connections wait.

        Raises:
            ServingError: the address is taken, or the file of corrections cannot be written.
            ModelError: the folder is not a complete model of this version.
            TrainingError: the device is not available.
        """
        if settings.corrections is not None:
            corrections.check_file(settings.corrections)
        listener = _listen(settings.host, settings.port)
        model = ServedModel(settings.model, settings.device, settings.precision)
        listener.listen(BACKLOG)
        return cls(settings, model, listener)

    @property
    def address(self) -> str:
        """Its URL."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; requests that were accepted are finished."""
        config = uvicorn.Config(
            create_app(self.settings, self.model),
            log_level="info",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        uvicorn.Server(config).run([self.listener])


def _listen(host: str, port: int) -> socket.socket:
    """A socket at the address; port 0 takes a free one."""
    try:
        family, type_, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, type_, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ServingError(f"cannot listen on {host}, port {port}: {error}") from None
    return listener
