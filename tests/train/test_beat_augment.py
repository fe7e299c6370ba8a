"""Augmented beat windows are what the device would see: the same signal, cut and scaled otherwise, with noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import ConfigError, DataError
from edge_ecg.front import inputs_of_record
from edge_ecg.io import read_annotations, read_record
from edge_ecg.schema import decode
from edge_ecg.sources.virtual import EXCERPT
from train.beat_augment import Augment, Augmenter, noise_bank
from train.beat_strips import BEFORE, Strips, lengths_of, strips_of
from train.window_set import WindowSet

PARAMS = PreprocessParams()
EVERYTHING = Augment(hum=0.5, amplitude=0.5, jitter=0.5, rhythm=0.5, stretch=0.5, inversion=0.5)


class Excerpt:
    """The shipped record, to be cut at R or beside it."""

    def __init__(self) -> None:
        record = read_record(EXCERPT)
        self.fs_hz = record.header.fs_hz
        self.x = record.samples_mv([0])[:, 0].astype(np.float64)
        notes = read_annotations(EXCERPT)
        self.r = notes.sample[[s in "NV" for s in notes.symbol]].astype(np.float64)

    def windows(self, late_samples: float = 0.0) -> np.ndarray:
        """Windows whose R comes so many samples (at 125 Hz) late."""
        r = self.r + late_samples * self.fs_hz / 125.0
        return np.stack([w.inputs for w in inputs_of_record(self.x, self.fs_hz, r, PARAMS)])


@pytest.fixture(scope="module")
def excerpt() -> Excerpt:
    return Excerpt()


def window_set(windows: np.ndarray) -> WindowSet:
    n = len(windows)
    zeros = np.zeros(n, np.int32)
    return WindowSet.of(windows, np.zeros(n, np.uint8), zeros, zeros, dataset="mitdb")


@pytest.fixture(scope="module")
def strips(excerpt: Excerpt) -> Strips:
    data = window_set(excerpt.windows())
    return strips_of(data, np.arange(len(data.windows)))


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def test_a_strip_holds_the_signal_around_its_window(excerpt: Excerpt, strips: Strips) -> None:
    windows = excerpt.windows()
    assert (strips.x[:, BEFORE : BEFORE + 20] == windows[:, :20]).all()
    assert (strips.length == lengths_of(windows)).all()
    assert strips.has_before.mean() > 0.6
    early = excerpt.windows(late_samples=-3.0)[:, 0]
    error = np.abs(strips.x[:, BEFORE - 3] - early)[strips.has_before]
    assert np.percentile(error, 95) < 0.05, "three samples before R; the scale moves a little from beat to beat"
    # Behind a window: the one that begins 0.4 s later shows it.
    later = excerpt.windows(late_samples=50.0)
    longer = np.flatnonzero((strips.n_known > strips.length + 10) & (strips.length < 180))
    assert len(longer) > 100
    at = strips.length[longer] + 5
    assert rms(strips.x[longer, BEFORE + at] - later[longer, at - 50]) < 0.05


def test_a_beat_that_tests_lends_no_sample(excerpt: Excerpt) -> None:
    data = window_set(excerpt.windows())
    every_other = np.arange(0, len(data.windows), 2)
    alone = strips_of(data, every_other)
    assert not alone.has_before.any()
    assert (alone.n_known == alone.length).all()


def test_windows_of_two_records_are_never_joined(excerpt: Excerpt) -> None:
    data = window_set(excerpt.windows())
    apart = replace(data, records=np.arange(len(data.records), dtype=np.int32))
    assert not strips_of(apart, np.arange(len(data.windows))).has_before.any()


def test_nothing_to_change_changes_nothing(excerpt: Excerpt, strips: Strips) -> None:
    rows = np.arange(len(strips.x))
    same = Augmenter(strips, Augment(), {}, 125.0)(rows, np.random.default_rng(0))
    np.testing.assert_array_equal(same, excerpt.windows())


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40))
def test_windows_stay_windows(strips: Strips, seed: int, n: int) -> None:
    augment = Augmenter(strips, EVERYTHING, noise_bank(EVERYTHING, PARAMS), 125.0)
    rows = np.random.default_rng(seed).integers(0, len(strips.x), n)
    x = augment(rows, np.random.default_rng(seed))
    assert x.shape == (n, 187)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert x.min() >= 0.0
    assert x.max() <= 1.0
    np.testing.assert_array_equal(augment(rows, np.random.default_rng(seed)), x)


def test_a_jittered_r_is_a_window_cut_beside_it(excerpt: Excerpt, strips: Strips) -> None:
    """As near to the real thing as the grid of 125 Hz lets a beat be."""
    augment = Augmenter(strips, Augment(jitter=1.0, jitter_ms=24.0), {}, 125.0)
    rows = np.flatnonzero(strips.has_before & (strips.n_known > strips.length + 3))
    changed = augment(rows, np.random.default_rng(1))
    real = np.stack([excerpt.windows(late)[rows, :100] for late in np.arange(-3.0, 3.5, 0.5)])
    error = np.sqrt(((real - changed[:, :100]) ** 2).mean(axis=2)).min(axis=0)
    unchanged = np.sqrt(((excerpt.windows()[rows, :100] - changed[:, :100]) ** 2).mean(axis=1))
    assert np.median(error) < 0.03
    assert np.median(unchanged) > 2.0 * np.median(error)


def test_an_unknown_upstroke_is_not_invented(strips: Strips) -> None:
    alone = replace(strips, has_before=np.zeros_like(strips.has_before))
    x = Augmenter(alone, Augment(jitter=1.0), {}, 125.0)(np.arange(len(alone.x)), np.random.default_rng(0))
    flat = (np.abs(np.diff(x[:, :4], axis=1)) < 1e-6).all(axis=1)
    was_flat = (np.abs(np.diff(alone.x[:, BEFORE : BEFORE + 7], axis=1)) < 1e-6).all(axis=1)
    assert not (flat & ~was_flat).any()


def test_stretch_moves_the_waves_and_the_end() -> None:
    ramp = np.linspace(0.1, 0.9, 120, dtype=np.float32)
    windows = np.zeros((64, 187), np.float32)
    windows[:, :120] = ramp
    strips = strips_of(window_set(windows), np.arange(64)[::2])
    slow = Augmenter(strips, Augment(stretch=1.0, duration=(1.15, 1.15)), {}, 125.0)
    x = slow(np.arange(32), np.random.default_rng(0))
    assert set(lengths_of(x)) <= {137, 138}
    np.testing.assert_allclose(x[0, 100], np.interp(100 / 1.15, np.arange(120), ramp), atol=1e-3)


def test_a_wrong_rhythm_ends_the_window_elsewhere(strips: Strips) -> None:
    rows = np.arange(len(strips.x))
    short = Augmenter(strips, Augment(rhythm=1.0, length=(0.5, 0.5)), {}, 125.0)(rows, np.random.default_rng(0))
    assert (np.abs(lengths_of(short) - 0.5 * strips.length) <= 1.5).mean() > 0.9
    long = Augmenter(strips, Augment(rhythm=1.0, length=(2.0, 2.0)), {}, 125.0)(rows, np.random.default_rng(0))
    known = np.minimum(strips.n_known, 187)
    assert (lengths_of(long) <= known).all()
    assert (lengths_of(long) > strips.length).mean() > 0.5
    there = np.arange(187) < lengths_of(short)[:, None]
    np.testing.assert_array_equal(short[there], strips.x[:, BEFORE : BEFORE + 187][there])


def test_inversion_turns_the_window_but_not_its_padding(excerpt: Excerpt, strips: Strips) -> None:
    x = Augmenter(strips, Augment(inversion=1.0), {}, 125.0)(np.arange(len(strips.x)), np.random.default_rng(0))
    there = np.arange(187) < strips.length[:, None]
    np.testing.assert_allclose(x[there], 1.0 - excerpt.windows()[there], atol=1e-6)
    assert (x[~there] == 0.0).all()


def test_noise_has_the_strength_that_was_asked_for(strips: Strips) -> None:
    """At 24 dB the scale hardly follows, so the difference is the noise: hum below the filters' corner, by its rms."""
    rng = np.random.default_rng(0)
    white = rng.standard_normal(50_000).astype(np.float32)
    rows = np.arange(len(strips.x))
    clean = Augmenter(strips, Augment(), {}, 125.0)(rows, rng)
    inside = (clean > 0.1) & (clean < 0.9)
    for snr_db in (24.0, 12.0):
        noisy = Augmenter(strips, Augment(muscle=1.0, snr_db=(snr_db, snr_db)), {"muscle": white}, 125.0)(rows, rng)
        wanted = 10.0 ** (-snr_db / 20.0) / np.sqrt(8.0)
        difference = (noisy - clean)[inside]
        assert 0.5 * wanted < difference.std() < 1.5 * wanted


@pytest.mark.parametrize(("gain", "offset"), [((0.8, 0.8), 0.0), ((1.0, 1.0), 0.1), ((0.7, 1.4), 0.05)])
def test_a_scale_in_error_is_a_gain_about_the_mean_and_an_offset(
    excerpt: Excerpt, strips: Strips, gain: tuple[float, float], offset: float
) -> None:
    rows = np.arange(len(strips.x))
    wrong = Augmenter(strips, Augment(amplitude=1.0, gain=gain, offset=offset), {}, 125.0)
    changed, clean = wrong(rows, np.random.default_rng(0)), excerpt.windows()
    gains, offsets = [], []
    for x, y, n in zip(clean, changed, strips.length, strict=True):
        mean = x[:n].mean()
        open_ = (y[:n] > 0.001) & (y[:n] < 0.999)  # not clipped
        slope, shift = np.polyfit(x[:n][open_] - mean, y[:n][open_] - mean, 1)
        gains.append(slope)
        offsets.append(shift)
        assert not y[n:].any()
    # Each beat its own, all of the bounds are used, and nothing beyond.
    assert min(gains) == pytest.approx(gain[0], abs=0.02)
    assert max(gains) == pytest.approx(gain[1], abs=0.02)
    assert min(offsets) == pytest.approx(-offset, abs=0.01)
    assert max(offsets) == pytest.approx(offset, abs=0.01)


def test_wander_is_slow_and_muscle_noise_is_not(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(data_dir))
    below_1_hz = {}
    for kind, noise in noise_bank(Augment(wander=1.0, muscle=1.0), PARAMS).items():
        power = np.abs(np.fft.rfft(noise)) ** 2
        below_1_hz[kind] = power[np.fft.rfftfreq(len(noise), 1.0 / 125.0) < 1.0].sum() / power.sum()
    assert below_1_hz["wander"] > 0.75
    assert below_1_hz["muscle"] < 0.4


def test_noise_is_the_first_half_only(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second halves may change as they like."""
    bank = {}
    for which in ("as it is", "changed"):
        folder = tmp_path / which.replace(" ", "-") / "nstdb"
        folder.mkdir(parents=True)
        for name in ("bw", "ma"):
            (folder / f"{name}.hea").write_bytes((data_dir / "nstdb" / f"{name}.hea").read_bytes())
            data = bytearray((data_dir / "nstdb" / f"{name}.dat").read_bytes())
            if which == "changed":
                half = len(data) // 2 // 3 * 3
                data[half + 3 :] = bytes(len(data) - half - 3)
            (folder / f"{name}.dat").write_bytes(data)
            header = (folder / f"{name}.hea").read_text().splitlines()
            (folder / f"{name}.hea").write_text("\n".join(without_checksum(line) for line in header) + "\n")
        monkeypatch.setenv("EDGE_ECG_DATA", str(folder.parent))
        bank[which] = noise_bank(Augment(wander=1.0, muscle=1.0), PARAMS)
    assert set(bank["changed"]) == {"wander", "muscle"}
    for kind, noise in bank["as it is"].items():
        assert noise.std() > 0.3
        np.testing.assert_array_equal(bank["changed"][kind], noise)


def without_checksum(line: str) -> str:
    fields = line.split()
    return " ".join(fields[:5]) if fields and fields[0].endswith(".dat") else line


def test_missing_noise_is_told_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_ECG_DATA", str(tmp_path))
    with pytest.raises(DataError, match="edge-ecg data fetch nstdb"):
        noise_bank(Augment(muscle=0.1), PARAMS)
    assert set(noise_bank(Augment(hum=0.1), PARAMS)) == {"hum"}, "made, not recorded"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"muscle": 1.5}, '"augment.muscle" is a probability'),
        ({"gain": [1.4, 0.7]}, '"augment.gain" must be a range'),
        ({"gain": [0.0, 1.0]}, '"augment.gain" must be a range'),
        ({"duration": [0.5, 1.0]}, '"augment.duration" must lie in 0.8 .. 1.25'),
        ({"jitter_ms": 30.0}, '"augment.jitter_ms" must be from 0 to 24'),
        ({"offset": 0.9}, '"augment.offset" must be'),
        ({"musle": 0.5}, 'Did you mean "muscle"'),
        ({"snr_db": [6.0]}, "2 values"),
    ],
)
def test_a_wrong_table_is_one_clear_error(table: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(Augment, table, where="recipe.toml", error=ConfigError)
    assert told in str(caught.value)
