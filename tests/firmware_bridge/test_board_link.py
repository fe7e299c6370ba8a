from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import serial

from firmware_bridge import framing, wire
from firmware_bridge.blocks import BoardInfo, LinkError, LinkStats, RawBlock
from firmware_bridge.board_link import open_board
from firmware_bridge.boards import BOARDS
from firmware_bridge.link import open_link
from firmware_bridge.protocols.edge import EdgeDecoder
from firmware_bridge.reader import AT_ONCE_BYTES, CHUNK_BYTES, PortReader
from firmware_bridge.simulator import PtyBoard, VirtualBoard

INFO = BoardInfo("Simulated", "1.0", "none", 360.0, ("MLII", "V1"), 5000.0, 1.0, 1)
COUNTS = np.stack([np.arange(5000), -np.arange(5000)], axis=1)


class ScriptedBoard:
    """Says `spoken` over and over; answers the n-th HELLO_REQUEST with the n-th of `hellos`, START with `started`."""

    finished = False

    def __init__(self, spoken=b"", hellos=(), started=b""):
        self._spoken = spoken
        self._hellos = list(hellos)
        self._started = started
        self._deframer = framing.Deframer()

    def receive(self, data, now_s):
        out = b""
        for payload in self._deframer.feed(data):
            match wire.parse(payload).message:
                case wire.HelloRequest() if self._hellos:
                    out += self._hellos.pop(0)
                case wire.Start():
                    out += self._started
        return out

    def advance(self, now_s):
        return self._spoken

    def is_plugged(self, now_s):
        return True


def blocks(out):
    return [item for item in out if isinstance(item, RawBlock)]


def read_until(link, wanted):
    out = []
    while not any(isinstance(item, wanted) for item in out):
        new = link.read(5.0)
        assert new, "the board fell silent"
        out += new
    return out


def read_on(link, out):
    """Append all that comes to `out`, until the link raises."""
    while new := link.read(5.0):
        out += new


def hello(**changes):
    fields = {
        "protocol_version": 1,
        "fs_mhz": 360_000,
        "adc_bits": 24,
        "lsb_pv": 0,
        "time_scale_milli": 1000,
        "capabilities": 0,
        "name": "Odd",
        "firmware": "1",
        "adc": "a",
        "leads": ("I",),
    }
    return b"\0" + wire.encode(wire.Hello(**{**fields, **changes}), 0)


def refused(board, timeout_s=0.3):
    """The error of opening a port that `board` sits behind."""
    with PtyBoard(board) as pty, pytest.raises(LinkError) as caught:
        open_link(pty.path, handshake_timeout_s=timeout_s)
    return str(caught.value)


def test_a_record_from_end_to_end():
    with PtyBoard(VirtualBoard(INFO, COUNTS, None)) as board, open_link(board.path) as link:
        assert (link.info.name, link.info.fs_hz, link.info.leads) == ("Simulated", 360.0, ("MLII", "V1"))
        started_s = time.monotonic()
        out = read_until(link, wire.Stopped)
        assert np.array_equal(np.concatenate([block.counts for block in blocks(out)]), COUNTS)
        assert abs(blocks(out)[0].host_s - started_s) < 60.0
        stats = link.stats()
        assert (stats.samples_received, stats.samples_lost, stats.queue_drops) == (5000, 0, 0)
        assert stats == LinkStats(
            bytes_received=stats.bytes_received, frames_ok=len(blocks(out)) + 1, samples_received=5000
        )
        assert link.read(0.0) == []


def test_stop_returns_what_was_under_way():
    with PtyBoard(VirtualBoard(INFO, COUNTS, 100.0, loop=True)) as board, open_link(board.path) as link:
        out = link.read(5.0)
        out += link.stop()
        assert isinstance(out[-1], wire.Stopped)
        assert sum(len(block.counts) for block in blocks(out)) == out[-1].samples_sent
        assert link.stop() == []


def test_of_much_that_waits_a_read_takes_the_oldest():
    with PtyBoard(VirtualBoard(INFO, COUNTS, 2000.0, loop=True)) as board, open_link(board.path) as link:
        while link._reader._chunks.qsize() < 4 * AT_ONCE_BYTES // CHUNK_BYTES:
            assert link._reader.failure is None
            time.sleep(0.01)
        before = link.stats().bytes_received
        first = link.read(5.0)
        assert 0 < link.stats().bytes_received - before <= AT_ONCE_BYTES + CHUNK_BYTES
        second = link.read(5.0)
        assert blocks(second)[0].first_sample == blocks(first)[-1].first_sample + len(blocks(first)[-1].counts)


def test_commands_are_answered_among_the_data():
    with PtyBoard(VirtualBoard(INFO, COUNTS, 10.0, loop=True)) as board, open_link(board.path) as link:
        link.send(wire.Ping(5))
        assert any(isinstance(item, wire.Pong) and item.token == 5 for item in read_until(link, wire.Pong))


def test_read_waits_no_longer_than_told():
    with PtyBoard(VirtualBoard(INFO, COUNTS, 0.001)) as board, open_link(board.path) as link:
        assert link.read(0.0) == []
        assert link.read(0.05) == []


def test_a_board_that_talks_before_hello_and_resets_when_opened():
    boot = b"rst:0x1 (POWERON_RESET),boot:0x13\r\n\xff\xfe\x00\x12"
    frame = wire.encode(wire.Data(0, 0, np.ones((3, 1), np.int32)), 1)
    board = ScriptedBoard(hellos=[boot, b"", hello() + hello()[:9]], started=hello()[9:] + frame)
    with PtyBoard(board) as pty, open_link(pty.path) as link:
        assert link.info.name == "Odd"
        (block,) = blocks(read_until(link, RawBlock))
        assert block.counts.tolist() == [[1], [1], [1]]
        assert link.stats().frame_errors == 0


def test_the_cable_is_pulled_in_mid_stream():
    board = PtyBoard(VirtualBoard(INFO, COUNTS, 100.0, loop=True))
    with board, open_link(board.path) as link:
        out = link.read(5.0)
        board.close()
        with pytest.raises(LinkError, match="the board went away"):
            read_on(link, out)
        numbers = [block.first_sample for block in blocks(out)]
        assert numbers == list(range(0, 14 * len(numbers), 14))
        assert sum(len(block.counts) for block in blocks(out)) == link.stats().samples_received
        with pytest.raises(LinkError, match="the board went away"):
            link.read(0.0)
        with pytest.raises(LinkError, match="the board went away"):
            link.send(wire.Ping(1))
        assert link.stop() == []


def test_a_board_that_restarts_in_mid_stream():
    frame = wire.encode(wire.Data(0, 0, np.ones((3, 1), np.int32)), 1)
    board = ScriptedBoard(hellos=[hello()], started=frame + hello())
    with PtyBoard(board) as pty, open_link(pty.path) as link:
        out = []
        with pytest.raises(LinkError, match="restarted in mid-stream"):
            read_on(link, out)
        assert len(blocks(out)) == 1


def test_closing_stops_the_board_and_gives_the_port_back():
    with PtyBoard(VirtualBoard(INFO, COUNTS, 10.0, loop=True)) as board:
        link = open_link(board.path)
        link.close()
        link.close()
        assert link.stop() == []
        with pytest.raises(LinkError, match="is closed"):
            read_on(link, [])  # what came before is still handed out
        with pytest.raises(LinkError, match="is closed"):
            link.send(wire.Ping(1))
        with serial.Serial(board.path, timeout=1.0, exclusive=True) as port:
            port.write(wire.encode(wire.Ping(9), 0))
            decoder = EdgeDecoder()
            while not any(isinstance(item, wire.Pong) for item in decoder.feed(port.read(1), 0.0)):
                pass
            port.timeout = 0.1
            assert port.read(1) == b""  # the board has stopped


def test_a_port_in_use_names_the_program_that_holds_it():
    with PtyBoard(VirtualBoard(INFO, COUNTS)) as board, open_link(board.path):
        with pytest.raises(LinkError, match=f"{board.path} is in use by .*this program") as caught:
            open_link(board.path)
        assert "Close that program" in caught.value.hint


def test_a_port_that_does_not_exist():
    with pytest.raises(LinkError, match="there is no port /dev/ttyNONE9") as caught:
        open_link("/dev/ttyNONE9")
    assert "Ports of this machine: " in caught.value.hint
    assert "edge-ecg ports" in caught.value.hint


def test_a_file_a_directory_and_an_unknown_url(tmp_path):
    (tmp_path / "file").touch()
    for url in (tmp_path / "file", tmp_path):
        with pytest.raises(LinkError, match="is not a serial port"):
            open_link(str(url))
    with pytest.raises(LinkError, match="cannot open nonsense://x"):
        open_link("nonsense://x")


def test_nothing_answers():
    assert "nothing answers on /dev/" in refused(ScriptedBoard())


def test_an_echo_is_called_one():
    with pytest.raises(LinkError, match="loop:// sends back what is sent to it"):
        open_link("loop://", handshake_timeout_s=0.3)


CYTON = b"".join(b"\xa0" + bytes([k]) + b"\x11\x22\x33" * 10 + b"\xc0" for k in range(4))
OPENVIEW = (b"\x0a\xfa\x04\x00\x02\x10\x81\x20\x91\x00\x0b") * 4


@pytest.mark.parametrize(
    ("spoken", "words"),
    [
        (b"AT\r\n0.512,0.513,0.511\r\n", ["are not our protocol", "text that begins 'AT 0.512"]),
        (b"\x91\xfe\x80\x7f" * 9, ["are not our protocol", "no sense at 115200 baud", "Is 115200 the right"]),
        (b"Debian GNU/Linux 12 pi ttyS0\r\n\r\npi login: ", ["a login console", "raspi-config"]),
        (CYTON, ["looks like OpenBCI Cyton", "--board cyton"]),
        (OPENVIEW, ["looks like a ProtoCentral board", "edge-ecg boards list"]),
        (wire.encode(wire.Stopped(0), 0), ["speaks the protocol but does not say hello"]),
        (
            framing.encode(b"\x02\x81\0\0\x02hello"),
            ["speaks version 2", "this program speaks 1", "Update edge-ecg"],
        ),
        (hello(protocol_version=0), ["speaks version 0", "Update the firmware"]),
        (hello(leads=()), ["0 leads, expected 1 to 12"]),
        (hello(leads=("x",) * 13), ["13 leads, expected 1 to 12"]),
        (hello(fs_mhz=0), ["a rate of 0 Hz"]),
        (hello(fs_mhz=4_000_000_000), ["a rate of 4e+06 Hz"]),
        (hello(adc_bits=0), ["an ADC of 0 bits"]),
    ],
    ids=[
        "text",
        "noise",
        "console",
        "cyton",
        "openview",
        "no hello",
        "version",
        "hello version",
        "0",
        "13",
        "0 Hz",
        "4 MHz",
        "adc",
    ],
)
def test_what_answers_is_no_board_of_ours(spoken, words):
    error = refused(ScriptedBoard(spoken))
    assert all(word in error for word in words), error
    assert "\n" not in error


def test_who_else_reads_a_port_that_is_silent_is_named():
    """Such as getty, which takes no lock."""
    with PtyBoard(ScriptedBoard()) as pty:
        program = "import sys; file = open(sys.argv[1], 'rb', 0); print(flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", program, pty.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            other.stdout.readline()
            try:
                named = rf"\(pid {other.pid}\) has the port open"
                with pytest.raises(LinkError, match=f"nothing answers.*{named}") as caught:
                    open_link(pty.path, handshake_timeout_s=0.0)
                with pytest.raises(LinkError, match=f"nothing comes.*{named}"):
                    open_board(BOARDS["hpi3"], pty.path, timeout_s=0.0)
            finally:
                other.kill()
        assert "Close that program" in caught.value.hint


def test_a_failed_handshake_gives_the_port_back():
    with PtyBoard(VirtualBoard(INFO, COUNTS)) as board:
        for _ in range(3):
            with pytest.raises(LinkError, match="nothing answers"):
                open_link(board.path, handshake_timeout_s=0.0)
        open_link(board.path).close()


def test_a_full_queue_drops_and_counts():
    port = serial.serial_for_url("loop://", timeout=0.1)
    reader = PortReader(port, queue_chunks=2)
    sent = 0
    try:
        while not reader.dropped_bytes:
            sent += port.write(b"x" * 10)
    finally:
        reader.close()
        port.close()
    kept = 0
    while (chunk := reader.get(0.0)) is not None:
        kept += len(chunk[0])
    assert reader.exhausted
    assert 0 < kept + reader.dropped_bytes <= sent


def test_what_came_before_a_port_died_is_kept():
    class Dying:
        """Gives a byte, then dies."""

        def read(self, n):
            return b"x"

        @property
        def in_waiting(self):
            raise OSError("gone")

    reader = PortReader(Dying())
    assert reader.get(5.0)[0] == b"x"
    assert reader.get(5.0) is None
    assert reader.exhausted
    reader.close()


def test_a_chunk_of_the_queue_is_no_longer_than_it_says():
    class Flooded:
        """Gives as much as is asked for."""

        in_waiting = 1_000_000

        def read(self, n):
            return b"x" * n

    reader = PortReader(Flooded(), queue_chunks=2)
    assert len(reader.get(5.0)[0]) == CHUNK_BYTES
    reader.close()


def test_close_from_another_thread_ends_a_waiting_read():
    with PtyBoard(VirtualBoard(INFO, COUNTS, 0.001)) as board:
        link = open_link(board.path)
        closer = threading.Timer(0.05, link.close)
        closer.start()
        with pytest.raises(LinkError, match="is closed"):
            read_on(link, [])  # the board's STOPPED may come first
        closer.join()


def test_links_leave_nothing_open():
    before = len(os.listdir("/proc/self/fd"))
    with PtyBoard(VirtualBoard(INFO, COUNTS, 100.0, loop=True)) as board:
        for _ in range(5):
            with open_link(board.path) as link:
                assert link.read(5.0)
    assert len(os.listdir("/proc/self/fd")) == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edge-ecg")]


class Booting(VirtualBoard):
    """Greets unasked when it is opened, before it answers anything."""

    greeted = False

    def advance(self, now_s):
        if not self.greeted:
            self.greeted = True
            return self.greet()
        return super().advance(now_s)


def test_a_board_that_greets_before_it_answers_stop_is_heard_to_its_end():
    board = Booting(INFO, COUNTS, 20.0)
    # The count of a session before: STOP is answered with it.
    board._sent = 4000
    with PtyBoard(board) as pty, open_link(pty.path) as link:
        out = read_until(link, wire.Stopped)
        assert out[-1].samples_sent == len(COUNTS)
        assert sum(len(block.counts) + block.lost_before for block in blocks(out)) == len(COUNTS)


class TwoRates(VirtualBoard):
    """Samples at 360 or 500 Hz."""

    def receive(self, data, now_s):
        for payload in framing.Deframer().feed(data):
            match wire.parse(payload).message:
                case wire.SetRate(500_000):
                    self._hello = dataclasses.replace(self._hello, fs_mhz=500_000)
                    return self.greet()
        return super().receive(data, now_s)


def test_a_board_is_asked_for_a_rate():
    with PtyBoard(TwoRates(INFO, COUNTS)) as pty:
        with open_link(pty.path, fs_hz=500.0) as link:
            assert link.info.fs_hz == 500.0
            read_until(link, RawBlock)
        with pytest.raises(LinkError, match=r"does not sample at 250 Hz: .*It samples at 500 Hz"):
            open_link(pty.path, fs_hz=250.0)


class Recorder(ScriptedBoard):
    """Notes the names of the commands that it hears; `heard` is set by the one that the test waits for."""

    def __init__(self, awaited, **scripted):
        super().__init__(**scripted)
        self.commands = []
        self.heard = threading.Event()
        self._awaited = awaited
        self._ears = framing.Deframer()

    def receive(self, data, now_s):
        for payload in self._ears.feed(data):
            command = wire.parse(payload).message
            self.commands.append(type(command))
            if isinstance(command, self._awaited):
                self.heard.set()
        return super().receive(data, now_s)


@pytest.fixture
def endless(monkeypatch):
    """No wait of a link ends by itself: only giving up ends it."""
    for name in ("RATE_WITHIN_S", "RUNNING_WITHIN_S", "HELLO_EVERY_S"):
        monkeypatch.setattr(f"firmware_bridge.link.{name}", 1e6)


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize(
    ("awaited", "hellos", "how"),
    [
        (wire.HelloRequest, [], {}),
        (wire.HelloRequest, [hello()], {}),
        (wire.SetRate, [hello()], {"fs_hz": 500.0}),
        (wire.HelloRequest, [hello()], {"resumed": EdgeDecoder(1)}),
    ],
    ids=["no hello", "hello", "rate", "resumed"],
)
def test_what_nobody_waits_for_ends_and_starts_no_board(awaited, hellos, how):
    board = Recorder(awaited, hellos=hellos)
    with PtyBoard(board) as pty, pytest.raises(LinkError, match=f"stopped before {pty.path} was heard"):
        open_link(pty.path, handshake_timeout_s=1e6, cancelled=board.heard.is_set, **how)
    assert board.heard.is_set()
    assert wire.Start not in board.commands


def test_a_machine_that_does_not_answer_is_not_waited_for():
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filling in (first, second):  # the queue of the listener: whoever comes next is not answered
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        asked = iter([False, False, True])
        begin_s = time.monotonic()
        with pytest.raises(LinkError, match="stopped before socket://"):
            open_link("socket://{}:{}".format(*listener.getsockname()), cancelled=lambda: next(asked))
        openers = [thread for thread in threading.enumerate() if thread.name == "edge-ecg port opener"]
        assert openers, f"it was answered within {time.monotonic() - begin_s:.1f} s, so this shows nothing"
    for opener in openers:
        opener.join()


def test_a_port_that_opens_too_late_is_closed(monkeypatch):
    opened, go_on = [], threading.Event()
    serial_for_url = serial.serial_for_url

    def slow(*args, **kwargs):
        go_on.wait()
        opened.append(serial_for_url(*args, **kwargs))
        return opened[0]

    monkeypatch.setattr("serial.serial_for_url", slow)
    with pytest.raises(LinkError, match="stopped before"):
        open_link("loop://", cancelled=lambda: True)
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "edge-ecg port opener":
            thread.join()
    assert [port.is_open for port in opened] == [False]


def test_a_board_that_stays_at_its_rate_is_told():
    board = ScriptedBoard(hellos=[hello()])
    board.receive_rate = board.receive

    def receive(data, now_s):
        is_rate = any(isinstance(wire.parse(p).message, wire.SetRate) for p in framing.Deframer().feed(data))
        return hello() if is_rate else board.receive_rate(data, now_s)

    board.receive = receive
    with PtyBoard(board) as pty, pytest.raises(LinkError, match=r"not sample at 500 Hz: it stays at 360 Hz"):
        open_link(pty.path, fs_hz=500.0)
