"""`edge-ecg bench`: real bundles measured, and reports of runs that say what a reader must know."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Chromium, find_chromium
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_ecg.bench.beats import BEAT_SETS, SHIPPED, load_beats
from edge_ecg.bench.charts import Point, frontier, scatter
from edge_ecg.bench.energy import find_meter, pmic_watts
from edge_ecg.bench.fingerprint import default_device, fingerprint
from edge_ecg.bench.labels import agreement_of, labels_of, labels_of_set
from edge_ecg.bench.report import markdown, page
from edge_ecg.bench.results import BenchResult, read_result, text_of
from edge_ecg.bench.sensors import Watch
from edge_ecg.cli.main import run
from edge_ecg.errors import DataError
from edge_ecg.infer.tflite import TfliteClassifier, quantised
from edge_ecg.labels import LABEL_SETS
from edge_ecg.manifest import find_bundle, load_bundle, shipped_ids

MODEL = "mitdb-baseline-int8"
ATTRIBUTION = SHIPPED.parents[1] / "excerpts" / "ATTRIBUTION.md"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench") / "mine.json"
    assert run(["bench", "run", "--models", MODEL, "--beats", "50", "--device", "bench-1", "--out", str(out)]) == 0
    return out


@pytest.fixture
def measured(file: Path) -> BenchResult:
    return read_result(file)


def written(result: BenchResult, file: Path) -> str:
    file.write_text(text_of(result))
    return str(file)


@pytest.mark.parametrize("name", BEAT_SETS)
def test_a_beat_set_has_a_thousand_beats_of_all_classes_and_is_credited(name: str) -> None:
    beats = load_beats(name)
    assert len(beats.counts) >= 1_000
    counts = np.bincount(beats.references, minlength=len(LABEL_SETS[BEAT_SETS[name]]))
    assert counts.min() >= 100, counts
    assert (SHIPPED / f"{name}.npz").stat().st_size < 100_000, "the wheel stays small"
    assert f"{name}.npz" in ATTRIBUTION.read_text()


def test_int8_models_see_of_the_kept_beats_what_was_kept() -> None:
    beats, spec = load_beats("mitdb"), load_bundle(MODEL).manifest.input
    tensors = quantised(beats.windows, spec)[..., 0]
    assert np.array_equal(tensors[:, 0].astype(int) + 128, beats.counts)


def test_a_beat_set_that_was_changed_is_refused(tmp_path: Path) -> None:
    for file in SHIPPED.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "mitdb.npz").write_bytes((SHIPPED / "ptb.npz").read_bytes())
    with pytest.raises(DataError, match="not the one that ships"):
        load_beats("mitdb", tmp_path)
    (tmp_path / "mitdb.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="cut short"):
        load_beats("mitdb", tmp_path)


@pytest.mark.parametrize("name", shipped_ids("network"))
def test_a_shipped_network_gives_its_golden_labels_and_most_are_right(name: str) -> None:
    bundle = load_bundle(name)
    golden = bundle.manifest.golden_labels
    assert golden is not None
    given_now = labels_of(TfliteClassifier(bundle), bundle.manifest.label_set)
    assert given_now is not None
    agreement = agreement_of(given_now, golden)
    assert agreement is not None
    assert (agreement.n, agreement.n_other <= 10) == (1_000, True)
    assert golden.beats == bundle.manifest.dataset
    right = np.array([int(c) for c in golden.labels]) == load_beats(golden.beats).references
    assert right.mean() > 0.85, "a fifth of them are S, a sixth F: harder than the test part"


def test_labels_of_other_beats_are_not_compared() -> None:
    network = TfliteClassifier(load_bundle(MODEL))
    golden = load_bundle(MODEL).manifest.golden_labels
    assert golden is not None
    assert agreement_of(labels_of_set(network, "ptb"), golden) is None
    assert agreement_of(replace(golden, labels=golden.labels[:-2]), golden).n_other == 2  # type: ignore[union-attr]


def test_one_beat_gives_what_many_do_to_the_bit() -> None:
    network, windows = TfliteClassifier(load_bundle(MODEL)), load_beats("mitdb").windows[::9]
    wild = np.concatenate([windows, windows * 3.0 - 1.0])
    one_by_one = np.stack([network.classify(window) for window in wild])
    beyond = quantised(wild, load_bundle(MODEL).manifest.input).reshape(wild.shape)
    assert np.all(beyond[wild <= 0.0] == -128)
    assert np.all(beyond[wild >= 1.0] == 127)
    assert np.array_equal(one_by_one, network.classify_many(wild))
    kept = network.classify(wild[0])
    network.classify(wild[1])
    assert np.array_equal(kept, one_by_one[0]), "the next beat does not overwrite it"


def test_a_run_says_what_it_cost_and_that_the_labels_are_the_golden_ones(measured: BenchResult) -> None:
    (m,) = measured.models
    manifest = load_bundle(MODEL).manifest
    assert (measured.device, measured.complete, measured.rounds) == ("bench-1", True, 5)
    assert (m.id, m.network, m.dataset, m.precision) == (MODEL, "baseline", "mitdb", "int8")
    assert (m.bytes, m.accuracy, m.macro_f1) == (manifest.bytes, manifest.metrics.accuracy, manifest.metrics.macro_f1)
    assert m.n_beats == 50
    assert 0 < m.p50_us <= m.p95_us <= m.p99_us <= m.max_us
    assert len(m.rounds_p50_us) == 5
    assert m.overhead_us is not None
    assert 0 < m.overhead_us < m.p50_us
    assert m.pipeline_cpu_ms is not None
    assert 0 < m.pipeline_cpu_ms < 1_000, "faster than life"
    assert m.memory_mb is not None
    assert 20 < m.memory_mb < 500
    assert m.agreement is not None
    assert (m.agreement.beats, m.agreement.n) == ("mitdb", 1_000)
    assert m.agreement.n_other <= 10
    assert measured.beat_sets == {"mitdb": load_beats("mitdb").sha256}
    assert (m.all_threads is None) == (measured.fingerprint.usable_cores == 1)


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "thesis.json"
    mine.write_text("{}")
    assert run(["bench", "run", "--models", MODEL, "--out", str(mine)]) == 2
    assert "no benchmark result" in capsys.readouterr().err
    assert mine.read_text() == "{}"
    assert run(["bench", "run", "--models", MODEL, "--out", str(tmp_path / "no" / "x.json")]) == 2
    assert run(["bench", "run", "--models", "nothing", "--out", str(tmp_path / "x.json")]) == 3
    assert not (tmp_path / "x.json").exists()


def test_ctrl_c_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    command = [sys.executable, "-m", "edge_ecg.cli.main", "bench", "run", "--models", MODEL, "--beats", "500000"]
    with subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        assert "measuring" in child.stderr.readline()
        os.kill(child.pid, signal.SIGINT)
        said = child.stderr.read()
    assert (child.returncode, list(tmp_path.iterdir())) == (130, []), said
    assert "stopped" in said
    assert "Traceback" not in said


def test_the_page_fetches_nothing_and_fits_a_phone(
    measured: BenchResult, tmp_path: Path, missing: Callable[[str], None]
) -> None:
    if find_chromium() is None:
        missing("no Chromium: make ci-deps")
    names = ["one", "<b>two</b>"]
    files = [written(replace(measured, device=name), tmp_path / f"{k}.json") for k, name in enumerate(names)]
    assert run(["bench", "report", *files, "--html", str(tmp_path / "out")]) == 0
    with Chromium(tmp_path / "profile") as browser:
        tab = browser.open((tmp_path / "out" / "index.html").as_uri(), 400, 850, mobile=True)
        tab.wait("document.readyState == 'complete' && document.querySelectorAll('figure svg').length >= 4")
        assert tab.value("document.documentElement.scrollWidth") == 400
        assert tab.value("performance.getEntriesByType('resource').length") == 0
        assert "Device <b>two</b>" in tab.value("document.body.innerText")
        assert "not a medical device" in tab.value("document.body.innerText")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "models.csv").read_text())))
    assert [(row["device"], row["id"]) for row in rows] == [(name, MODEL) for name in names]
    text = (tmp_path / "out" / "report.md").read_text()
    assert all((tmp_path / "out" / f"{name}.svg").exists() for name in ("devices", "size-accuracy-mitdb-random"))
    assert "](devices.svg)" in text


def report(capsys: pytest.CaptureFixture[str], *files: str) -> tuple[int, str, str]:
    code = run(["bench", "report", *files])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_what_went_wrong_meanwhile_stands_in_the_report(
    measured: BenchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (m,) = measured.models
    assert m.agreement is not None
    worse = replace(m, agreement=replace(m.agreement, n_other=7))
    hot = replace(measured, throttled=("under-voltage",), complete=False, missing=("energy",), models=(worse,))
    code, out, _ = report(capsys, written(hot, tmp_path / "hot.json"))
    assert code == 0
    for told in ("under-voltage", "Stopped early", f"{MODEL} (7 of 1000)", "Not told by this device: energy"):
        assert told in out


def test_runs_of_other_beats_are_not_compared(
    measured: BenchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(measured, beat_sets={"mitdb": "0" * 64})
    files = [written(measured, tmp_path / "a.json"), written(other, tmp_path / "b.json")]
    code, out, err = report(capsys, *files)
    assert (code, out, err.count("\n")) == (5, "", 1)
    assert "a.json" in err
    assert "b.json" in err
    assert "'mitdb'" in err


def test_foreign_and_damaged_files_are_told_and_left_out(
    measured: BenchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written(measured, tmp_path / "good.json")
    bad = {
        "cut.json": text_of(measured)[:900], "other.json": '{"schema": 1}', "list.json": "[]",
        "new.json": text_of(replace(measured, schema_version=2)), "deep.json": "[" * 100_000, "binary.json": "\0\udcff",
        "changed.json": text_of(measured).replace('"p50_us"', '"p51_us"', 1),
    }  # fmt: skip
    for name, text in bad.items():
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    names = [str(tmp_path / name) for name in (*bad, "gone.json")]
    code, out, err = report(capsys, good, *names)
    assert (code, err.count("\n")) == (0, len(names))
    assert all(Path(name).name in err for name in names)
    assert "Device bench-1" in out
    code, out, err = report(capsys, *names)
    assert (code, out) == (5, "")


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "random.json"
    file.write_bytes(text)
    with pytest.raises(DataError):
        read_result(file)


def test_a_device_that_became_slower_is_flagged(
    measured: BenchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def at(day: int, factor: float) -> BenchResult:
        (m,) = measured.models
        slower = replace(m, p50_us=20.0 * factor, rounds_p50_us=(19.0 * factor, 20.0 * factor, 21.0 * factor))
        return replace(measured, measured_utc=f"2027-01-{day:02}T00:00:00+00:00", models=(slower,))

    def told(*factors: float) -> str:
        days = [at(day, factor) for day, factor in enumerate(factors, 1)]
        code, out, _ = report(capsys, *(written(r, tmp_path / f"{r.measured_utc}.json") for r in reversed(days)))
        assert code == 0
        return out

    assert f"Regression: {MODEL} p50 us 20 → 26 (+30 %)" in told(1.0, 1.01, 0.98, 1.3)
    assert "No regression" in told(1.0, 1.04)
    assert "No regression" in told(1.3, 1.0), "faster is none"
    assert "No regression" in told(1.2, 1.0, 1.0, 1.18), "as slow as it has been before"


def test_the_frontier_holds_what_no_other_beats() -> None:
    points = [Point(x, y, f"{x}", "n", "f") for x, y in ((1, 0.5), (2, 0.4), (3, 0.9), (3, 0.8), (4, 0.9), (5, 0.95))]
    assert [(p.x, p.y) for p in frontier(points)] == [(1, 0.5), (3, 0.9), (5, 0.95)]


def test_throttling_during_the_run_counts_and_before_it_does_not(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("48000\n")
    says = {"now": "throttled=0x50000\n"}
    watch = Watch(tmp_path, lambda: says["now"])
    assert (watch.throttled, watch.missing, watch.first_c) == ((), (), 48.0), "long ago is not now"
    (zone / "temp").write_text("81500\n")
    says["now"] = "throttled=0xe0008\n"
    watch.look()
    says["now"] = "error"
    watch.look()
    assert watch.highest_c == 81.5
    assert watch.throttled == ("clock capped", "hot (soft limit)")
    assert Watch(tmp_path / "nothing", lambda: None).missing == ("temperature", "throttling")


def test_kernel_counters_of_heat_are_seen(tmp_path: Path) -> None:
    counter = tmp_path / "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    counter.parent.mkdir(parents=True)
    counter.write_text("5")
    watch = Watch(tmp_path, lambda: None)
    assert watch.throttled == ()
    counter.write_text("6")
    watch.look()
    assert watch.throttled == ("hot (counted by the kernel)",)


def test_energy_of_rapl_wraps_and_of_an_ina_is_power_times_time(tmp_path: Path) -> None:
    package = tmp_path / "sys/class/powercap/intel-rapl:0"
    for folder, uj in ((package, 900), (tmp_path / "sys/class/powercap/intel-rapl:0:0", 1)):
        folder.mkdir(parents=True)
        (folder / "energy_uj").write_text(f"{uj}")
        (folder / "max_energy_range_uj").write_text("1000")
    meter = find_meter(tmp_path, lambda: None)
    assert meter is not None
    meter.begin()
    (package / "energy_uj").write_text("400")
    (tmp_path / "sys/class/powercap/intel-rapl:0:0/energy_uj").write_text("77")
    assert meter.joules() == pytest.approx(500e-6), "the package alone, its parts are in it"
    (package / "energy_uj").write_text("gone")
    assert meter.joules() is None

    chip = tmp_path / "ina" / "sys/class/hwmon/hwmon1"
    chip.mkdir(parents=True)
    (chip / "name").write_text("ina226\n")
    (chip / "power1_input").write_text("3000000\n")
    ina = find_meter(tmp_path / "ina", lambda: None)
    assert ina is not None
    assert ina.name.startswith("ina226")
    ina.begin()
    found = ina.joules()
    assert found is not None
    assert 0.0 < found < 3.0
    assert find_meter(tmp_path / "nothing", lambda: None) is None


def test_the_power_chip_of_a_pi_is_the_sum_of_its_rails() -> None:
    told = (
        "  3V7_WL_SW_A current(0)=0.10000000A\n  VDD_CORE_A current(7)=2.00000000A\n"
        "  3V7_WL_SW_V volt(8)=3.70000000V\n  VDD_CORE_V volt(15)=0.80000000V\n   EXT5V_V volt(24)=5.10000000V\n"
    )
    assert pmic_watts(told) == pytest.approx(0.37 + 1.6)
    assert pmic_watts("Command not registered") is None


def test_a_raspberry_pi_is_known_by_its_files(tmp_path: Path) -> None:
    for name, text in {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/cpuinfo": "Features\t: fp asimd crc32\nCPU part\t: 0xd08\n" * 4,
        "proc/meminfo": "MemTotal:        3884000 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "etc/os-release": 'PRETTY_NAME="Raspberry Pi OS"\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    f = fingerprint(tmp_path)
    assert (f.board, f.cpu, f.governor) == ("Raspberry Pi 4 Model B Rev 1.4", "Cortex-A72", "ondemand")
    assert (f.memory_mb, f.system, f.cpu_features) == (3793, "Raspberry Pi OS", ("asimd",))
    assert default_device(f) == "raspberry-pi-4-model-b-rev-1-4"
    bare = fingerprint(tmp_path / "nothing")
    assert (bare.board, bare.cpu, bare.memory_mb) == (None, None, None)


def test_a_bundle_by_its_folder_and_for_benchmarks_only_is_measured(tmp_path: Path) -> None:
    folder, out = tmp_path / "mine", tmp_path / "mine.json"
    shutil.copytree(find_bundle(MODEL), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.update(id="mine", bench_only=True, golden_labels=None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert run(["bench", "run", "--models", str(folder), "--beats", "20", "--out", str(out)]) == 0
    (m,) = read_result(out).models
    assert (m.id, m.agreement, m.pipeline_cpu_ms) == ("mine", None, None)
    assert "no golden labels" in " ".join(m.remarks)
    assert "for benchmarks only" in " ".join(m.remarks)


def test_models_are_named_one_by_one_or_with_commas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, ids = tmp_path / "mine.json", ("one", "two", "mine,too")
    for name in ids:
        shutil.copytree(find_bundle("mitdb-tiny-int8"), tmp_path / name)
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        manifest |= {"id": name.replace(",", "-"), "bench_only": True}
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    one, two, too = (str(tmp_path / name) for name in ids)
    assert run(["bench", "run", "--models", f"{one},{two}", "--models", too, "--beats", "10", "--out", str(out)]) == 0
    assert [m.id for m in read_result(out).models] == ["one", "two", "mine-too"]
    capsys.readouterr()
    assert run(["bench", "run", "--models", f"{MODEL},nothing", "--out", str(out)]) == 3
    assert "no model 'nothing'" in capsys.readouterr().err
    shutil.copytree(one, tmp_path / "again")
    assert run(["bench", "run", "--models", f"{one},{tmp_path / 'again'}", "--out", str(out)]) == 2
    assert "two of the models are called 'one'" in capsys.readouterr().err


def test_a_run_that_is_left_aside_is_named(
    measured: BenchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hot = replace(measured, throttled=("hot",), measured_utc="2099-12-31T10:20:30+00:00")
    files = [written(run, tmp_path / f"{k}.json") for k, run in enumerate((measured, hot))]
    _, out, _ = report(capsys, *files)
    assert "left aside: 2099-12-31 10:20 (throttled)" in out
    assert ".svg" not in out, "without --html there are no pictures"


def test_two_machines_of_one_name_are_told(
    measured: BenchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(measured, fingerprint=replace(measured.fingerprint, cpu="Z80"), measured_utc="2099-12-31T10:20:30")
    files = [written(run, tmp_path / f"{k}.json") for k, run in enumerate((measured, other))]
    _, out, _ = report(capsys, *files)
    assert "2 different machines are called bench-1" in out


_ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False), st.text(max_size=3), st.just([]),
    st.just({}), st.lists(st.integers(-1, 1), max_size=2),
)  # fmt: skip


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_result_is_refused_or_reported_never_a_traceback(
    measured: BenchResult, file: Path, data: st.DataObject
) -> None:
    read = json.loads(text_of(measured))
    at: Any = read
    for _ in range(4):
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not (isinstance(at[key], (dict, list)) and at[key]) or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(_ODD)
    changed = file.with_name("changed.json")
    changed.write_text(json.dumps(read))
    try:
        result = read_result(changed)
    except DataError:
        return
    again = replace(result, measured_utc="2099-12-31T10:20:30+00:00")
    other = replace(result, device="another")
    assert page([result, again, other]).endswith("</html>\n")
    assert markdown([result, again, other])


def test_devices_whose_names_differ_in_signs_alone_have_pictures_of_their_own(
    measured: BenchResult, tmp_path: Path
) -> None:
    names = ("кухня", "спальня", "pi 4", "pi-4")
    files = [written(replace(measured, device=name), tmp_path / f"{k}.json") for k, name in enumerate(names)]
    assert run(["bench", "report", *files, "--html", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    named = re.findall(r"\]\((.*?\.svg)\)", text)
    assert len(named) == len(set(named)) == len(list((tmp_path / "out").glob("*.svg")))


def test_each_point_is_numbered_and_named_and_a_form_has_one_colour_in_all_drawings() -> None:
    points = [Point(k, k / 10, f"model-{k}", "n", f"form-{k}") for k in (1, 2, 3)]
    whole, part = scatter(points, "x", "y"), scatter(points[1:], "x", "y", points)
    assert all(f">{k} model-{k}</text>" in whole for k in (1, 2, 3))
    assert ">1 model-2</text>" in part

    def colour(svg: str) -> str:
        return re.findall(r'model-2:.*?fill="(#\w+)"', svg)[0]

    assert colour(whole) == colour(part)


def test_a_report_that_was_cut_short_can_be_written_again(measured: BenchResult, tmp_path: Path) -> None:
    """A folder in the place of a file fails as a full disk does: late."""
    out, mine = tmp_path / "out", written(measured, tmp_path / "mine.json")
    (out / "index.html.part").mkdir(parents=True)
    assert run(["bench", "report", mine, "--html", str(out)]) == 2
    assert not (out / "index.html").exists(), "whole or not at all"
    (out / "index.html.part").rmdir()
    assert run(["bench", "report", mine, "--html", str(out)]) == 0
