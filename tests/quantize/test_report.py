"""A bundle is the same to the byte each time; what this machine measured lies beside it; a full disk breaks nothing."""

from __future__ import annotations

import gzip
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, ModelError
from edge_ecg.infer.golden import GoldenBeats, check_golden
from edge_ecg.infer.operators import operators_of
from edge_ecg.manifest import EdgeTpuFile, ModelManifest, load_bundle
from edge_ecg.schema import decode
from quantize.bundle import Extras, Told
from quantize.changes import Kept
from quantize.convert import convert_source
from quantize.graph import one_beat
from quantize.int8 import check_int8
from quantize.measure import Measurements, latencies
from quantize.report import report_page
from quantize.source import Source
from train.run import RUN_SCHEMA, Recipe, RunInfo
from train.splits import Split
from train.window_set import WindowSet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow.*")

PARAMS = PreprocessParams()
MEASURED = ("measurements.json", "report.html")


def network() -> Any:
    import tf_keras as keras

    keras.utils.set_random_seed(1)
    inputs = keras.Input((187, 1))
    x = keras.layers.Reshape((1, 187, 1))(inputs)
    x = keras.layers.Conv2D(4, (1, 5), strides=(1, 4), activation="relu")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(5, "softmax")(x), name="small")


@pytest.fixture(scope="module")
def source() -> Source:
    """An untrained network, 2,400 beats, of the rarest class 23 of them in the test part."""
    rng = np.random.default_rng(0)
    at = np.arange(2_400)
    labels = np.where(at < 70, 3, at // 3 % 3).astype(np.uint8)
    one = np.ones(2_400, np.int32)
    data = WindowSet.of(rng.random((2_400, 187), np.float32), labels, one, one, dataset="mitdb")
    split = Split("random", at[::3], at[1::3], at[2::3], patients_on_both_sides=True)
    info = RunInfo(
        RUN_SCHEMA, "baseline", "mitdb", "random", True, 1, Recipe(), PARAMS, PARAMS.fingerprint(), data.sha256,
        "edge-ecg train", "", {}, 1_029, label_set="aami5", lead="MLII",
    )  # fmt: skip
    return Source(info, data, split, network())


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_the_same_run_gives_the_same_bytes(source: Source, tmp_path: Path, precision: str) -> None:
    once = files(convert_source(source, precision, tmp_path / "a", force=True).folder)
    # Keras has made other layers since, and numbers those of the same network otherwise.
    again = replace(source, network=network(), trained=None)
    twice = files(convert_source(again, precision, tmp_path / "b", force=True).folder)
    assert set(once) == {"model.tflite", "manifest.json", "golden.json", "card.md", *MEASURED}
    for name in set(once) - set(MEASURED):
        assert once[name] == twice[name], name
    assert once["measurements.json"] != twice["measurements.json"], "the machine is not the same twice"
    another = convert_source(source, precision, tmp_path / "c", calibration_seed=1, force=True, measured=False)
    assert (files(another.folder)["model.tflite"] == once["model.tflite"]) == (precision == "float32")


def test_names_of_layers_are_short_and_do_not_count_on(source: Source) -> None:
    before = [layer.name for layer in source.network.layers]
    with one_beat(source.network):
        names = [layer.name for layer in source.network.layers]
    assert names == ["inputlayer0", "reshape1", "conv2d2", "flatten3", "dense4"]
    assert [layer.name for layer in source.network.layers] == before


def test_what_was_measured_stands_beside(source: Source, tmp_path: Path) -> None:
    folder = convert_source(source, "int8", tmp_path / "bundle", force=True).folder
    found = decode(
        Measurements, json.loads((folder / "measurements.json").read_text()), where="measurements", error=ModelError
    )
    model = (folder / "model.tflite").read_bytes()
    assert (found.id, found.sha256) == ("mitdb-baseline-int8", load_bundle(folder).manifest.sha256)
    assert (found.model.bytes, found.n_threads) == (len(model), 1)
    assert found.model.gzip_bytes == len(gzip.compress(model, 9, mtime=0)) < found.model.bytes
    assert found.model.bytes < found.float32.bytes
    for one in (found.model, found.float32):
        assert one.latency.n >= 2_000
        assert 0 < one.latency.p50_us <= one.latency.p95_us <= one.latency.p99_us
    assert found.times_smaller == found.float32.bytes / found.model.bytes
    # A device need not have them.
    for name in MEASURED:
        (folder / name).unlink()
    assert check_golden(load_bundle(folder)) > 0


def test_models_are_timed_in_turns(source: Source, tmp_path: Path) -> None:
    bundle = convert_source(source, "int8", tmp_path / "bundle", force=True, measured=False)
    found = latencies({"a": bundle.model, "b": bundle.model}, source.data.windows[:7], n=100)
    assert list(found) == ["a", "b"]
    assert 100 <= found["a"].n == found["b"].n <= 1_000


def test_the_page_tells_all_and_needs_no_other_file(source: Source, tmp_path: Path) -> None:
    kept = [Kept("conv <1>", "weights", 900, 450), Kept("dense", "weights", 100, 0)]
    changed = replace(source, network=network(), changes=("pruned 0.5",))
    bundle = convert_source(
        changed, "int8", tmp_path / "bundle", Told(commands=("edge-ecg convert a&b",), kept=kept), force=True
    )
    m, page = bundle.manifest, (bundle.folder / "report.html").read_text()
    assert "http" not in page
    assert "<script" not in page
    assert "edge-ecg convert &#x27;a&amp;b&#x27;" in page
    assert "conv &lt;1&gt;" in page
    assert "<td>all</td><td>1,000</td><td>450</td><td>55.0</td>" in page
    assert page.count("data:image/png;base64,") == 3, "as trained, pruned, converted"
    assert f"{100 * m.metrics.accuracy:.2f}" in page
    assert m.calibration is not None
    for operator in operators_of(bundle.model):
        assert f"<td>{operator.name}</td>" in page
    for told in ("pruned 0.5", f"{m.calibration.n} training beats", m.sha256, "gzip -9", "EC57 V Se", "median"):
        assert told in page
    measurements = decode(
        Measurements, json.loads((bundle.folder / "measurements.json").read_text()), where="m", error=ModelError
    )
    assert "It loses more than the" not in page
    assert m.parity is not None
    bad = replace(m, parity=replace(m.parity, accuracy_points=-3.0), is_foreign=True)
    page = report_page(bad, operators_of(bundle.model), replace(measurements, arena_bytes=12_345))
    for told in ("It loses more than the 0.2,1 points", "came as a Keras file", "12,345 bytes", "-3.00 points"):
        assert told in page


def test_a_hundred_golden_beats_of_all_classes(source: Source, tmp_path: Path) -> None:
    folder = convert_source(source, "int8", tmp_path / "bundle", force=True, measured=False).folder
    golden = json.loads((folder / "golden.json").read_text())
    counts = {name: sum(beat["reference"] == name for beat in golden["beats"]) for name in "NSVFQ"}
    test = source.data.labels[source.split.test]
    assert int(np.sum(test == 3)) == counts["F"] == 23, "all there are of the rarest"
    assert counts["Q"] == 0
    assert sorted(counts[name] for name in "NSV") == [25, 26, 26]
    assert len({tuple(beat["window"]) for beat in golden["beats"]}) == 100
    assert (folder / "golden.json").stat().st_size < 80_000, "of real beats, with their zeros, 58,000"


def test_files_for_other_hardware_come_with_the_bundle(source: Source, tmp_path: Path) -> None:
    def extras(m: ModelManifest, model: bytes, golden: GoldenBeats) -> Extras:
        assert (m.bytes, len(golden.beats)) == (len(model), 100)
        made = {"model_edgetpu.tflite": b"compiled", "edgetpu.md": b"# all", "mcu/model.h": b"// " + m.id.encode()}
        return Extras(made, EdgeTpuFile(8, "0" * 64, "16.0"), arena_bytes=4_096)

    for _ in range(2):  # over an older one, too
        folder = convert_source(source, "int8", tmp_path / "bundle", force=True, extras=extras).folder
    assert (folder / "mcu" / "model.h").read_text() == "// mitdb-baseline-int8"
    assert (folder / "model_edgetpu.tflite").read_bytes() == b"compiled"
    assert load_bundle(folder).manifest.edgetpu == EdgeTpuFile(8, "0" * 64, "16.0")
    assert json.loads((folder / "measurements.json").read_text())["arena_bytes"] == 4_096


def test_an_operator_that_stayed_in_float_is_named(source: Source) -> None:
    from quantize.precision import to_dynamic, to_float32

    for convert in (to_float32, to_dynamic):
        with pytest.raises(ModelError, match=r"operator RESHAPE stayed in float: its tensor \S*beat\S* is float32"):
            check_int8(convert(source.network, source.data.windows[:1]))


# Writing


@contextmanager
def small_disk(n_bytes: int) -> Iterator[None]:
    """A disk that takes files of so many bytes at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def convert(source: Source, folder: Path) -> None:
    convert_source(source, "int8", folder, force=True, measured=False)


def test_a_full_disk_leaves_the_old_bundle_whole(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with small_disk(2_000), pytest.raises(DataError) as caught:
        convert(source, folder)
    assert str(caught.value).startswith(
        f"cannot write the bundle {folder}: File too large; nothing is left of it. Make room there, or name another"
    )
    assert not list(tmp_path.iterdir())
    convert(source, folder)
    before = files(folder)
    # Room for the model and the manifest, not for the golden beats.
    told = r"File too large; the bundle there is as it was\. Make room"
    with small_disk(40_000), pytest.raises(DataError, match=told):
        convert(replace(source, network=network(), changes=("pruned 0.1",)), folder)
    assert files(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("at", range(2), ids=["old out of the way", "new into its place"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_stop_between_the_old_and_the_new_leaves_the_old(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, interruption: Any
) -> None:
    folder = tmp_path / "bundle"
    convert(source, folder)
    before = files(folder)
    replace_path, calls = Path.replace, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(self.name)
        if len(calls) == at + 1:
            raise interruption
        return replace_path(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt if interruption is KeyboardInterrupt else DataError):
            convert(replace(source, changes=("pruned 0.1",)), folder)
    assert calls == [["bundle"], ["bundle", "new", "old"]][at]
    assert files(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
