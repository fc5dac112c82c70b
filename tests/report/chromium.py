"""A page in headless Chromium, driven over the DevTools protocol through a pipe: JSON messages that end with a zero byte."""

import json
import os
import select
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
CODES = {"Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}


class Chromium:
    """One browser with one page."""

    def __init__(self, profile: Path, timeout: float = 60) -> None:
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        options = [*OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash"]  # the protocol is spoken on descriptors 3 and 4
        self._process = subprocess.Popen(
            [*shell, str(PROGRAM), *options], pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._timeout, self._unread, self._number, self._session = timeout, b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method: str, **params: Any) -> Any:
        """The result of a command; events that come before it are passed over."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps({"id": self._number, "method": method, "params": params, **session}).encode() + b"\0")
        reply = self._next(lambda message: message.get("id") == self._number)
        assert "error" not in reply, reply
        return reply["result"]

    def open(self, url: str, width: int = 1280) -> None:
        """Load a page afresh, in a window of a width, and wait for it."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        while self.value("location.href") != url or self.value("document.readyState") != "complete":
            pass

    def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, or type a character."""
        code = {"windowsVirtualKeyCode": CODES[key]} if key in CODES else {}
        text = {"text": {"Enter": "\r"}.get(key, key)} if len(key) == 1 or key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def _next(self, wanted: Any) -> Any:
        while True:
            while b"\0" not in self._unread:
                assert select.select([self._from], [], [], self._timeout)[0], "Chromium does not answer"
                more = os.read(self._from, 1 << 16)
                assert more, "Chromium has ended"
                self._unread += more
            message, _, self._unread = self._unread.partition(b"\0")
            if wanted(found := json.loads(message)):
                return found
