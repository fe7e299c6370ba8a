"""What every decoder owes, on the bytes of every board; a new board is one row in `board_streams.STREAMS`."""

from __future__ import annotations

import random

import numpy as np
import pytest
from board_streams import STREAMS, BoardStream
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.blocks import LinkError, RawBlock
from firmware_bridge.protocols import DECODERS, open_decoder

GOLDEN = [
    # The examples of the published layouts: name, options, bytes, counts, lead-off.
    ("hpi3", {}, "0AFA140002 7B00D3FF 00341200 78560400 440E 0F624850 0000 000B", [[123]], False),
    ("hpi3", {}, "0AFA140002 00000000 00341200 78560400 440E 00620050 0001 000B", [[0]], True),
    ("hpi4", {}, "0AFA140002 7B00D3FF 00341200 78560400 440E 0F624850 7800 000B", [[123]], False),
    ("hpi4", {}, "0AFA140002 00000000 00341200 78560400 440E 00620050 7810 000B", [[0]], True),
    ("hpi5", {}, "0AFA160002 803D0A00 00F8FFFF 00 78560400 00341200 440E 62480F 000B", [[10486 * 64]], None),
    (
        "hpi5b",
        {},
        "0AFA320003 00000000 00190000 00E7FFFF 00FA0000 803D0A00 000CFEFF 800C0000 00000000"
        "0A000000 0B000000 0C000000 0D000000 480F 000B",
        [[code * 64] for code in (0, 100, -100, 1000, 10486, -2000, 50, 0)],
        None,
    ),
    ("ads1292r", {}, "0AFA090002 7B00D3FF 00004800 00 000B", [[123]], None),
    ("ads1293", {}, "0AFA0C0002 00100000 00F0FFFF 39300000 000B", [[4096, -4096, 12345]], None),
    ("max30003", {}, "0AFA0C0002 01008F02 40030000 48000000 000B", [[2621]], None),
    ("max30003", {}, "0AFA0C0002 03000BFE 40030000 48000000 000B", [[-2001]], None),
    ("max30001", {}, "0AFA0C0002 F6280000 48F4FFFF 00000000 000B", [[10486]], None),
    (
        "cyton",
        {},
        "A02A 00AEC3 FF513D 000000 000000 000000 000000 000000 000000 000000002000 C0",
        [[44739, -44739, 0, 0, 0, 0, 0, 0]],
        None,
    ),
    ("bitalino", {}, "00985F", [[512]], None),
    ("bitalino", {}, "58029858", [[512, 600]], None),
    ("bitalino", {}, "00AF58029850", [[512, 600, 700]], None),
    ("bitalino", {}, "D014AF58029850", [[512, 600, 700, 333]], None),
    ("bitalino", {}, "C0DF14AF5802985D", [[512, 600, 700, 333, 1008]], None),
    ("bitalino", {}, "C1DF14AF58029853", [[512, 600, 700, 333, 1008, 16]], None),
    ("chords", {}, "C77C2A 0200 0212 01F2 0000 03FF 01FF 01", [[512, 530, 498, 0, 1023, 511]], None),
    ("chords", {}, "C77CC7 00C7 007C 0000 0000 0000 0000 01", [[0xC7, 0x7C, 0, 0, 0, 0]], None),
    ("chords", {"n_channels": 6}, "C77CC7 00C7 007C 0000 0000 0000 0000 01", [[0xC7, 0x7C, 0, 0, 0, 0]], None),
    ("ad8232", {}, "3531320D0A", [[512]], False),
    ("ad8232", {}, "210D0A", [], True),
    ("eifwd", {}, "2D302E31322C3531320D0A", [[-0.12, 512]], None),
    ("olimex", {}, "A55A022A 0200 0212 01F2 0000 03FF 01FF 01", [[512, 530, 498, 0, 1023, 511]], None),
    ("spiker", {}, "8400", [[512]], None),
    ("spiker", {}, "8400022C", [[512, 300]], None),
]

boards = pytest.mark.parametrize("stream", STREAMS, ids=str)


def decode(name, pieces, **options):
    """Everything that comes of the pieces, the end included, and the counters."""
    decoder = open_decoder(name, **options)
    out = [item for piece in pieces for item in decoder.feed(piece, 0.0)]
    return out + decoder.flush(), decoder.stats()


def samples(out):
    """Every sample as (number, counts, lead_off), and what else is told; where blocks are cut, does not show."""
    found = []
    for item in out:
        if not isinstance(item, RawBlock):
            found.append(item)
            continue
        if item.lost_before or not len(item.counts):
            found.append(("lost", item.first_sample, item.lost_before, len(item.counts) == 0, item.lead_off))
        found += [(item.first_sample + i, row, item.lead_off) for i, row in enumerate(item.counts.tolist())]
    return found


def counts(out):
    """The counts of all blocks, ``(n, n_leads)``."""
    found = [item.counts for item in out if isinstance(item, RawBlock) and len(item.counts)]
    return np.concatenate(found) if found else np.zeros((0, 1))


def lost(out):
    return sum(item.lost_before for item in out if isinstance(item, RawBlock))


def sent(stream: BoardStream, n_frames: int, first: int = 0):
    """The counts of those frames."""
    k = stream.samples_per_frame
    return stream.rows(n_frames * k, first * k) / stream.divisor


def damaged(frames, kind, share, seed):
    """The bytes of the frames with a share of them dropped, or with one bit flipped each."""
    chance = random.Random(seed)
    out = bytearray()
    for byte in b"".join(frames):
        if chance.random() >= share:
            out.append(byte)
        elif kind == "flip":
            out.append(byte ^ 1 << chance.randrange(8))
    return bytes(out)


def cut(data, places):
    places = sorted(min(place, len(data)) for place in places)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.mark.parametrize(("name", "options", "hex_bytes", "expected", "lead_off"), GOLDEN)
def test_the_published_examples(name, options, hex_bytes, expected, lead_off):
    out, stats = decode(name, [bytes.fromhex(hex_bytes)], **options)
    assert counts(out).tolist() == expected
    assert {item.lead_off for item in out} == {lead_off}
    assert (stats.bytes_skipped, stats.frames_ok, stats.samples_lost) == (0, 1, 0)


def test_every_decoder_is_tried():
    assert {stream.name for stream in STREAMS} == set(DECODERS)
    assert {name for name, *_ in GOLDEN} | {"edge"} == set(DECODERS)


@boards
def test_a_clean_stream(stream):
    n = 300
    out, stats = decode(stream.name, [b"".join(stream.frames(n))], **stream.options)
    assert np.array_equal(counts(out), sent(stream, n))
    assert [item.first_sample for item in out] == np.cumsum([0, *(len(item.counts) for item in out[:-1])]).tolist()
    assert all(not item.counts.flags.writeable and item.lost_before == 0 for item in out)
    assert counts(out).dtype == (np.float64 if stream.name == "eifwd" else np.int32)
    assert (stats.bytes_skipped, stats.frame_errors, stats.crc_errors) == (0, 0, 0)
    assert (stats.samples_received, stats.samples_lost) == (len(sent(stream, n)), 0)


@boards
@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=80),
    st.sampled_from(["drop", "flip"]),
    st.sampled_from([0.0, 0.01, 0.1]),
    st.integers(0, 1000),
    st.lists(st.integers(0, 2000), max_size=20),
)
def test_any_split_gives_the_same_samples(stream, noise, kind, share, seed, places):
    data = noise + damaged(stream.frames(40), kind, share, seed) + noise
    whole, pieces = open_decoder(stream.name, **stream.options), open_decoder(stream.name, **stream.options)
    expected = whole.feed(data, 0.0)
    got = [item for piece in cut(data, places) for item in pieces.feed(piece, 0.0)]
    assert samples(got) == samples(expected)
    assert pieces.stats() == whole.stats()
    assert samples(pieces.flush()) == samples(whole.flush())
    assert pieces.stats() == whole.stats()


@boards
def test_one_byte_at_a_time(stream):
    data = b"noise \x0a\xa0\xc7" + damaged(stream.frames(30), "drop", 0.01, 3)
    expected, stats = decode(stream.name, [data], **stream.options)
    got, same_stats = decode(stream.name, [bytes([byte]) for byte in data], **stream.options)
    assert samples(got) == samples(expected)
    assert same_stats == stats


@boards
@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.binary(max_size=2000), max_size=6))
def test_any_bytes_are_taken_and_few_are_kept(stream, pieces):
    decoder = open_decoder(stream.name, **stream.options)
    for piece in pieces:
        decoder.feed(piece, 0.0)
        assert len(decoder.pending) <= 2100
    decoder.flush()
    stats = decoder.stats()
    assert stats.bytes_received == sum(map(len, pieces))
    assert stats.bytes_skipped <= stats.bytes_received


@boards
def test_a_flood_of_what_looks_like_a_beginning_is_not_kept(stream):
    frame = stream.frames(1)[0]
    for flood in (frame[:1], frame[:2], frame[:-1], b"\xff\xff\x01\x01\x80\xff", b"0"):
        decoder = open_decoder(stream.name, **stream.options)
        for _ in range(50):
            decoder.feed(flood * 500, 0.0)
            assert len(decoder.pending) <= 2100


# Derandomised: where four bits of checksum are all there is, chance alone sometimes begins a wrong chain.
@boards
@settings(derandomize=True, max_examples=60, deadline=None)
@given(garbage=st.binary(max_size=600))
def test_behind_any_garbage_the_stream_is_found_again(stream, garbage):
    n = 60
    ending = b"\n" if stream.name in ("ad8232", "eifwd") else b""
    out, _ = decode(stream.name, [b"".join(stream.frames(50)), garbage + ending, b"".join(stream.frames(n, 50))])
    with_checksum = stream.name in ("edge", "bitalino")
    n_found = (n - 2 if with_checksum else n - 20) * stream.samples_per_frame
    assert np.array_equal(counts(out)[-n_found:], sent(stream, n, 50)[-n_found:])


@boards
def test_garbage_before_everything_is_skipped(stream):
    n = 60
    banner = b"\x00\xf3Initiliziation is done\x0d\x0a"
    out, stats = decode(stream.name, [banner, b"".join(stream.frames(n))], **stream.options)
    n_found = (n - 1 if stream.name == "edge" else n) * stream.samples_per_frame  # a frame of its own ends the noise
    assert np.array_equal(counts(out)[-n_found:], sent(stream, n)[-n_found:])
    assert len(counts(out)) == n_found
    assert lost(out) == 0
    assert stats.bytes_skipped >= len(banner) - 2


@boards
@pytest.mark.parametrize("kind", ["drop", "flip"])
@pytest.mark.parametrize("seed", range(3))
def test_one_percent_of_damage_costs_the_damaged_frames_and_few_others(stream, kind, seed):
    n = 2000 if stream.samples_per_frame == 1 else 300
    frames = stream.frames(n)
    clean = [tuple(row) for row in sent(stream, n).tolist()]
    share_whole = 0.99 ** (len(b"".join(frames)) / n)  # of the frames
    out, stats = decode(stream.name, [damaged(frames, kind, 0.01, seed)], **stream.options)
    got = [tuple(row) for row in counts(out).tolist()]
    known = set(clean)
    n_true = sum(row in known for row in got)
    assert n_true >= 0.85 * share_whole * len(clean)
    if stream.name not in ("ad8232", "eifwd") and not (stream.name == "spiker" and kind == "drop"):
        n_false_allowed = (1 - share_whole) * len(clean) if kind == "flip" else 0.02 * len(clean)
        assert len(got) - n_true <= n_false_allowed + 5
    if stream.modulo == 256:  # a damaged counter is no loss of a whole turn
        assert abs(stats.samples_received + stats.samples_lost - len(clean)) <= 10  # at either end nobody knows
    elif stream.modulo is None:
        assert stats.samples_lost == 0


@boards
@pytest.mark.parametrize("n_gone", [1, 2, 7, 14])
def test_lost_frames_are_counted_where_frames_are(stream, n_gone):
    frames = stream.frames(200)
    del frames[100 : 100 + n_gone]
    out, stats = decode(stream.name, [b"".join(frames)], **stream.options)
    is_counted = stream.modulo is not None
    k = stream.samples_per_frame
    assert lost(out) == stats.samples_lost == (n_gone * k if is_counted else 0)
    if is_counted:
        (behind,) = [item for item in out if item.lost_before]
        assert behind.first_sample == (100 + n_gone) * k
        assert np.array_equal(behind.counts[0], sent(stream, 200)[(100 + n_gone) * k])


@pytest.mark.parametrize(("name", "options"), [("cyton", {"n_channels": 3}), ("hpi3", {"columns": (1,)})])
def test_an_option_a_decoder_does_not_know(name, options):
    with pytest.raises(LinkError, match=f"the decoder of {name} takes no {next(iter(options))}"):
        open_decoder(name, **options)


@pytest.mark.parametrize(("name", "n_channels"), [("bitalino", 7), ("chords", 17), ("spiker", 0)])
def test_a_number_of_channels_that_cannot_be(name, n_channels):
    with pytest.raises(ValueError, match=f"channels, not {n_channels}"):
        open_decoder(name, n_channels=n_channels)
