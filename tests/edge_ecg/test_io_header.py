"""Headers: what the fields mean, and what a damaged one says."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_ecg.errors import DataError
from edge_ecg.io import parse_header, read_header, record_stem


def one_signal(line: str):
    return parse_header(f"x 1 360 10\n{line}\n", "x.hea").signals[0]


def test_a_full_header_is_read_field_by_field():
    header = parse_header(
        "# before\r\n100 2 360/720(5.5) 650000 8:04:05.25 17/03/1990\r\n"
        "100.dat 212 200 11 1024 995 -22131 0 MLII\r\n\r\n"
        "100.xyz 16+512 2000(-5)/mV 16 0 20 20052 0 lead V 5 \r\n# 69 M 1085 1629 x1\r\n",
        "100.hea",
    )
    assert (header.name, header.fs_hz, header.n_samples) == ("100", 360.0, 650000)
    assert header.base_datetime == datetime(1990, 3, 17, 8, 4, 5, 250000)
    assert header.comments == ("before", "69 M 1085 1629 x1")
    assert header.leads == ("MLII", "lead V 5")
    first, second = header.signals
    assert (first.gain_per_mv, first.calibrated, first.baseline, first.adc_zero) == (200.0, True, 1024, 1024)
    assert first.checksum == -22131 % 65536
    assert (second.fmt, second.byte_offset, second.baseline, second.adc_bits) == ("16", 512, -5, 16)


def test_what_is_left_out_has_wfdbs_defaults():
    header = parse_header("x 1\nx.dat 212\n", "x.hea")
    signal = header.signals[0]
    assert (header.fs_hz, header.n_samples, header.base_datetime) == (250.0, None, None)
    assert (signal.gain_per_mv, signal.calibrated, signal.baseline) == (200.0, False, 0)
    assert (signal.adc_bits, signal.checksum, signal.description, signal.units) == (12, None, "", "mV")
    assert parse_header("x 1 360 0\nx.dat 212\n", "x.hea").n_samples is None


@pytest.mark.parametrize(
    ("field", "gain_per_mv", "calibrated", "baseline", "units"),
    [
        ("200", 200.0, True, 7, "mV"),
        ("200(0)/mV", 200.0, True, 0, "mV"),
        ("200(-3)", 200.0, True, -3, "mV"),
        ("2/uV", 2000.0, True, 7, "uV"),
        ("2/µV", 2000.0, True, 7, "µV"),
        ("200000/V", 200.0, True, 7, "V"),
        ("1e3/mV", 1000.0, True, 7, "mV"),
        ("-200", -200.0, True, 7, "mV"),
        ("0", 200.0, False, 7, "mV"),
        ("5/mmHg", 5.0, False, 7, "mmHg"),
    ],
)
def test_gains_come_out_per_millivolt(field, gain_per_mv, calibrated, baseline, units):
    signal = one_signal(f"x.dat 16 {field} 12 7 0 0 0 I")
    assert signal.gain_per_mv == pytest.approx(gain_per_mv)
    assert (signal.calibrated, signal.baseline, signal.units) == (calibrated, baseline, units)


def test_format_details():
    signal = one_signal("x.dat 212x1:0+24 200")
    assert (signal.fmt, signal.byte_offset) == ("212", 24)
    assert parse_header("x 1 360 5 0:0:0 00/00/0000\nx.dat 16\n", "x").base_datetime is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["x.hea", "empty"]),
        ("# only a comment\n", ["x.hea", "empty"]),
        ("rec/3 2 360 1000\n", ["line 1", "multi-segment"]),
        ("rec\n", ["line 1", "number of signals"]),
        ("rec two 360\n", ["line 1", "number of signals", "'two'"]),
        ("rec 0 360\n", ["line 1", "number of signals"]),
        ("rec 1 fast\nx.dat 16\n", ["line 1", "sampling rate", "'fast'"]),
        ("rec 1 0\nx.dat 16\n", ["line 1", "sampling rate"]),
        ("rec 1 1e999\nx.dat 16\n", ["line 1", "sampling rate"]),
        ("rec 1 360 many\nx.dat 16\n", ["line 1", "number of samples"]),
        ("rec 1 360 -4\nx.dat 16\n", ["line 1", "number of samples"]),
        ("rec 3 360\n#c\nx.dat 16\n", ["line 1", "3 signals", "1 are described"]),
        ("rec 1 360\n\nx.dat sixteen\n", ["line 3", "format"]),
        ("rec 1 360\nx.dat\n", ["line 2", "format"]),
        ("rec 1 360\nx.dat 212x4 200\n", ["line 2", "several samples a frame"]),
        ("rec 1 360\nx.dat 212:3 200\n", ["line 2", "skew"]),
        ("rec 1 360\nx.dat 16 big\n", ["line 2", "gain", "'big'"]),
        ("rec 1 360\nx.dat 16 200 12 zero\n", ["line 2", "ADC zero", "'zero'"]),
        ("rec 1 360\n../../etc/passwd 16\n", ["line 2", "beside the header"]),
        ("rec 1 360\n- 16\n", ["line 2", "beside the header"]),
    ],
)
def test_a_damaged_header_names_file_line_and_next_step(text, words):
    with pytest.raises(DataError) as error:
        parse_header(text, "x.hea")
    for word in ["x.hea", *words]:
        assert word in error.value.message
    assert error.value.hint


def test_the_record_may_be_named_in_any_way(tmp_path):
    (tmp_path / "r1.hea").write_text("r1 1 360\nr1.dat 16\n")
    for name in ("r1", "r1.hea", "r1.dat", "r1.atr"):
        assert read_header(tmp_path / name).name == "r1"
        assert record_stem(tmp_path / name) == tmp_path / "r1"
    assert read_header(str(tmp_path / "r1")).name == "r1"
    assert record_stem("rec.v2") == Path("rec.v2")


def test_a_missing_record_lists_those_there_are(tmp_path):
    for k in range(12):
        (tmp_path / f"r{k:02}.hea").write_text("")
    with pytest.raises(DataError) as error:
        read_header(tmp_path / "100")
    assert "100.hea" in error.value.message
    assert "r00, r01" in error.value.hint
    assert "and 4 more" in error.value.hint
    with pytest.raises(DataError, match="r00"):
        read_header(tmp_path)
    with pytest.raises(DataError, match="no directory"):
        read_header(tmp_path / "nowhere" / "100")
    with pytest.raises(DataError, match=r"[Cc]heck the path"):
        read_header("a\0b")


def test_a_header_in_latin_1_is_read(tmp_path):
    (tmp_path / "r.hea").write_bytes("r 1 360\nr.dat 16\n# Müller\n".encode("latin-1"))
    assert read_header(tmp_path / "r").comments == ("Müller",)


TOKENS = st.sampled_from(
    [
        "x",
        "x.dat",
        "1",
        "2",
        "360",
        "212",
        "16",
        "200(0)/mV",
        "1024",
        "-",
        "1e9",
        "٣",
        "x/2",
        "0",
        "\n",
        "#",
        "9" * 5000,
    ]
)


@given(st.one_of(st.text(), st.lists(TOKENS).map(" ".join)))
def test_any_text_is_a_header_or_a_data_error(text):
    try:
        header = parse_header(text, "x.hea")
    except DataError:
        return
    assert header.signals
    assert header.fs_hz > 0
