"""What the service is started with."""

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from mtl.errors import ServingError

TOKEN = "MTL_TOKEN"
"""Environment variable that holds the bearer token."""
LOCAL = "localhost"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request, and all of them together, may need."""

    body_bytes: int = 2**20
    """Size of a request's body."""
    texts: int = 256
    """Texts of a request."""
    characters: int = 20_000
    """Characters of a text, its fields together."""
    queue: int = 1024
    """Texts that wait for a prediction."""
    batch_tokens: int = 4096
    """Tokens after which a batch takes no further request."""
    wait_seconds: float = 0.005
    """Longest time that a batch waits for further requests."""

    def __post_init__(self) -> None:
        if self.texts > self.queue:
            raise ServingError(
                f"a request of {self.texts:,} texts never fits a queue of {self.queue:,}: raise --queue or lower --max-texts"
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """The model, the address and the limits."""

    model: Path
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    """Bearer token that requests must name."""
    insecure: bool = False
    """Listen beyond this machine although there is no token."""
    corrections: Path | None = None
    """JSON lines file that corrected predictions are appended to."""
    device: str = "auto"
    precision: str = "fp32"
    """``fp32``, ``bf16`` or ``int8``."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.port not in range(2**16):
            raise ServingError(f"--port {self.port}: must be from 0 to {2**16 - 1}")
        if not (self.token or self.insecure or is_loopback(self.host)):
            raise ServingError(
                f"--host {self.host} can be reached from other machines: set a token ({TOKEN} or --token-file), or allow it with --insecure"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == LOCAL or ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(file: Path | None) -> str | None:
    """The bearer token: the content of a file, or else of the environment variable; None if there is neither.

    Raises:
        ServingError: the file cannot be read, or the token is empty or has other signs than printable ASCII.
    """
    if file is None and TOKEN not in os.environ:
        return None
    try:
        token = (os.environ[TOKEN] if file is None else file.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError(f"{file}: cannot be read: {error}") from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ServingError(f"{file or TOKEN}: the token must be one word of printable ASCII characters")
    return token
