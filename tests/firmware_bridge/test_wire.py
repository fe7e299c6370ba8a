from __future__ import annotations

import json
import math
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import wire
from firmware_bridge.blocks import BoardInfo
from firmware_bridge.framing import Deframer
from firmware_bridge.protocols.edge import EdgeDecoder

PACKAGE = resources.files("firmware_bridge")
VECTORS = json.loads(PACKAGE.joinpath("vectors/v1.json").read_text(encoding="utf-8"))
BY_NAME = {layout.name: layout for layout in wire.LAYOUTS}


def same(left, right):
    if isinstance(left, wire.Data):
        fields = (left.first_sample, left.lead_off) == (right.first_sample, right.lead_off)
        return fields and np.array_equal(left.counts, right.counts)
    return left == right


def built(vector):
    fields = dict(vector["fields"])
    if "leads" in fields:
        fields["leads"] = tuple(fields["leads"])
    if "counts" in fields:
        fields["counts"] = np.array(fields["counts"], np.int32)
    return BY_NAME[vector["message"]].message(**fields)


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda v: v["name"])
def test_vectors_both_ways(vector):
    frame = bytes.fromhex(vector["frame"])
    message = built(vector)
    assert wire.encode(message, vector["sequence"]) == frame
    (payload,) = Deframer().feed(frame)
    parsed = wire.parse(payload)
    assert parsed[:3] == (vector["version"], vector["type"], vector["sequence"])
    assert same(parsed.message, message)


@pytest.mark.parametrize("vector", VECTORS["rejected"], ids=lambda v: v["name"])
def test_rejected_vectors_are_counted_and_give_nothing(vector):
    decoder = EdgeDecoder()
    assert decoder.feed(bytes.fromhex(vector["bytes"]), 0.0) == []
    stats = decoder.stats()
    counted = {"crc_errors": stats.crc_errors, "frame_errors": stats.frame_errors}
    assert counted == {"crc_errors": 0, "frame_errors": 0, vector["counted"]: 1}
    assert stats.frames_ok == 0


def test_every_message_has_a_vector_and_is_in_the_text():
    assert {vector["message"] for vector in VECTORS["accepted"]} == set(BY_NAME)
    text = PACKAGE.joinpath("PROTOCOL.md").read_text(encoding="utf-8")
    for layout in wire.LAYOUTS:
        assert f"| 0x{layout.code:02x} | {layout.name} |" in text
        for name, ctype in layout.fields:
            assert f"`{name}` {ctype}" in text
    for vector in VECTORS["accepted"]:
        if len(vector["frame"]) < 200:
            assert f"`{vector['frame']}`" in text


def test_type_numbers_are_frozen():
    assert {layout.name: layout.code for layout in wire.LAYOUTS} == {
        "HELLO_REQUEST": 1,
        "START": 2,
        "STOP": 3,
        "STATUS_REQUEST": 4,
        "PING": 5,
        "SET_RATE": 6,
        "HELLO": 0x81,
        "DATA": 0x82,
        "STATUS": 0x83,
        "STOPPED": 0x84,
        "PONG": 0x85,
        "ERROR": 0x86,
    }


@given(st.binary(max_size=80), st.sampled_from([0, 1, 2, 255]), st.sampled_from([*range(8), *range(0x80, 0x88)]))
def test_parse_never_raises(body, version, code):
    frame = wire.parse(bytes([version, code, 0, 0]) + body)
    assert frame is not None
    assert frame.message is None or (version == 1 and code in wire._STRUCTS)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 20).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(wire.COUNT_MIN, wire.COUNT_MAX), min_size=n, max_size=n),
            min_size=1,
            max_size=12,
        )
    ),
)
def test_samples_round_trip(first_sample, leads):
    counts = np.array(leads, np.int32).T
    (payload,) = Deframer().feed(wire.encode(wire.Data(first_sample, 0, counts), 7))
    message = wire.parse(payload).message
    assert np.array_equal(message.counts, counts)
    assert message.counts.dtype == np.int32
    assert not message.counts.flags.writeable


@pytest.mark.parametrize(
    ("message", "match"),
    [
        (wire.Ping(2**32), "PING"),
        (wire.SetRate(-1), "SET_RATE"),
        (wire.Data(0, 0, np.array([[2**23]], np.int32)), "24 bits"),
        (wire.Data(0, 0, np.zeros((0, 1), np.int32)), "1..255"),
        (wire.Data(0, 0, np.zeros((1, 13), np.int32)), "leads"),
        (wire.Data(0, 0, np.zeros((255, 12), np.int32)), "at most"),
        (wire.Hello(1, 1, 24, 0, 1000, 0, "n" * 256, "", "", ("I",)), "255 bytes"),
    ],
)
def test_what_does_not_fit_is_a_value_error(message, match):
    with pytest.raises(ValueError, match=match):
        wire.encode(message, 0)


@pytest.mark.parametrize(("lsb_nv", "time_scale"), [(48.081, 1.0), (None, 60.0), (5000.0, math.inf)])
def test_hello_carries_what_a_board_is(lsb_nv, time_scale):
    info = BoardInfo("Bench", "0.1", "ADS1292R", 360.0, ("MLII", "V1"), lsb_nv, time_scale, 1)
    (payload,) = Deframer().feed(wire.encode(wire.Hello.of(info), 0))
    assert wire.parse(payload).message.info == info


@pytest.mark.parametrize(
    ("fs_hz", "n_leads", "n"),
    [(360, 2, 14), (250, 1, 10), (500, 8, 20), (10, 1, 1), (100_000, 1, 255), (16_000, 12, 56)],
)
def test_a_frame_carries_at_most_40_ms_and_fits(fs_hz, n_leads, n):
    assert wire.samples_per_frame(fs_hz, n_leads) == n
    wire.encode(wire.Data(0, 0, np.zeros((n, n_leads), np.int32)), 0)
