"""What the firmware of the ATmega328P needs: ``python size.py BUILD`` prints it as JSON and fails beyond a bar.

Sizes are those of the linked program; the rest is measured in the simulator, over 60 s at 500 Hz, while a host asks
for all there is to ask twice a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firmware_bridge import wire
from firmware_bridge.blocks import RawBlock
from firmware_bridge.protocols.edge import EdgeDecoder

FS_HZ = 500
DURATION_S = 60
QUESTIONS = (wire.HelloRequest(), wire.StatusRequest(), wire.Ping(0xFFFFFFFF), wire.SetRate(1))
BARS = {"flash_bytes": 12 * 1024, "ram_bytes": 1536, "overruns": 0, "samples_lost": 0}


def sections(elf: Path) -> dict[str, int]:
    """Bytes of flash and of variables, as `avr-size` counts them."""
    done = subprocess.run(["avr-size", str(elf)], capture_output=True, text=True, check=True)
    text, data, bss = map(int, done.stdout.splitlines()[1].split()[:3])
    return {"flash_bytes": text + data, "variables_bytes": data + bss}


def stream(build: Path, figures: Path, signal: Path) -> dict[str, int]:
    """Let the firmware stream in the simulator; losses as the host sees them."""
    command = [str(build / "edge_sim"), "--figures", str(figures), str(build / "atmega328p.elf"), str(signal)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as board:
        assert board.stdin is not None
        assert board.stdout is not None
        decoder = EdgeDecoder()

        def send(*messages: wire.Command) -> None:
            board.stdin.write(b"".join(b"\0" + wire.encode(message, 0) for message in messages))
            board.stdin.flush()

        def received() -> Iterator[RawBlock | wire.Message]:
            while data := board.stdout.read1(4096):
                yield from decoder.feed(data, 0.0)

        send(wire.SetRate(FS_HZ * 1000), wire.Start())
        n_samples = 0
        questions = iter([QUESTIONS] * (2 * DURATION_S - 1) + [(wire.StatusRequest(), wire.Stop())])
        ask_at = FS_HZ // 2
        for item in received():
            if isinstance(item, wire.Stopped):
                break
            if isinstance(item, RawBlock):
                n_samples += len(item.counts)
                if n_samples >= ask_at:
                    ask_at += FS_HZ // 2
                    send(*next(questions, ()))
        board.stdin.close()
    stats = decoder.stats()
    return {"overruns": stats.overruns, "samples_lost": stats.samples_lost, "samples": stats.samples_received}


def measure(build: Path) -> dict[str, Any]:
    """Every figure by its name."""
    with tempfile.TemporaryDirectory() as folder:
        signal, figures = Path(folder) / "signal", Path(folder) / "figures"
        signal.write_text("fs_hz 1\n2500\n", encoding="ascii")
        found: dict[str, Any] = sections(build / "atmega328p.elf") | stream(build, figures, signal)
        seen = json.loads(figures.read_text(encoding="ascii"))
    found["stack_bytes"] = seen["stack_bytes"]
    found["ram_bytes"] = found["variables_bytes"] + found["stack_bytes"]
    found["busy_percent"] = round(100 * (1 - seen["asleep_s"] / seen["simulated_s"]), 1)
    found["interrupt_cycles"] = {name: x["worst_cycles"] for name, x in seen["interrupts"].items() if x["n"]}
    return found


def main(build: Path) -> int:
    """Print the figures; 1 when one is beyond its bar."""
    found = measure(build)
    print(json.dumps(found, indent=2))
    beyond = [f"{name} is {found[name]}, at most {bar} wanted" for name, bar in BARS.items() if found[name] > bar]
    print(*beyond, sep="\n", end="\n" if beyond else "", file=sys.stderr)
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
