"""Frames and messages in C say and hear what those in Python do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from fuzz_receivers import fuzz_c
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import framing, wire
from firmware_bridge.c_header import HEADER_FILE, c_header, main
from firmware_bridge.framing import Deframer

PACKAGE = resources.files("firmware_bridge")
VECTORS = json.loads(PACKAGE.joinpath("vectors/v1.json").read_text(encoding="utf-8"))
LAYOUT_OF = {layout.name: layout for layout in wire.LAYOUTS}
OF_THE_BOARD = [vector for vector in VECTORS["accepted"] if vector["type"] >= 0x80]
KEPT_BYTES = wire.HEADER.size + 4

Ask = Callable[[str], str]


@pytest.fixture(name="ask", scope="module")
def ask_fixture(make: Callable[..., Path]) -> Iterator[Ask]:
    """Put a request to the C core; gives its answer (firmware/test/talk.c)."""
    program = make("host") / "talk"
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(request: str) -> str:
            process.stdin.write(request + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, "the C program ended: its sanitizers say why"
            return answer.strip()

        yield ask
        process.stdin.close()


def request_for(name: str, sequence: int, fields: dict[str, object]) -> str:
    """The line that makes `talk` encode a message: its fixed fields in the order of the wire, then its tail."""
    values = dict(fields)
    tail: list[object] = []
    if name == "HELLO":
        leads = values.pop("leads")
        texts = [values["name"], values["firmware"], values["adc"], *leads]
        values["n_leads"] = len(leads)
        tail = ["".join(f"{text}\0" for text in texts).encode().hex()]
    elif name == "DATA":
        counts = np.array(values.pop("counts"), np.int32)
        values["n_samples"], values["n_leads"] = counts.shape
        tail = counts.ravel().tolist()
    elif name == "ERROR":
        tail = [f"{values['text']}\0".encode().hex()]
    return " ".join(map(str, [name, sequence, *(values[field] for field, _ in LAYOUT_OF[name].fields), *tail]))


def frames_heard(ask: Ask, data: bytes) -> list[tuple[int, str]]:
    """Of each good frame in `data`, how long its payload was and what the receiver kept of it."""
    words = iter(ask(f"feed 00{data.hex()}").split())
    return [(int(length), next(words)) for length in words]


def frames_of_python(data: bytes) -> list[tuple[int, str]]:
    return [(len(payload), payload[:KEPT_BYTES].hex()) for payload in Deframer().feed(b"\0" + data)]


def test_the_committed_header_is_what_wire_says(tmp_path: Path) -> None:
    assert HEADER_FILE.read_text(encoding="utf-8") == c_header(), "run `python -m firmware_bridge.c_header`"
    main([str(tmp_path / "x.h")])
    assert (tmp_path / "x.h").read_text(encoding="utf-8") == c_header()


def test_the_header_follows_the_layouts() -> None:
    assert "#define EDGE_TYPE_SET_RATE 0x06u\n" in c_header()
    assert "#define EDGE_STATUS_SAMPLES_SENT_AT 8u\n#define EDGE_STATUS_FIXED_BYTES 12u\n" in c_header()
    assert "#define EDGE_MAX_ENCODED_BYTES 2063u\n" in c_header()


@pytest.mark.parametrize("vector", OF_THE_BOARD, ids=lambda v: v["name"])
def test_the_board_says_the_vectors(vector: dict[str, object], ask: Ask) -> None:
    assert ask(request_for(vector["message"], vector["sequence"], vector["fields"])) == spoken(vector["frame"])


def spoken(frame_hex: str) -> str:
    """A frame as a board sends it: behind a zero byte, but for DATA."""
    return frame_hex if bytes.fromhex(frame_hex)[2] == LAYOUT_OF["DATA"].code else f"00{frame_hex}"


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda v: v["name"])
def test_the_board_hears_the_vectors(vector: dict[str, object], ask: Ask) -> None:
    ((length, kept),) = frames_heard(ask, bytes.fromhex(vector["frame"]))
    version, code, sequence = wire.HEADER.unpack_from(bytes.fromhex(kept))
    assert (version, code, sequence) == (vector["version"], vector["type"], vector["sequence"])
    if vector["message"] in ("PING", "SET_RATE"):
        assert length == KEPT_BYTES
        (number,) = vector["fields"].values()
        assert bytes.fromhex(kept)[wire.HEADER.size :] == number.to_bytes(4, "little")


@pytest.mark.parametrize("vector", VECTORS["rejected"], ids=lambda v: v["name"])
def test_the_board_hears_of_the_rejected_vectors_what_python_does(vector: dict[str, object], ask: Ask) -> None:
    data = bytes.fromhex(vector["bytes"])
    assert frames_heard(ask, data) == frames_of_python(data)
    if vector["counted"] == "crc_errors":
        assert frames_heard(ask, data) == []


def any_length(payload: bytes) -> bytes:
    """The frame of a payload, were there no limit."""
    return framing.cobs_encode(payload + framing.crc16(payload).to_bytes(2, "little")) + b"\0"


def reaching_too_far(payload: bytes) -> bytes:
    """A frame whose last block says that it is a byte longer."""
    frame = bytearray(framing.encode(payload))
    at = 0
    while at + frame[at] < len(frame) - 1:
        at += frame[at]
    frame[at] = min(frame[at] + 1, 255)
    return bytes(frame)


@settings(deadline=None)  # a pipe to another process
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.binary(min_size=1, max_size=40).map(reaching_too_far),
            st.integers(2045, 2065).map(lambda n: any_length(b"\1" * n)),
            st.binary(min_size=1, max_size=600).map(framing.encode),
            st.binary(min_size=1, max_size=40).map(lambda payload: framing.encode(payload)[:-2] + b"\1\0"),
            st.integers(2050, 2070).map(lambda n: b"\xff" * n + b"\0"),
            st.integers(250, framing.MAX_PAYLOAD_BYTES).map(lambda n: framing.encode(b"\1" * n)),
        ),
        max_size=6,
    ).map(b"".join)
)
def test_c_and_python_find_the_same_frames_in_any_bytes(ask: Ask, data: bytes) -> None:
    assert frames_heard(ask, data) == frames_of_python(data)


@settings(deadline=None)  # a pipe to another process
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535),
    st.integers(1, 12).flatmap(
        lambda n_leads: st.lists(
            st.lists(st.integers(wire.COUNT_MIN, wire.COUNT_MAX), min_size=n_leads, max_size=n_leads),
            min_size=1,
            max_size=40,
        )
    ),
)
def test_c_and_python_encode_the_same_data(ask: Ask, first_sample: int, sequence: int, counts: list[list[int]]) -> None:
    frame = wire.encode(wire.Data(first_sample, 0x80, np.array(counts, np.int32)), sequence)
    fields = {"first_sample": first_sample, "lead_off": 0x80, "counts": counts}
    assert ask(request_for("DATA", sequence, fields)) == frame.hex()


@settings(deadline=None)  # a pipe to another process
@given(st.lists(st.sampled_from("aµ€"), max_size=300).map("".join))
def test_c_and_python_encode_the_same_texts(ask: Ask, text: str) -> None:
    frame = b"\0" + wire.encode(wire.Error(3, text), 7)
    assert ask(request_for("ERROR", 7, {"code": 3, "text": text})) == frame.hex()


def test_a_frame_that_does_not_fit_is_not_sent_and_harms_nothing(ask: Ask) -> None:
    assert ask(request_for("ERROR", 0, {"code": 1, "text": "x" * 2100})) == ""
    assert ask(request_for("STOPPED", 10, {"samples_sent": 1})) == (b"\0" + wire.encode(wire.Stopped(1), 10)).hex()


def test_a_megabyte_of_garbage_is_heard_as_python_hears_it(make: Callable[..., Path]) -> None:
    """`make fuzz` does it with a hundred."""
    assert "as in Python" in fuzz_c(make("host") / "count", 1_000_000, seed=7)
