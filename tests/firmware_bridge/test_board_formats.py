"""What is particular to one kind of board: its markers, its damage, its ways to tell what it is."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from board_streams import STREAMS, bitalino, chords, cyton, hpi, hpi5b, olimex, openview, spiker
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.blocks import RawBlock
from firmware_bridge.messages import Error
from firmware_bridge.protocols import open_decoder
from firmware_bridge.protocols.cyton import CytonDecoder

OPENVIEW = [stream for stream in STREAMS if stream.frames(1)[0][:2] == b"\x0a\xfa"]


def decode(name, data, **options):
    decoder = open_decoder(name, **options)
    out = decoder.feed(data, 0.0) + decoder.flush()
    return out, decoder.stats()


def rows(out):
    return [row for item in out if isinstance(item, RawBlock) for row in item.counts.tolist()]


def lost(out):
    return [item.lost_before for item in out if isinstance(item, RawBlock)]


def codes(n, n_leads=1, first=0):
    return [[(first + i) % 1000 + 16 * lead for lead in range(n_leads)] for i in range(n)]


# ProtoCentral


@pytest.mark.parametrize("stream", OPENVIEW, ids=str)
def test_a_newline_before_the_first_frame_costs_no_frame(stream):
    data = b"Initiliziation is done\r\n" + b"".join(stream.frames(4))
    for prefix in (data, b"\x0a" + b"".join(stream.frames(4)), b"\x0a\xfa\x0a" + b"".join(stream.frames(4))):
        out, _ = decode(stream.name, prefix)
        assert rows(out) == stream.rows(4 * stream.samples_per_frame).tolist()


@pytest.mark.parametrize("stream", OPENVIEW, ids=str)
@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_footer_of_one_byte_is_taken_too(stream, n):
    packets = b"".join(stream.frames(n)).replace(b"\x00\x0b\x0a\xfa", b"\x0b\x0a\xfa")[:-2] + b"\x0b"
    out, stats = decode(stream.name, packets)
    assert rows(out) == stream.rows(n * stream.samples_per_frame).tolist()
    assert stats.bytes_skipped == 0


def test_a_frame_that_lost_a_byte_is_not_taken_for_one_with_the_short_footer():
    frames = [hpi(k, [[k]]) for k in range(40)]
    for k in range(5, 40, 5):
        frames[k] = frames[k][:12] + frames[k][13:]
    out, stats = decode("hpi3", b"".join(frames))
    assert rows(out) == [[k] for k in range(40) if k % 5 or not k]
    assert stats.frame_errors == 7


def test_frames_within_frames_do_not_mislead():
    """Payloads full of what frames are made of, and a byte missing now and then."""
    inner = openview(2, b"\x0a\xfa\x0a\xfa\x14\x00\x02\x00\x0b")[:12]
    frames = [openview(2, struct.pack("<h", k) + inner + b"\x0a\xfa\x14\x00\x02\x0b") for k in range(60)]
    assert len(frames[0]) == 27
    frames[20] = frames[20][1:]
    frames[40] = frames[40][:-1]
    out, _ = decode("hpi4", b"".join(frames))
    assert [row[0] for row in rows(out)] == [k for k in range(60) if k not in (20, 40)]


@pytest.mark.parametrize("bits", range(0x20))
def test_lead_off_of_the_two_healthypis(bits):
    frame = bytearray(hpi(0, [[5]]))
    frame[24] = bits
    for name, off in (("hpi3", bits & 1 != 0), ("hpi4", bits != 0)):
        (block,) = decode(name, bytes(frame))[0]
        assert block.lead_off is off


def test_a_block_ends_where_the_electrodes_change():
    frames = [bytearray(hpi(k, [[k]])) for k in range(30)]
    for frame in frames[10:17]:
        frame[24] = 1
    out, _ = decode("hpi3", b"".join(map(bytes, frames)))
    edges = [(block.first_sample, block.lead_off) for block in out]
    assert [edge for i, edge in enumerate(edges) if not i or edge[1] != edges[i - 1][1]] == [
        (0, False),
        (10, True),
        (17, False),
    ]


def test_ppg_packets_are_no_garbage():
    out, stats = decode("hpi5b", b"".join(hpi5b(k, codes(8, first=8 * k)) for k in range(20)))
    assert rows(out) == codes(160)
    assert (stats.frames_ok, stats.bytes_skipped, stats.frame_errors) == (30, 0, 0)


def test_the_boards_of_one_length_read_other_numbers():
    frame = bytes.fromhex("0AFA0C0002 01008F02 40030000 48000000 000B")
    assert rows(decode("max30003", frame)[0]) == [[2621]]
    assert rows(decode("max30001", frame)[0]) == [[0x028F0001]]
    assert rows(decode("ads1293", frame)[0]) == [[0x028F0001, 0x340, 0x48]]


# Counters


def counted(name, at):
    """Frames with those counters, which each carry their place in the stream."""
    frame = {"cyton": lambda k, i: cyton(k, [[i] * 8]), "chords": lambda k, i: chords(k, [[i] * 4])}[name]
    return b"".join(frame(k, i) for i, k in enumerate(at))


@pytest.mark.parametrize("name", ["cyton", "chords"])
@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ([*range(250, 256), *range(10)], 0),
        ([*range(10), *range(11, 20)], 1),
        ([*range(10), *range(200, 256), *range(5)], 190),
        ([*range(10), 74, *range(11, 20)], 0),  # a bit of one counter flipped
        ([*range(10), 8, *range(11, 20)], 0),
        ([*range(10), 11, *range(11, 20)], 0),
        ([*range(10), 74, *range(12, 20)], 1),  # a damaged one beside a lost one
        ([*range(10), 9, *range(10, 20)], 0),  # sent twice
        ([*range(10), 12], 2),  # nothing follows that could tell more
        ([*range(10), 12, 13], 2),
        ([10, 12], 1),
        ([10, 13, 14, 15], 2),
    ],
)
def test_gaps_in_an_eight_bit_counter(name, at, expected):
    out, stats = decode(name, counted(name, at))
    assert [row[0] for row in rows(out)] == list(range(len(at)))
    assert sum(lost(out)) == stats.samples_lost == expected
    end = 0
    for block in out:
        assert block.first_sample == end + block.lost_before
        end = block.first_sample + len(block.counts)


def test_the_reset_mark_of_an_olimex_is_neither_samples_nor_a_loss():
    def mark(n):
        return (struct.pack(">4B6HB", 0xA5, 0x5A, 2, 0, *[512] * 6, 2)) * n

    def normal(n):
        return b"".join(olimex(k, [[k] * 6]) for k in range(n))

    out, stats = decode("olimex", mark(125) + normal(40) + mark(125) + normal(20))
    assert [row[0] for row in rows(out)] == [*range(40), *range(20)]
    assert (sum(lost(out)), stats.bytes_skipped, stats.frames_ok) == (0, 0, 310)


def test_a_torn_olimex_frame_is_refused_by_its_values():
    frames = [olimex(k, [[512, 530, 498, 0, 1023, 511]]) for k in range(10)]
    torn = frames[5][:7] + frames[5][8:] + b"\xa5"
    assert len(torn) == 17
    out, _ = decode("olimex", b"".join([*frames[:5], torn, *frames[6:]]))
    assert rows(out) == [[512, 530, 498, 0, 1023, 511]] * 9
    assert sum(lost(out)) == 1


@pytest.mark.parametrize("footer", range(256))
def test_the_footers_of_a_cyton(footer):
    frames = b"".join(cyton(k, [[k] * 8])[:-1] + bytes([footer]) for k in range(3))
    assert len(rows(decode("cyton", frames)[0])) == (3 if 0xC0 <= footer <= 0xC6 else 0)


def test_a_cyton_on_its_own_uart_begins_with_another_byte():
    data = b"".join(b"\x41" + cyton(k, [[k] * 8])[1:] for k in range(5))
    assert rows(decode("cyton", data)[0]) == []
    decoder = CytonDecoder(direct=True)
    assert rows(decoder.feed(data, 0.0) + decoder.flush()) == [[k] * 8 for k in range(5)]


def test_a_cyton_whose_samples_look_like_frames():
    frames = [cyton(k, [[int.from_bytes(b"\xa0\xc0\xa0", "big", signed=True)] * 8]) for k in range(50)]
    out, _ = decode("cyton", b"".join(frames[:20]) + frames[20][5:] + b"".join(frames[21:]))
    assert len(rows(out)) == 49
    assert sum(lost(out)) == 1


# Boards that say how many channels they have only by their bytes


@settings(deadline=None)
@given(n_channels=st.integers(1, 16), n=st.integers(1, 30), first=st.integers(0, 255))
def test_the_channels_of_a_chords_board(n_channels, n, first):
    sent = codes(n, n_channels)
    data = b"".join(chords(first + k, [row]) for k, row in enumerate(sent))
    assert rows(decode("chords", data)[0]) == sent
    assert rows(decode("chords", data, n_channels=n_channels)[0]) == sent


@settings(deadline=None)
@given(n_channels=st.integers(1, 10), n=st.integers(1, 60))
def test_the_channels_of_a_spikershield(n_channels, n):
    sent = codes(n, n_channels)
    assert rows(decode("spiker", b"".join(spiker(0, [row]) for row in sent))[0]) == sent


@settings(deadline=None)
@given(n_channels=st.integers(1, 6), n=st.integers(4, 60), first=st.integers(0, 15))
def test_the_channels_of_a_bitalino(n_channels, n, first):
    sent = [[(16 * (i + lead + 1)) % 1008 + 16 for lead in range(n_channels)] for i in range(n)]
    data = b"".join(bitalino(first + k, [row]) for k, row in enumerate(sent))
    assert rows(decode("bitalino", data)[0]) == sent
    assert rows(decode("bitalino", data, n_channels=n_channels)[0]) == sent


def test_sync_bytes_in_every_chords_sample():
    sent = [[0xC77C, 0x7CC7, 0x01C7, 0x7C01, 0xC701, 0x01C7]] * 40
    frames = [chords(0xC0 + k, [row]) for k, row in enumerate(sent)]
    assert rows(decode("chords", b"".join(frames))[0]) == sent
    out, _ = decode("chords", frames[0][7:] + b"".join(frames[1:20]) + frames[20][:-3] + b"".join(frames[21:]))
    assert rows(out) == sent[2:]
    assert sum(lost(out)) == 1


# BITalino


@pytest.mark.parametrize("n_channels", range(1, 7))
def test_a_bad_checksum_is_one_lost_frame(n_channels):
    sent = [[16 * (k % 60 + 1)] * n_channels for k in range(60)]
    frames = [bitalino(k, [row]) for k, row in enumerate(sent)]
    for bad in (20, 41):
        frames[bad] = bytes([frames[bad][0] ^ 0x10]) + frames[bad][1:]
    out, stats = decode("bitalino", b"".join(frames), n_channels=n_channels)
    assert rows(out) == [row for k, row in enumerate(sent) if k not in (20, 41)]
    assert (sum(lost(out)), stats.crc_errors, stats.frame_errors) == (2, 2, 0)
    assert stats.bytes_skipped == 2 * len(frames[0])


def test_one_frame_out_of_noise_is_chance():
    noise = bytes(np.random.default_rng(1).integers(0, 256, 200, np.uint8))
    assert rows(decode("bitalino", noise)[0]) == []


# SpikerShield


def test_texts_of_a_spikershield_are_no_samples():
    text = b"\xff\xff\x01\x01\x80\xffHWT:HUMANSB;\xff\xff\x01\x01\x81\xff"
    sent = codes(60, 2)
    frames = [spiker(0, [row]) for row in sent]
    data = text + b"".join(frames[:30]) + frames[30][:1] + text + frames[30][1:] + b"".join(frames[31:]) + text
    for step in (1, 7, len(data)):
        decoder = open_decoder("spiker")
        out = [item for i in range(0, len(data), step) for item in decoder.feed(data[i : i + step], 0.0)]
        assert rows(out + decoder.flush()) == sent
        assert decoder.stats().bytes_received == len(data)
        assert decoder.stats().bytes_skipped == 0


def test_a_text_without_an_end_does_not_swallow_the_samples():
    sent = codes(400, 1)
    out, _ = decode("spiker", b"\xff\xff\x01\x01\x80\xff" + b"".join(spiker(0, [row]) for row in sent))
    assert rows(out)[-300:] == sent[-300:]


# Lines


@pytest.mark.parametrize(
    ("name", "options", "text", "expected"),
    [
        ("ad8232", {}, b"512\n513\n", [[512], [513]]),
        ("ad8232", {}, b"  512 \r\n\t513\r\n", [[512], [513]]),
        ("ad8232", {}, b"4095\r\n0\r\n", [[4095], [0]]),
        ("ad8232", {}, b"ecg:512\r\necg:-3\r\n", [[512], [-3]]),
        ("ad8232", {}, b"ECG: 512\r\nECG: 513\r\n", [[512], [513]]),
        ("ad8232", {}, b"512,7\r\n513,8\r\n", [[512, 7], [513, 8]]),
        ("ad8232", {}, b"512,36.5\r\n513,36.6\r\n", [[512], [513]]),
        ("ad8232", {}, b"2,7\r\n512\r\n513\r\n514\r\n", [[512], [513], [514]]),  # the first line is a part of one
        ("ad8232", {}, b"AD8232 ready\r\n\r\n512\r\n513\r\n", [[512], [513]]),
        ("ad8232", {}, b"512\r\n51", [[512]]),
        ("ad8232", {}, b"512\r\n5\x002\r\n99999999999\r\n514\r\n", [[512], [514]]),
        ("ad8232", {"columns": (1,)}, b"1000,512\r\n1004,513\r\n", [[512], [513]]),
        ("eifwd", {}, b"-0.12,512\n1e-3\t7\n.5 8\n", [[-0.12, 512], [0.001, 7], [0.5, 8]]),
        ("eifwd", {}, b"x:1.5,y:2\nx:2.5,y:3\n", [[1.5, 2], [2.5, 3]]),
        ("eifwd", {}, b"1.5,2\n2.5,4\nnan,3\n1e999,3\n3.5,4\n", [[1.5, 2], [2.5, 4], [3.5, 4]]),
        ("eifwd", {"columns": (1,)}, b"timestamp,measurement\n1606.1,512\n1606.2,513\n", [[512], [513]]),
        ("eifwd", {"columns": (2, 0)}, b"1,2,3\n4,5,6\n", [[3, 1], [6, 4]]),
    ],
)
def test_lines(name, options, text, expected):
    assert rows(decode(name, text, **options)[0]) == expected


def test_a_line_without_electrodes_is_no_sample():
    out, stats = decode("ad8232", b"511\r\n512\r\n!\r\n!\r\n!\r\n513\r\n!\r\n")
    assert [(item.counts.tolist(), item.first_sample, item.lead_off) for item in out] == [
        ([[511], [512]], 0, False),
        ([], 2, True),
        ([[513]], 2, False),
        ([], 3, True),
    ]
    assert (stats.samples_received, stats.frames_ok) == (3, 7)


def test_what_a_sketch_complains_of_is_told():
    out, _ = decode("eifwd", b"1,2\n3,4\nERR: sensor not found\n5,6\n<ERR again\n")
    told = [item for item in out if isinstance(item, Error)]
    assert told == [Error(0, "ERR: sensor not found"), Error(0, "<ERR again")]
    assert rows(out) == [[1, 2], [3, 4], [5, 6]]


def test_columns_that_were_mistaken_are_learned_anew():
    data = b"Version 1 2\nChannels 3 4\n" + b"".join(b"%d\n" % k for k in range(20))
    out, stats = decode("ad8232", data)
    assert rows(out)[2:] == [[k] for k in range(20)]
    assert stats.bytes_skipped == 0


def test_a_line_that_never_ends_is_not_kept():
    decoder = open_decoder("ad8232")
    for _ in range(100):
        assert decoder.feed(b"1" * 1000, 0.0) == []
        assert len(decoder.pending) <= 256
    out = decoder.feed(b"\n512\n513\n", 0.0)
    assert rows(out) == [[512], [513]]
    assert decoder.stats().bytes_skipped == 100_001
