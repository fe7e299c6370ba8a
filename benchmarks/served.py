"""The real daemon in a process of its own, with every output that there is, and somebody at the other end of each."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_ecg.errors import DataError

START_WITHIN_S = 60.0
BROKER = "mosquitto"


@dataclass(frozen=True)
class Served:
    """A running daemon.

    Attributes
    ----------
    process, folder
        It, and where all that it writes lies.
    url
        Of its page.
    has_mqtt
        It sends to a broker, since there is one here.
    """

    process: subprocess.Popen[bytes]
    folder: Path
    url: str
    has_mqtt: bool

    def get(self, path: str) -> str:
        """A page."""
        with urllib.request.urlopen(self.url + path, timeout=5.0) as answer:
            return str(answer.read().decode())

    def metric(self, name: str) -> dict[str, float]:
        """Values of a metric by their labels. Raises `DataError` when there is none of that name."""
        page = self.get("/metrics").splitlines()
        if not any(line.startswith(f"# TYPE {name} ") for line in page):
            raise DataError(f"the daemon knows no metric {name}", "docs/live-page.md names them")
        lines = [line for line in page if line.startswith((f"{name}{{", f"{name} "))]
        return {line[len(name) :].rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    def footprint(self) -> dict[str, float]:
        """Resident MB, threads and open files."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        value = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if len(line.split()) > 1}
        files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        return {"resident_mb": int(value["VmRSS"]) / 1024.0, "threads": int(value["Threads"]), "files": files}

    def cpu_s(self) -> float:
        """CPU time so far of the threads that there are, s; the ticks of `stat` miss what is shorter than one."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def until(self, condition: Callable[[], bool], what: str, within_s: float = START_WITHIN_S) -> None:
        """Wait for something. Raises `DataError` when the daemon ends, or it does not come."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if condition():
                    return
            time.sleep(0.05)
        raise DataError(f"{what} did not come", (self.folder / "log").read_text()[-500:])

    def end(self) -> tuple[int, float]:
        """Stop it by SIGTERM; its exit code, and how long it took, s."""
        begun_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60.0)
        return code, time.monotonic() - begun_s


@contextlib.contextmanager
def served(folder: Path, port: str, *, viewers: int = 1, model: str = "rhythm") -> Iterator[Served]:
    """A daemon on a port, with all outputs and somebody who looks at its page; a broker where there is one."""
    web_port = _free_port()
    tables: dict[str, dict[str, Any]] = {
        "link": {"port": port},
        "model": {"id": model},
        "output": {"jsonl": str(folder / "beats.jsonl")},
        "recording": {"folder": str(folder / "recordings")},
        "web": {"enabled": True, "port": web_port},
        "hooks": {"v_run": ["/bin/true"], "device_lost": ["/bin/true"], "min_interval_s": 1.0},
    }
    with contextlib.ExitStack() as stack:
        broker = shutil.which(BROKER, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if broker is not None:
            mqtt_port = _free_port()
            tables["mqtt"] = {"host": "127.0.0.1", "port": mqtt_port}
            (folder / "broker.conf").write_text(f"listener {mqtt_port} 127.0.0.1\nallow_anonymous true\n")
            stack.enter_context(_process([broker, "-c", str(folder / "broker.conf")], folder / "broker.log"))
        settings = folder / "config.toml"
        settings.write_text("\n".join(_table(name, table) for name, table in tables.items()))
        command = [sys.executable, "-m", "edge_ecg.cli.main", "daemon", "--config", str(settings)]
        process = stack.enter_context(_process(command, folder / "log"))
        daemon = Served(process, folder, f"http://127.0.0.1:{web_port}", has_mqtt=broker is not None)
        daemon.until(lambda: "edge_ecg" in daemon.get("/metrics"), "the page")
        for _ in range(viewers):
            stack.enter_context(_viewer(daemon.url))
        yield daemon


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _viewer(url: str) -> Iterator[None]:
    """Somebody who looks at the page all the time."""
    gone = threading.Event()

    def look() -> None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/stream", timeout=10.0) as stream:
            while not gone.is_set() and stream.read1(65536):
                pass

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        gone.set()


def _table(name: str, table: dict[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
