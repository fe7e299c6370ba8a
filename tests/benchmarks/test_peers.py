"""What people would use instead: turns, statistics, windows, multiply-adds, the page, a real library in its process."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import peer_page
from benchmarks.peer_job import RULES, _figures
from benchmarks.peer_models import golden_beats, keras_of_bundle
from benchmarks.peer_page import judged, rendered
from benchmarks.peer_peak import multiply_adds, peaks_of
from benchmarks.peer_turns import SELDOM, SLICE, Child, Timed, orders, paired_ratio, slice_size, spread_of, take_turns
from benchmarks.peer_windows import person_windows
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError
from edge_ecg.front import inputs_of_record
from edge_ecg.infer import open_classifier
from edge_ecg.io import read_annotations, read_record
from edge_ecg.manifest import load_bundle
from edge_ecg.scoring.ec57 import COLUMNS, ROWS, Score
from edge_ecg.sources.virtual import EXCERPT


def test_percentiles_are_in_microseconds() -> None:
    spread = spread_of([(1000 * k, 500 * k) for k in range(1, 102)])
    assert (spread.n, spread.p50_us, spread.p95_us, spread.p99_us, spread.max_us) == (101, 51.0, 96.0, 100.0, 101.0)
    assert spread.cpu_p50_us == 25.5
    with pytest.raises(ValueError, match="no times"):
        spread_of([])


def test_each_call_has_each_turn_and_none_always_follows_the_same_other() -> None:
    rounds = list(orders(4, 300, seed=1))
    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert rounds == list(orders(4, 300, seed=1))
    before_the_first = Counter(order[order.index(0) - 1] for order in rounds if order[0] != 0)
    assert set(before_the_first) == {1, 2, 3}
    assert min(before_the_first.values()) > 40


def test_slow_calls_have_few_beats_and_fast_ones_go_through_all_inputs() -> None:
    firsts: dict[str, list[tuple[int, int]]] = {"fast": [], "slow": []}

    def call(name: str, ns: int):
        def run(first: int, n: int) -> list[tuple[int, int]]:
            firsts[name].append((first, n))
            return [(ns, ns)] * n

        return run

    found = take_turns({"fast": call("fast", 50_000), "slow": call("slow", 40_000_000)}, 2 * SELDOM, seed=0)
    assert found["fast"].spread.n == 2 * SELDOM * SLICE
    assert found["slow"].spread.n == 2
    assert firsts["fast"][1:4] == [(0, SLICE), (SLICE, SLICE), (2 * SLICE, SLICE)]
    assert (slice_size(1e-4), slice_size(0.04)) == (SLICE, 1)


def test_a_ratio_is_of_slices_of_the_same_round() -> None:
    spread = spread_of([(1, 1)])
    # The machine was three times slower in one round: it hit both.
    slow, fast = Timed(spread, {0: 10.0, 1: 30.0, 2: 10.0}), Timed(spread, {0: 5.0, 1: 15.0})
    assert paired_ratio(slow, fast) == 2.0


@pytest.mark.parametrize(("network", "millions"), [("baseline", 4.27), ("residual", 4.75), ("deep_residual", 33.65)])
def test_multiply_adds_are_those_of_the_papers_networks(network: str, millions: float) -> None:
    assert multiply_adds(load_bundle(f"mitdb-{network}-int8").model) / 1e6 == pytest.approx(millions, abs=0.01)


def test_what_the_c_program_prints_is_read() -> None:
    peaks = peaks_of("float32\tvfmadd, 256 bits\t5.0e10\nint8\tvpmaddubsw\t1.1e11\n")
    assert peaks["int8"].per_s == 1.1e11
    assert peaks["float32"].instructions == "vfmadd, 256 bits"
    assert peaks_of("") == {}


def test_a_persons_windows_are_those_that_the_network_learned() -> None:
    record = read_record(EXCERPT)
    samples_mv = record.samples_mv([0])[:, 0].astype(np.float64)
    notes, fs_hz = read_annotations(EXCERPT), record.header.fs_hz
    r = np.array([s for s, symbol in zip(notes.sample, notes.symbol, strict=True) if symbol in "NVAF"])
    theirs = person_windows(samples_mv, fs_hz, r)
    ours = np.stack([w.inputs for w in inputs_of_record(samples_mv, fs_hz, r.astype(np.float64), PreprocessParams())])
    # Behind the first ten seconds; another resampling filter, and the record ends otherwise.
    settled = (r > 12 * fs_hz) & (r < len(samples_mv) - 2 * fs_hz)
    off = np.abs(theirs - ours)[settled]
    assert off.mean() < 0.01
    assert np.quantile(off, 0.99) < 0.08
    classifier = open_classifier("mitdb-baseline-int8")
    same = classifier.classify_many(theirs[settled]).argmax(1) == classifier.classify_many(ours[settled]).argmax(1)
    assert same.mean() > 0.98


def test_the_float_network_of_a_bundle_gives_its_labels() -> None:
    bundle = load_bundle("mitdb-residual-int8")
    beats = golden_beats(bundle)
    probs = np.asarray(keras_of_bundle(bundle)(beats[:, :, None]))
    said = open_classifier("mitdb-residual-int8", accelerator="cpu").classify_many(beats)
    assert (probs.argmax(1) == said.argmax(1)).mean() >= 0.98
    assert np.abs(probs - said).mean() < 0.01


def test_wrong_beats_are_missed_invented_or_called_otherwise() -> None:
    counts = np.zeros((7, 7), np.int64)
    for cell, n in {"Nn": 90, "Vv": 5, "Vn": 2, "No": 3, "On": 1}.items():
        counts[ROWS.index(cell[0]), COLUMNS.index(cell[1])] = n
    told = _figures(Score.of_counts(counts, RULES))
    assert [told[key] for key in ("missed", "extra", "mislabelled", "wrong", "beats")] == [3, 1, 2, 6, 100]
    assert told["v_se"] == pytest.approx(5 / 7, abs=1e-5)


def test_a_library_in_its_process_times_and_labels(tmp_path: Path) -> None:
    bundle = load_bundle("mitdb-baseline-int8")
    for precision in ("float32", "int8"):  # what the file computes with does not matter here
        (tmp_path / f"{precision}.tflite").write_bytes(bundle.model)
    np.save(tmp_path / "beats.npy", golden_beats(bundle))
    with Child(Path(sys.executable), "ai-edge-litert", tmp_path, -1, bundle.manifest.id, tmp_path / "log") as child:
        names = [name for name, _ in child.calls]
        at = names.index("edge_ecg classify")
        classes = {name: child.classes(k, 40) for k, name in enumerate(names)}
        assert len(child.timer(at)(0, 7)) == 7
        assert all(wall > 1000 and cpu > 1000 for wall, cpu in child.timer(0)(3, 5))
    assert child.version.startswith("2.")
    beats = golden_beats(bundle)[:40]
    assert classes["edge_ecg classify"] == open_classifier(bundle.manifest.id).classify_many(beats).argmax(1).tolist()
    assert all(found == classes["edge_ecg classify"] for found in classes.values())


def test_a_library_that_does_not_start_says_why(tmp_path: Path) -> None:
    np.save(tmp_path / "beats.npy", np.zeros((1, 187), np.float32))
    with pytest.raises(DataError, match=r"ai-edge-litert does not run: .*float32\.tflite"):
        Child(Path(sys.executable), "ai-edge-litert", tmp_path, -1, None, tmp_path / "log")


def _results(int8_us: float) -> dict[str, object]:
    def call(us: float) -> dict[str, object]:
        return {
            "n": 5000,
            "p50_us": us,
            "p95_us": us,
            "p99_us": us,
            "max_us": us,
            "cpu_p50_us": us,
            "p50_of_runs_us": [us],
            "cpu_p50_of_runs_us": [us],
            "agrees": 1.0,
        }

    calls = {
        "ai-edge-litert · Interpreter · int8": int8_us,
        "ai-edge-litert · edge_ecg classify · int8": 1.0,
        "ai-edge-litert · Interpreter · float32": 90.0,
        "ai-edge-litert · Interpreter, 2 threads · float32": 95.0,
        "ai-edge-litert · CompiledModel · float32": 120.0,
        "onnxruntime · a · float32": 80.0,
        "onnxruntime · b · int8": 70.0,
        "tensorflow · Keras predict · float32": 40_000.0,
    }
    found = {
        "weights": "a bundle", "versions": {"onnxruntime": "1"}, "missing": {"tflite-runtime": "no python of its own"},
        "load_average": [1.0], "calls": {name: call(us) for name, us in calls.items()},
        "int8_times_faster": {"onnxruntime · a · float32": [2.0, 3.0, 4.0]},
    }  # fmt: skip
    per_s = {"float32": {"instructions": "fma", "per_s": 5e10}, "int8": {"instructions": "dot", "per_s": 1e11}}
    return {
        "device": "x", "cpu": "y", "python": "3", "edge_ecg": "0", "latency": {"baseline": found},
        "peak": {"per_s": per_s, "multiply_adds": {"baseline": 3_000_000, "residual": 1, "deep_residual": 1}},
    }  # fmt: skip


def test_a_bar_is_judged_with_the_best_setting_of_each_library() -> None:
    rows = judged(_results(30.0)["latency"]["baseline"], "baseline")  # type: ignore[index]
    assert [(row.times, row.reached) for row in rows] == [
        (pytest.approx(3.0), True), (pytest.approx(70 / 30), False), *2 * [(pytest.approx(40_000 / 30), True)]
    ]  # fmt: skip
    assert rows[0].theirs == "ai-edge-litert · Interpreter · float32"
    assert rows[0].ours == "ai-edge-litert · Interpreter · int8"


def test_two_threads_count_for_latency_and_not_for_cpu_time_or_the_peak_of_one_core() -> None:
    results = _results(30.0)
    calls = results["latency"]["baseline"]["calls"]  # type: ignore[index]
    both = "ai-edge-litert · Interpreter, 2 threads · int8"
    timed = {"p50_us": 20.0, "p50_of_runs_us": [20.0], "cpu_p50_of_runs_us": [20.0]}
    calls[both] = {**calls["ai-edge-litert · Interpreter · int8"], **timed}
    tflite, _, by_clock, keras = judged(results["latency"]["baseline"], "baseline")  # type: ignore[index]
    assert (tflite.ours, tflite.times) == (both, pytest.approx(90 / 20))
    assert (by_clock.ours, by_clock.times) == (both, pytest.approx(40_000 / 20))
    assert (keras.ours, keras.times) == ("ai-edge-litert · Interpreter · int8", pytest.approx(40_000 / 30))
    assert "| 100.0 | 100 % |" in peer_page.section(results)


def test_each_row_of_a_table_has_a_cell_for_each_head() -> None:
    lines = peer_page.section(_results(30.0)).splitlines()
    by_kind = groupby(lines, lambda line: line.startswith("|"))
    tables = [[line.count("|") for line in group] for is_row, group in by_kind if is_row]
    assert len(tables) == 3
    assert all(len(set(cells)) == 1 for cells in tables), tables


def test_the_page_has_each_figure_beside_its_bar(tmp_path: Path) -> None:
    page = rendered(f"# Title\n\n{peer_page.BEGIN}\nold\n{peer_page.END}\n\nmore\n", _results(30.0))
    assert page.startswith("# Title")
    assert page.endswith("more\n")
    assert "old" not in page
    assert "| baseline | float32 TFLite | 3.00 | 3 | yes |" in page
    assert "| 2.33 | 2.5 | **no** |" in page
    # 3 M in 30 µs are 100 G a second: all that this core can.
    assert "| 100.0 | 100 % |" in page
    assert "Without tflite-runtime: no python of its own." in page
    assert rendered(page, _results(30.0)) == page
    with pytest.raises(DataError, match="no <!-- peers"):
        rendered("# no markers", _results(30.0))


def test_the_documents_are_fresh() -> None:
    done = CliRunner().invoke(peer_page.main, ["--check"])
    assert done.exit_code == 0, done.output
