"""Records that grow: what is there reads at any moment, and after any end."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wfdb_oracle import rows, signal

from edge_ecg.errors import DataError
from edge_ecg.io import Annotations, RecordHeader, SignalSpec, read_annotations, read_header, read_record
from edge_ecg.io.append import RecordAppender, is_growing, mend_record

START = datetime(2026, 1, 31, 23, 59, 58, 250_000)
COUNTS = np.stack([np.arange(3000) % 2000 - 1000, np.arange(3000) % 77 - 32768], axis=1).astype(np.int16)
MARKS = [
    (5, "N", 0, 1, 93, ""),
    (9, "~", -1, 0, 0, "lead off"),
    (1500, "V", 1, 1, 50, ""),
    (1200, "+", 0, 0, 71, "(AFIB"),
    (1502, '"', 0, 0, 71, "gap of 7 samples"),
    (2999, "F", 0, 1, 100, ""),
]
IN_ORDER = sorted(MARKS, key=lambda mark: mark[0])


def header(stem: Path) -> RecordHeader:
    leads = [
        SignalSpec(f"{stem.name}.dat", "16", gain_per_mv=g, baseline=b, adc_bits=16, description=d)
        for g, b, d in ((1000, 0, "I"), (500, -40000, "II"))
    ]
    return RecordHeader(stem.name, 249.97, None, tuple(leads), START, ("a note", "another"))


def grown(stem: Path, upto: int = len(COUNTS), marks=MARKS) -> RecordAppender:
    """A record that is not finished."""
    record = RecordAppender(stem, header(stem), COUNTS[:250])
    for at in range(250, upto, 125):
        record.append(COUNTS[at : min(at + 125, upto)])
    for mark in marks:
        record.annotate(*mark)
    return record


def abandoned(record: RecordAppender) -> None:
    """As after a kill: the files as they are, nobody holds them."""
    record._close()


def as_rows(found: Annotations) -> list[tuple]:
    fields = (found.sample.tolist(), found.symbol, found.subtype.tolist(), found.chan.tolist(), found.num.tolist())
    return list(zip(*fields, found.aux, strict=True))


def test_a_record_reads_while_it_grows(tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    record = grown(stem, 1000)
    for n in (1000, 1125):
        assert np.array_equal(signal(stem).d_signal, COUNTS[:n])
        mine = read_record(stem)
        assert np.array_equal(mine.counts, COUNTS[:n])
        assert (mine.problem, mine.header.base_datetime, mine.header.fs_hz) == (None, START, 249.97)
        assert rows(stem) == as_rows(read_annotations(stem, "edge")) == IN_ORDER
        assert read_annotations(stem, "edge").problem is None
        if n == 1000:
            record.append(COUNTS[1000:1125])
    record.finish()


def test_a_finished_record_says_all(tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    record = grown(stem)
    record.finish()
    record.finish()
    theirs, mine = signal(stem), read_record(stem)
    assert np.array_equal(theirs.d_signal, COUNTS)
    assert (theirs.sig_len, theirs.base_datetime, theirs.fs) == (3000, START, 249.97)
    assert (theirs.sig_name, theirs.units, theirs.adc_gain, theirs.baseline) == (
        ["I", "II"],
        ["mV"] * 2,
        [1000, 500],
        [0, -40000],
    )
    assert theirs.comments == ["a note", "another"]
    assert theirs.init_value == COUNTS[0].tolist()
    assert [told % 65536 for told in theirs.checksum] == [held % 65536 for held in theirs.calc_checksum()]
    assert (mine.problem, mine.header.base_datetime, mine.header.n_samples) == (None, START, 3000)
    assert rows(stem) == as_rows(read_annotations(stem, "edge")) == IN_ORDER


def test_a_record_is_not_begun_twice(tmp_path: Path) -> None:
    grown(tmp_path / "r_1", 500).finish()
    with pytest.raises(FileExistsError):
        grown(tmp_path / "r_1", 500)
    assert len(read_record(tmp_path / "r_1").counts) == 500


def test_what_cannot_be_begun_leaves_nothing(tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    (tmp_path / "r_1.hea.part").mkdir()  # in the way of the header
    with pytest.raises(OSError, match=r"r_1\.hea\.part"):
        grown(stem)
    assert [file.name for file in tmp_path.iterdir()] == ["r_1.hea.part"]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a process that was killed."""
    stem = tmp_path_factory.mktemp("left") / "r_1"
    abandoned(grown(stem))
    return stem


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_cut_at_any_byte_it_reads_and_can_be_mended(left: Path, tmp_path_factory, data: st.DataObject) -> None:
    """What a file system may leave after a power cut: any front part of either file."""
    stem = tmp_path_factory.mktemp("cut") / "r_1"
    sizes = {}
    for suffix in (".hea", ".dat", ".edge"):
        held = left.with_suffix(suffix).read_bytes()
        # The header is replaced as a whole and synced; at least one sample was.
        at = len(held) if suffix == ".hea" else data.draw(st.integers(4 if suffix == ".dat" else 0, len(held)), suffix)
        stem.with_suffix(suffix).write_bytes(held[:at])
        sizes[suffix] = at
    n = sizes[".dat"] // 4

    assert np.array_equal(signal(stem).d_signal, COUNTS[:n])
    mine = read_record(stem)
    assert np.array_equal(mine.counts, COUNTS[:n])
    assert mine.header.base_datetime == START
    try:
        found = as_rows(read_annotations(stem, "edge"))
    except DataError:  # not one of them left
        found = []
    known = [mark[:2] for mark in IN_ORDER[: len(found)]]
    assert [mark[:2] for mark in found] == known
    assert found[:-1] == IN_ORDER[: len(found)][:-1]  # the last may lack what stood behind it

    assert mend_record(stem)
    kept = [mark for mark in found if mark[0] < n]
    assert rows(stem) == as_rows(read_annotations(stem, "edge")) == kept
    assert (signal(stem).sig_len, signal(stem).base_datetime) == (n, START)
    assert np.array_equal(signal(stem).d_signal, COUNTS[:n])
    again = read_record(stem)
    assert (again.problem, again.header.comments) == (None, ("a note", "another"))
    assert read_annotations(stem, "edge").problem is None
    assert not mend_record(stem)


def test_every_length_of_the_annotations_gives_those_before_it(left: Path, tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    for suffix in (".hea", ".dat", ".edge"):
        shutil.copy(left.with_suffix(suffix), stem.with_suffix(suffix))
    held = left.with_suffix(".edge").read_bytes()
    for at in range(2, len(held)):
        stem.with_suffix(".edge").write_bytes(held[:at])
        found = as_rows(read_annotations(stem, "edge")) if at > 7 else []
        assert [mark[:2] for mark in found] == [mark[:2] for mark in IN_ORDER[: len(found)]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.sampled_from("NV~+"), st.integers(0, 100)), max_size=25))
def test_late_annotations_find_their_place_at_once(tmp_path_factory, marks) -> None:
    stem = tmp_path_factory.mktemp("late") / "r_1"
    record = grown(stem, 250, [])
    marks = [(at, symbol, 0, num % 2, num, "(N" if symbol == "+" else "") for at, symbol, num in marks]
    for k, mark in enumerate(marks, start=1):
        record.annotate(*mark)
        found = read_annotations(stem, "edge")
        assert found.problem is None
        assert as_rows(found) == sorted(marks[:k], key=lambda mark: mark[0])
    if marks:
        assert rows(stem) == as_rows(found)
    abandoned(record)


def test_a_late_annotation_may_make_the_file_shorter(tmp_path: Path) -> None:
    """A step of 1500 takes six bytes more than one of 700 or 800."""
    record = grown(tmp_path / "r_1", 250, [(0, "N"), (1500, "N"), (700, "V")])
    assert [row[:2] for row in rows(tmp_path / "r_1")] == [(0, "N"), (700, "V"), (1500, "N")]
    assert read_annotations(tmp_path / "r_1", "edge").problem is None
    assert (tmp_path / "r_1.edge").stat().st_size == 8
    record.finish()


def test_one_that_is_very_late_finds_its_place_at_the_end(tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    beats = [(at, "N", 0, 0, 0, "") for at in range(10, 2950, 5)]
    record = grown(stem, marks=beats)
    record.annotate(3, "+", aux="(AFIB")
    assert [row[0] for row in rows(stem)].index(3) > 300
    record.finish()
    assert rows(stem) == as_rows(read_annotations(stem, "edge")) == [(3, "+", 0, 0, 0, "(AFIB"), *beats]
    assert read_record(stem).problem is None


def test_a_record_without_a_sample_goes(tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    abandoned(grown(stem, 250))
    stem.with_suffix(".dat").write_bytes(b"\1\2\3")
    assert mend_record(stem)
    assert not list(tmp_path.iterdir())


def test_what_still_grows_is_not_mended(tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    record = grown(stem, 1000, MARKS[:2])
    assert is_growing(stem)
    assert not mend_record(stem)
    record.append(COUNTS[1000:1100])
    record.annotate(1050, "N")
    record.finish()
    assert not is_growing(stem)
    assert len(read_record(stem).counts) == 1100
    assert [mark[:2] for mark in rows(stem)] == [(5, "N"), (9, "~"), (1050, "N")]


def test_the_start_of_an_open_header_is_told(tmp_path: Path) -> None:
    stem = tmp_path / "r_1"
    record = grown(stem, 250)
    assert "# start: 2026-01-31T23:59:58.250000Z" in stem.with_suffix(".hea").read_text()
    assert read_header(stem).base_datetime == START
    record.finish()
    assert "start:" not in stem.with_suffix(".hea").read_text()
