from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import framing
from firmware_bridge.framing import Deframer, cobs_decode, cobs_encode, crc16

# Around the blocks of 254 bytes, where encoders go wrong.
payloads = st.one_of(
    st.binary(max_size=600),
    st.builds(
        lambda n, tail: b"\x11" * n + tail,
        st.sampled_from([252, 253, 254, 255, 507, 508, 509]),
        st.binary(max_size=4),
    ),
)


def test_crc_is_ccitt_false():
    assert crc16(b"123456789") == 0x29B1
    assert crc16(b"") == 0xFFFF


@pytest.mark.parametrize(
    ("plain", "encoded"),
    [
        (b"", b"\x01"),
        (b"\0", b"\x01\x01"),
        (b"\0\0", b"\x01\x01\x01"),
        (b"\x11\x22\0\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\0\0\0", b"\x02\x11\x01\x01\x01"),
        (b"\x01" * 254, b"\xff" + b"\x01" * 254),
        (b"\0" + b"\x01" * 254, b"\x01\xff" + b"\x01" * 254),
        (b"\x01" * 255, b"\xff" + b"\x01" * 254 + b"\x02\x01"),
        (b"\x01" * 254 + b"\0", b"\xff" + b"\x01" * 254 + b"\x01\x01"),
    ],
)
def test_cobs_examples(plain, encoded):
    assert cobs_encode(plain) == encoded
    assert cobs_decode(encoded) == plain


def test_an_empty_block_after_a_full_one_is_taken_too():
    assert cobs_decode(b"\xff" + b"\x01" * 254 + b"\x01") == b"\x01" * 254


@pytest.mark.parametrize("bad", [b"", b"\x02", b"\x05\x01\x01", b"\xff\x01", b"\x02\x01\0\x01", b"\0"])
def test_bytes_that_are_no_cobs(bad):
    assert cobs_decode(bad) is None


@given(payloads)
def test_cobs_round_trip_without_zeros(data):
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert cobs_decode(encoded) == data
    assert len(encoded) <= len(data) + len(data) // 254 + 1


@given(st.lists(payloads.filter(bool), max_size=6), st.data())
def test_any_split_gives_the_same_payloads(contents, data):
    stream = b"".join(framing.encode(content) for content in contents)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    deframer = Deframer()
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += deframer.feed(stream[start:end])
    assert got == contents
    assert (deframer.crc_errors, deframer.frame_errors, deframer.bytes_skipped) == (0, 0, 0)


@given(st.lists(st.binary(max_size=400), max_size=20), st.booleans())
def test_any_bytes_are_counted_once_and_the_buffer_is_bounded(pieces, no_delimiter):
    if no_delimiter:
        pieces = [piece.replace(b"\0", b"\x01") * 8 for piece in pieces]
    deframer, whole = Deframer(), Deframer()
    for piece in pieces:
        deframer.feed(piece)
        assert len(deframer.pending) <= framing.MAX_ENCODED_BYTES
    stream = b"".join(pieces)
    whole.feed(stream)
    for each in (deframer, whole):
        each.feed(b"\0")
    assert deframer.bytes_received == len(stream) + 1
    assert deframer.bytes_skipped <= len(stream) + 1
    for name in ("crc_errors", "frame_errors", "bytes_skipped"):
        assert getattr(deframer, name) == getattr(whole, name)


def test_the_largest_frame_passes_and_a_larger_one_is_skipped_whole():
    largest = b"\xaa" * framing.MAX_PAYLOAD_BYTES
    frame = framing.encode(largest)
    assert len(frame) == framing.MAX_ENCODED_BYTES + 1
    deframer = Deframer()
    assert deframer.feed(frame) == [largest]
    too_long = b"\xaa" * (framing.MAX_ENCODED_BYTES + 1) + b"\0"
    assert deframer.feed(too_long + frame) == [largest]
    assert (deframer.frame_errors, deframer.bytes_skipped) == (1, len(too_long))
    with pytest.raises(ValueError, match="at most 2052"):
        framing.encode(largest + b"x")


def test_a_stream_without_delimiters_does_not_fill_the_memory():
    deframer = Deframer()
    for _ in range(100):
        assert deframer.feed(b"\xaa" * 1000) == []
        assert len(deframer.pending) <= framing.MAX_ENCODED_BYTES
    assert deframer.feed(b"\0" + framing.encode(b"next")) == [b"next"]
    assert (deframer.frame_errors, deframer.bytes_skipped) == (1, 100_001)


def test_a_flipped_bit_is_a_crc_error_and_the_next_frame_is_fine():
    frame = bytearray(framing.encode(b"\x11\x22\x33\x44\x55"))
    frame[3] ^= 0x40
    deframer = Deframer()
    assert deframer.feed(bytes(frame) + framing.encode(b"next")) == [b"next"]
    assert (deframer.crc_errors, deframer.frame_errors, deframer.bytes_skipped) == (1, 0, len(frame))
