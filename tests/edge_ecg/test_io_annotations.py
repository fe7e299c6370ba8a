"""Annotations: the same as the reference reader's, through a file and back, and whole or told."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.errors import DataError
from edge_ecg.io import BEAT_SYMBOLS, Annotations, read_annotations, write_annotations

EXCERPT = Path(__file__).parents[2] / "edge_ecg" / "excerpts" / "mitdb_223"


def reference(stem: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wfdb

        return wfdb.rdann(str(stem), "atr")


def fields(a: Annotations):
    return [a.sample.tolist(), a.symbol, a.subtype.tolist(), a.chan.tolist(), a.num.tolist(), a.aux]


def assert_same_as_reference(stem: Path) -> None:
    mine, theirs = read_annotations(stem), reference(stem)
    assert mine.problem is None
    notes = tuple(note.rstrip("\0") for note in theirs.aux_note)
    numbers = [list(map(int, x)) for x in (theirs.subtype, theirs.chan, theirs.num)]
    assert fields(mine) == [theirs.sample.tolist(), tuple(theirs.symbol), *numbers, notes]


@pytest.mark.parametrize("name", ["mitdb/100", "mitdb/207", "svdb/801", "cudb/cu01", "nsrdb_2h/16272"])
def test_real_annotations_read_as_in_the_reference_reader(data_dir, name):
    stem = data_dir / name
    if not stem.with_suffix(".atr").exists():
        pytest.skip(f"{name} is not among the data here")
    assert_same_as_reference(stem)


def test_mitdb_has_its_published_number_of_beats(data_dir):
    records = (data_dir / "mitdb" / "RECORDS").read_text().split()
    assert sum(int(read_annotations(data_dir / "mitdb" / name).is_beat.sum()) for name in records) == 109494


def test_notes_end_in_a_zero_as_in_the_files_of_physionet(data_dir: Path, tmp_path: Path) -> None:
    theirs = b"\x12p\x03\xfc(N\x00\x00"  # "+" at 18, a note of three bytes, and one more to be even
    assert (data_dir / "mitdb" / "100.atr").read_bytes().startswith(theirs)
    write_annotations(tmp_path / "ours.atr", Annotations.of([18], ["+"], aux=["(N"]))
    assert theirs in (tmp_path / "ours.atr").read_bytes()
    assert reference(tmp_path / "ours").aux_note == ["(N\0"]


def test_the_excerpt_holds_the_beats_it_is_shipped_for():
    assert_same_as_reference(EXCERPT)
    annotations = read_annotations(EXCERPT)
    counts = Counter(s for s in annotations.symbol if s in BEAT_SYMBOLS)
    assert counts == {"N": 352, "e": 2, "A": 23, "V": 122, "F": 1}
    assert (annotations.sample[0], annotations.symbol[0], annotations.aux[0]) == (0, "+", "(N")


SYMBOL = st.one_of(
    st.sampled_from([*sorted(BEAT_SYMBOLS), "+", "~", "|", "!", "[", "]", '"']), st.just("[15]")
)
ROW = st.tuples(
    st.integers(-(1 << 40), 1 << 40) | st.integers(0, 5000),
    SYMBOL,
    st.integers(-128, 127),
    st.integers(0, 255),
    st.integers(-128, 127),
    st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=254),
)


@settings(max_examples=80)
@given(rows=st.lists(ROW, max_size=12), fs_hz=st.sampled_from([None, 128.0, 360.5]))
def test_what_is_written_is_read_again(tmp_path_factory, rows, fs_hz):
    rows = [row for row in rows if not (row[1] == '"' and row[0] == 0)]
    sample, symbol, subtype, chan, num, aux = (
        (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 6
    )
    written = Annotations.of(sample, symbol, subtype=subtype, chan=chan, num=num, aux=aux, fs_hz=fs_hz)
    stem = tmp_path_factory.mktemp("ann") / "r"
    write_annotations(stem, written)
    again = read_annotations(stem)
    assert again.problem is None
    assert again.fs_hz == fs_hz
    assert fields(again) == fields(written)


def test_the_reference_reader_reads_what_is_written(tmp_path):
    written = Annotations.of(
        [0, 3, 3, 5000, 4999, 2_000_000_000],
        ["+", "N", "V", "~", "A", "N"],
        subtype=[0, 0, -1, 3, 0, 0],
        chan=[0, 1, 1, 0, 0, 0],
        num=[0, 2, 2, -2, 0, 0],
        aux=["(AFIB", "", "even", "", "", "odd"],
    )
    write_annotations(tmp_path / "r", written)
    assert_same_as_reference(tmp_path / "r")


def test_the_file_itself_may_be_named_and_other_annotators_too(tmp_path):
    write_annotations(tmp_path / "r.qrs", Annotations.of([7], ["N"]))
    assert read_annotations(tmp_path / "r.qrs").sample.tolist() == [7]
    assert read_annotations(tmp_path / "r", "qrs").sample.tolist() == [7]
    assert read_annotations(tmp_path / "r.hea", "qrs").sample.tolist() == [7]
    with pytest.raises(DataError, match=r"no annotations .*r\.atr"):
        read_annotations(tmp_path / "r")


def test_a_file_cut_short_gives_what_it_holds_and_one_line(tmp_path):
    whole = EXCERPT.with_suffix(".atr").read_bytes()
    n_whole = len(read_annotations(EXCERPT))
    for n_bytes in range(40, len(whole) - 2, 7):
        (tmp_path / "r.atr").write_bytes(whole[:n_bytes])
        part = read_annotations(tmp_path / "r")
        assert 0 < len(part) <= n_whole
        assert part.problem is not None
        assert "cut short" in part.problem
        assert part.sample.tolist() == read_annotations(EXCERPT).sample[: len(part)].tolist()


def test_bytes_after_the_end_mark_are_told(tmp_path):
    (tmp_path / "r.atr").write_bytes(struct.pack("<HHH", 1 << 10 | 5, 0, 1 << 10 | 5))
    annotations = read_annotations(tmp_path / "r")
    assert len(annotations) == 1
    assert annotations.problem is not None
    assert "2 bytes after" in annotations.problem


@pytest.mark.parametrize("content", [b"", b"\x05", struct.pack("<H", 55 << 10)])
def test_no_annotation_file_is_a_data_error(tmp_path, content):
    (tmp_path / "r.atr").write_bytes(content)
    with pytest.raises(DataError, match=r"r\.atr") as error:
        read_annotations(tmp_path / "r")
    assert error.value.hint


@given(content=st.binary(max_size=200))
def test_any_bytes_are_annotations_or_a_data_error(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("any") / "r.atr"
    file.write_bytes(content)
    try:
        annotations = read_annotations(file)
    except DataError:
        return
    assert len(annotations.sample) == len(annotations.symbol) == len(annotations.aux)


@pytest.mark.parametrize(
    "bad",
    [
        {"symbol": ["?!"]},
        {"symbol": ["[50]"]},
        {"symbol": [""]},
        {"subtype": [200]},
        {"chan": [-1]},
        {"num": [128]},
        {"aux": ["x" * 255]},
    ],
)
def test_what_the_format_cannot_hold_is_not_written(tmp_path, bad):
    with pytest.raises(DataError):
        write_annotations(tmp_path / "r", Annotations.of(**{"sample": [1], "symbol": ["N"], **bad}))
    assert not list(tmp_path.iterdir())


def test_fields_of_one_length():
    with pytest.raises(DataError, match="one length"):
        Annotations.of([1, 2], ["N"])
    assert not Annotations.of([1], ["N"]).sample.flags.writeable
    assert Annotations.of([1, 2], ["N", "+"]).is_beat.tolist() == [True, False]
    assert Annotations.of(np.array([1]), ["N"]).aux == ("",)


def test_reading_needs_numpy_and_the_standard_library_only():
    code = (
        "import sys, edge_ecg.io\n"
        "foreign = {m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(m for m in foreign if not m.startswith('_')))\n"
        "print([m for m in ('urllib.request', 'http.client', 'platformdirs') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(eval(run.stdout.splitlines()[0])) <= {"edge_ecg", "numpy", "sitecustomize"}
    assert run.stdout.splitlines()[1] == "[]"
