"""What happens to each request before and after its route."""

import hmac
import time
from base64 import b64decode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mtl.serving.metrics import Metrics

VERSION_HEADER = "MTL-Model"
OPEN = ("/", "/health", "/ready", "/openapi.json", "/docs", "/label-studio/health")
"""Routes that need no token: they show nothing of the model or its texts."""
OPEN_FOLDERS = ("/page/", "/static-offline-docs/")


class Observed:
    """Counts replies, and names the model's version in each of them."""

    def __init__(self, app: ASGIApp, metrics: Metrics, version: Callable[[], str]) -> None:
        self._app, self._metrics, self._version = app, metrics, version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault(VERSION_HEADER, self._version())
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.latency.labels(route).observe(time.perf_counter() - start)


class TokenRequired:
    """Refuses requests without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        allowed = scope["type"] != "http" or scope["path"] in OPEN or scope["path"].startswith(OPEN_FOLDERS)
        if allowed or hmac.compare_digest(_token_of(Headers(scope=scope).get("authorization", "")), self._token):
            await self._app(scope, receive, send)
            return
        reply = JSONResponse({"detail": "needs the header Authorization: Bearer TOKEN"}, 401, {"WWW-Authenticate": "Bearer"})
        await reply(scope, receive, send)


def _token_of(authorization: str) -> bytes:
    """The token of ``Bearer TOKEN``, or of the password of ``Basic``, the only form that Label Studio can send."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(value, validate=True).partition(b":")[2]
        except ValueError:
            return b""
    return value.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


class BodyLimited:
    """Refuses bodies that are too large, at the latest when that many bytes have come."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        messages = [] if length.isdecimal() and int(length) > self._limit else await self._read(receive)
        if not messages:
            reply = JSONResponse({"detail": f"the body is larger than {self._limit:,} bytes"}, 413, {"Connection": "close"})
            await reply(scope, receive, send)
            return

        async def receive_again() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, receive_again, send)

    async def _read(self, receive: Receive) -> list[dict[str, Any]]:
        """The messages with the body; empty if it is too large."""
        messages: list[dict[str, Any]] = []
        size = 0
        while not messages or messages[-1].get("more_body"):
            messages.append(dict(await receive()))
            size += len(messages[-1].get("body", b""))
            if size > self._limit:
                return []
        return messages
