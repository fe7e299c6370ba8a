from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_ecg.cli.main import run


def test_build_gives_the_file_and_says_how_to_write_it(
    make_avr: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = make_avr("avr") / "atmega328p.hex"
    assert run(["firmware", "build", "--folder", str(tmp_path), "--port", "/dev/ttyUSB7"]) == 0
    out, err = capsys.readouterr()
    assert Path(out.strip()).read_text() == reference.read_text()
    assert f"avrdude -p m328p -c arduino -P /dev/ttyUSB7 -D -U flash:w:{out.strip()}:i" in err
    assert run(["firmware", "build", "--folder", str(tmp_path), "--gain", "100"]) == 0
    assert Path(out.strip()).read_text() != reference.read_text()


def test_size_measures_and_the_firmware_stays_within_its_bars(
    make_avr: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(make_avr("sim"))
    assert run(["firmware", "size", "--folder", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["overruns"], found["samples_lost"]) == (0, 0)
    assert found["samples"] >= 500 * 60
    assert found["flash_bytes"] <= 12 * 1024
    assert found["variables_bytes"] < found["ram_bytes"] <= 1536
    assert set(found["interrupt_cycles"]) == {"ADC", "TIMER1_COMPA", "USART_RX", "USART_UDRE"}
    assert run(["firmware", "size", "--folder", folder]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["flash"] == f"{found['flash_bytes']} bytes of 32256"
    assert "0 overruns, 0 lost" in lines["samples"]


def test_without_a_compiler_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["firmware", "build"]) == 2
    assert "this needs make, avr-gcc, not found here. Debian: `sudo apt install make gcc-avr avr-libc`" in (
        capsys.readouterr().err
    )


def test_a_build_that_fails_is_told_in_a_line(
    make_avr: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_avr("avr")
    (tmp_path / "no-folder").touch()
    assert run(["firmware", "build", "--folder", str(tmp_path / "no-folder")]) == 5
    err = capsys.readouterr().err
    assert "`make avr` failed: " in err
    assert err.count("\n") == 1
