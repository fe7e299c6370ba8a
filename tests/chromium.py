"""A real Chromium without a screen, driven over its DevTools protocol through a pipe: no port, no driver."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

__all__ = ["Chromium", "Tab", "find_chromium"]

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
ANSWER_S = 60.0


def find_chromium() -> str | None:
    """The browser, by its name on Debian or another."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One browser; a context manager."""

    def __init__(self, profile: Path) -> None:
        path = find_chromium()
        assert path is not None
        (hear, self._out), (self._in, tell) = os.pipe(), os.pipe()
        # It reads what it is told on 3 and answers on 4, whatever those are here.
        spare = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (hear, tell)]
        actions = [(os.POSIX_SPAWN_DUP2, spare[0], 3), (os.POSIX_SPAWN_DUP2, spare[1], 4)]
        null = os.open(os.devnull, os.O_RDWR)
        actions += [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
        arguments = [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.pid = os.posix_spawn(path, arguments, os.environ, file_actions=actions, setpgroup=0)
        for fd in (hear, tell, null, *spare):
            os.close(fd)
        self._heard = b""
        self._n_calls = 0

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *error: object) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._in)
        os.close(self._out)

    def open(self, url: str, width: int = 1200, height: int = 900, *, mobile: bool = False) -> Tab:
        """A page in a tab of its own."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        tab = Tab(self, target, session)
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        tab.call("Emulation.setDeviceMetricsOverride", size)
        tab.call("Page.navigate", {"url": url})
        return tab

    def call(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """Ask for one thing and wait for its answer."""
        self._n_calls += 1
        message: dict[str, Any] = {"id": self._n_calls, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until_s = time.monotonic() + ANSWER_S
        while True:
            answer = self._next(until_s)
            if answer.get("id") == self._n_calls:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self, until_s: float) -> dict[str, Any]:
        while b"\0" not in self._heard:
            ready = select.select([self._in], [], [], max(0.0, until_s - time.monotonic()))[0]
            data = os.read(self._in, 1 << 20) if ready else b""
            assert data, "the browser does not answer"
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


class Tab:
    """One page."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *error: object) -> None:
        self._browser.call("Target.closeTarget", {"targetId": self._target})

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Ask this page for one thing."""
        return self._browser.call(method, params, self._session)

    def value(self, script: str) -> Any:
        """What an expression is."""
        asked = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, timeout_s: float = 30.0) -> Any:
        """Wait until an expression is true, and return it."""
        until_s = time.monotonic() + timeout_s
        while not (value := self.value(script)):
            assert time.monotonic() < until_s, (
                f"never true: {script}; the page: {self.value('document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def screenshot(self, path: Path, *, whole: bool = False) -> bytes:
        """Keep a picture of what is seen, or of the whole page."""
        asked: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.call("Page.getLayoutMetrics", {})["cssContentSize"]
            asked |= {"captureBeyondViewport": True, "clip": {**size, "x": 0, "y": 0, "scale": 1}}
        picture = base64.b64decode(self.call("Page.captureScreenshot", asked)["data"])
        path.write_bytes(picture)
        return picture
