"""Signals: the same counts and millivolts as the reference reader, and honest words on damaged files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_ecg.errors import DataError, UsageError
from edge_ecg.io import read_record, write_record

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"
RANGES = {"212": (-2048, 2047), "16": (-32768, 32767)}

RECORDS = [
    "mitdb/100",
    "mitdb/114",
    "mitdb/208",
    "svdb/801",
    "svdb/894",
    "cudb/cu01",
    "cudb/cu35",
    "nsrdb_2h/16272",
    "nstdb/bw",
    "nstdb/ma",
    "ptbdb/s0010_re",
]


def reference(stem: Path, n_signals: int):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        return wfdb.rdrecord(str(stem), physical=False, channels=list(range(n_signals)))


def assert_same_as_reference(stem: Path) -> None:
    record = read_record(stem)
    theirs = reference(stem, len(record.header.signals))
    assert np.array_equal(record.counts, theirs.d_signal)
    assert np.array_equal(record.samples_mv(), theirs.dac().astype(np.float32), equal_nan=True)
    assert record.header.leads == tuple(theirs.sig_name)
    assert record.header.fs_hz == theirs.fs
    assert record.header.base_datetime == theirs.base_datetime
    assert list(record.header.comments) == theirs.comments


@pytest.mark.parametrize("name", RECORDS)
def test_real_records_read_as_in_the_reference_reader(data_dir, name):
    stem = data_dir / name
    if not stem.with_suffix(".hea").exists():
        pytest.skip(f"{name} is not among the data here")
    assert_same_as_reference(stem)


def test_every_record_of_mitdb_is_whole(data_dir):
    for name in (data_dir / "mitdb" / "RECORDS").read_text().split():
        record = read_record(data_dir / "mitdb" / name)
        assert record.problem is None
        assert record.counts.shape == (650000, 2)


def test_the_excerpt_reads_as_in_the_reference_reader():
    assert read_record(EXCERPT).problem is None
    assert_same_as_reference(EXCERPT)


@settings(max_examples=40)
@given(data=st.data(), fmt=st.sampled_from(["212", "16"]), n=st.integers(1, 30), n_leads=st.integers(1, 4))
def test_what_is_written_is_read_again_here_and_by_the_reference(tmp_path_factory, data, fmt, n, n_leads):
    stem = tmp_path_factory.mktemp("r") / "rec_1"
    low, high = RANGES[fmt]
    counts = data.draw(arrays(np.int32, (n, n_leads), elements=st.integers(low, high)))
    leads = [f"lead {k}" for k in range(n_leads)]
    write_record(stem, counts, 360, leads, 123.5, -7, fmt=fmt, comments=["of a test"])
    record = read_record(stem)
    assert record.problem is None
    assert np.array_equal(record.counts, counts)
    assert record.header.leads == tuple(leads)
    assert record.header.comments == ("of a test",)
    theirs = reference(stem, n_leads)
    assert np.array_equal(theirs.d_signal, counts)
    assert np.array_equal(theirs.dac().astype(np.float32), record.samples_mv(), equal_nan=True)


def test_millivolts_are_counts_less_baseline_over_gain_and_nan_where_invalid(tmp_path):
    write_record(tmp_path / "r", [[1024, 1224], [-2048, 824]], 360, ["I", "II"], 200, 1024)
    record = read_record(tmp_path / "r")
    mv = record.samples_mv()
    assert mv.dtype == np.float32
    np.testing.assert_array_equal(mv, np.array([[0, 1], [np.nan, -1]], np.float32))
    np.testing.assert_array_equal(record.samples_mv([1]), [[1.0], [-1.0]])
    assert not record.counts.flags.writeable


def test_zero_millivolts_lie_at_the_baseline_not_at_the_adc_zero(tmp_path):
    (tmp_path / "r.hea").write_text("r 1 100 2\nr.dat 16 2(10)/uV 16 1000\n")
    (tmp_path / "r.dat").write_bytes(np.array([10, 2010], "<i2").tobytes())
    np.testing.assert_array_equal(read_record(tmp_path / "r").samples_mv(), [[0.0], [1.0]])


@pytest.mark.parametrize(("fmt", "data"), [("61", b"\x01\x02\xff\xfe"), ("80", b"\x00\xff")])
def test_formats_61_and_80(tmp_path, fmt, data):
    (tmp_path / "r.hea").write_text(f"r 1 100 2\nr.dat {fmt} 1 0 0\n")
    (tmp_path / "r.dat").write_bytes(data)
    expected = {"61": [[258], [-2]], "80": [[-128], [127]]}[fmt]
    assert np.array_equal(read_record(tmp_path / "r").counts, expected)


def test_several_files_offset_and_open_length(tmp_path):
    (tmp_path / "r.hea").write_text(
        "r 3 100\na.dat 16+4 1 0 0 0 0 0 A\nb.dat 212 1\na.dat 16+4 1 0 0 0 0 0 C\n"
    )
    (tmp_path / "a.dat").write_bytes(b"skip" + np.array([1, 2, 3, 4], "<i2").tobytes())
    (tmp_path / "b.dat").write_bytes(bytes([0xFF, 0x0F, 0xFE]))
    record = read_record(tmp_path / "r")
    assert record.header.n_samples is None
    assert np.array_equal(record.counts, [[1, -1, 2], [3, 0x0FE, 4]])


def test_a_short_file_gives_what_is_there_and_one_line(tmp_path):
    write_record(tmp_path / "r", np.arange(40).reshape(20, 2), 100, ["I", "II"])
    whole = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(whole[:31])  # 10 pairs and one byte
    record = read_record(tmp_path / "r")
    assert np.array_equal(record.counts, np.arange(20).reshape(10, 2))
    assert record.problem is not None
    for word in ("r.dat", "cut short", "20 samples", "10", "data fetch", "header"):
        assert word in record.problem
    assert "\n" not in record.problem


def test_a_long_file_gives_what_the_header_says_and_one_line(tmp_path):
    write_record(tmp_path / "r", np.arange(20).reshape(10, 2), 100, ["I", "II"], fmt="16")
    with (tmp_path / "r.dat").open("ab") as stream:
        stream.write(b"\0" * 8)
    record = read_record(tmp_path / "r")
    assert record.counts.shape == (10, 2)
    assert record.problem is not None
    assert "longer" in record.problem
    assert "12" in record.problem


def test_a_flipped_byte_is_told_by_the_checksum(tmp_path):
    write_record(tmp_path / "r", np.arange(20).reshape(10, 2), 100, ["I", "II"])
    data = bytearray((tmp_path / "r.dat").read_bytes())
    data[3] ^= 1
    (tmp_path / "r.dat").write_bytes(bytes(data))
    problem = read_record(tmp_path / "r").problem
    assert problem is not None
    assert "checksum" in problem
    assert "II" not in problem
    assert "data fetch" in problem


def test_a_missing_second_file_leaves_its_leads_out(tmp_path):
    (tmp_path / "r.hea").write_text("r 2 100 1\nr.dat 16 1 0 0 5 5 0 i\nr.xyz 16 1 0 0 5 5 0 vx\n")
    (tmp_path / "r.dat").write_bytes(b"\x05\x00")
    record = read_record(tmp_path / "r")
    assert record.header.leads == ("i",)
    assert np.array_equal(record.counts, [[5]])
    assert record.problem is not None
    assert "vx" in record.problem


@pytest.mark.parametrize(
    ("header", "content", "words"),
    [
        ("r 1 100 5\nr.dat 16\n", None, "is not there"),
        ("r 1 100 5\nr.dat 16\n", b"", "holds no sample"),
        ("r 1 100 5\nr.dat 16+900\n", b"abcd", "holds no sample"),
        ("r 1 100 5\nr.dat 310\n", b"abcd", "format 310; read are 16, 61, 80, 212"),
        ("r 2 100 5\nr.dat 16\nr.dat 212\n", b"abcd", "several formats"),
    ],
)
def test_nothing_readable_is_a_data_error(tmp_path, header, content, words):
    (tmp_path / "r.hea").write_text(header)
    if content is not None:
        (tmp_path / "r.dat").write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read_record(tmp_path / "r")
    assert error.value.hint


@settings(max_examples=150)
@given(
    header=st.one_of(
        st.binary(max_size=80),
        st.tuples(
            st.integers(1, 3),
            st.sampled_from(["", "0", "3", "99999999999999"]),
            st.sampled_from(["212", "16", "61", "80", "310", "212+1", "16+999999999999999", "1"]),
            st.sampled_from(["", "200", "0", "1e-300", "-1(999999999999999)/V", "1e300", "1(0)/W"]),
        ).map(lambda t: f"r {t[0]} 360 {t[1]}\n".encode() + f"r.dat {t[2]} {t[3]}\n".encode() * t[0]),
    ),
    content=st.binary(max_size=60),
)
def test_any_bytes_are_a_record_or_a_data_error(tmp_path_factory, header, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "r.hea").write_bytes(header)
    (folder / "r.dat").write_bytes(content)
    try:
        record = read_record(folder / "r")
    except DataError:
        return
    assert record.samples_mv().shape == record.counts.shape
    assert len(record.counts) > 0


def test_leads_by_name_number_or_habit(tmp_path):
    def record_of(*leads: str):
        write_record(tmp_path / "r", np.zeros((2, len(leads)), int), 100, leads)
        return read_record(tmp_path / "r")

    assert record_of("V1", "ii", "MLII").lead_index() == 2
    assert record_of("v1", "ii").lead_index(None) == 1
    record = record_of("ECG1", "ECG2")
    assert [record.lead_index(name) for name in (None, "ecg2", "1", 0)] == [0, 1, 1, 0]
    for unknown in ("V5", "2", 2, -1, "²"):
        with pytest.raises(UsageError, match="0 ECG1, 1 ECG2"):
            record.lead_index(unknown)


@pytest.mark.parametrize(
    ("counts", "leads", "fmt", "words"),
    [
        ([[2048]], ["I"], "212", "212 holds"),
        ([[40000]], ["I"], "16", "16 holds"),
        ([[1.5]], ["I"], "16", "whole counts"),
        ([[1, 2]], ["I"], "16", "whole counts"),
        ([[1]], ["I"], "80", "cannot write format 80"),
        ([[1]], ["I\nx"], "16", "spans lines"),
    ],
)
def test_what_a_format_cannot_hold_is_not_written(tmp_path, counts, leads, fmt, words):
    with pytest.raises(DataError, match=words):
        write_record(tmp_path / "r", counts, 100, leads, fmt=fmt)
    assert not list(tmp_path.iterdir())
