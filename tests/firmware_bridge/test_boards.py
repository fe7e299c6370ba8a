"""The table of boards agrees with the decoders, with the page about it, and with itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from board_streams import STREAMS

from firmware_bridge.boards import BOARDS, Board
from firmware_bridge.freerun import FILTER_DELAY_S
from firmware_bridge.protocols import DECODERS, open_decoder

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "boards.md").read_text(encoding="utf-8")


def row(board: Board) -> str:
    """The board's line in the table of docs/boards.md."""
    cells = (
        f"`{board.name}`",
        board.title,
        "-" if board.fs_hz is None else ("" if board.is_isochronous else "~") + f"{board.fs_hz:g}",
        str(len(board.leads) or "-"),
        "-" if board.lsb_nv is None else f"{board.lsb_nv / 1000:.4g}",
        board.lead_off,
        "not seen" if board.counter_modulo is None else f"mod {board.counter_modulo}",
        f"{board.group_delay_ms:g} ms",
        ", ".join(map(str, board.bauds)),
    )
    return f"| {' | '.join(cells)} |"


def test_the_page_has_the_table() -> None:
    shown = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert shown == [row(board) for board in BOARDS.values()]


def test_every_decoder_has_a_board_and_every_board_a_decoder() -> None:
    assert {board.decoder for board in BOARDS.values()} == set(DECODERS)
    assert all(name == board.name for name, board in BOARDS.items())


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda board: board.name)
def test_what_a_board_says_of_itself_can_be(board: Board) -> None:
    assert json.loads(json.dumps(board.as_dict()))["name"] == board.name
    assert board.bauds
    assert board.source
    assert board.fs_hz is None or board.fs_hz > 0
    assert board.lsb_nv is None or board.lsb_nv > 0
    assert bool(board.start) == bool(board.stop)
    assert not board.greeting_ends or board.greeting


@pytest.mark.parametrize("stream", [s for s in STREAMS if not s.options and s.name != "edge"], ids=str)
def test_frames_and_leads_are_those_of_the_decoder(stream) -> None:
    board = BOARDS[stream.name]
    if board.frame_bytes is not None:
        assert len(stream.frames(1)[0]) == board.frame_bytes
        assert stream.n_leads == len(board.leads)
    assert board.counter_modulo == stream.modulo
    out = open_decoder(board.decoder).feed(b"".join(stream.frames(200)), 0.0)
    assert (out[0].lead_off is None) == (board.lead_off == "none")


def test_scales_and_delays_are_the_published_ones() -> None:
    uv = {name: board.lsb_nv / 1000 for name, board in BOARDS.items() if board.lsb_nv}
    assert uv == pytest.approx(
        {
            **dict.fromkeys(("hpi3", "hpi4", "ads1292r"), 24.6),
            **dict.fromkeys(("hpi5", "hpi5b"), 1.490e-3),
            **{"max30003": 0.3815, "max30001": 0.0954, "cyton": 0.02235, "bitalino": 2.93, "olimex": 1.7},
        },
        rel=0.01,
    )
    delayed = {name for name, board in BOARDS.items() if board.group_delay_ms}
    assert delayed == {"hpi3", "hpi4", "ads1292r", "spiker"}
    assert all(BOARDS[name].group_delay_ms == 640 for name in delayed - {"spiker"})
    assert BOARDS["spiker"].group_delay_ms == 1e3 * FILTER_DELAY_S


def test_a_board_that_must_be_started_is_told_its_rate_and_channels() -> None:
    assert BOARDS["bitalino"].start == b"\xc3\xfd"
    assert (BOARDS["cyton"].start, BOARDS["cyton"].stop) == (b"b", b"s")
    assert (BOARDS["chords"].start, BOARDS["chords"].stop) == (b"START\n", b"STOP\n")


def test_the_examples_of_the_page_work(capsys: pytest.CaptureFixture[str]) -> None:
    use, decoder, test = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(use, {})
    assert capsys.readouterr().out == "0 [[123]] False\n"
    names: dict[str, object] = {}
    exec(decoder, names)
    exec(test, names)
    tried = names["test_the_example_of_the_manual"]
    assert callable(tried)
    tried()
