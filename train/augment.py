"""What other people, leads, boards and electrodes do to an ECG, made from recordings that we have.

Each change is a function of a `Strip` and a random generator; `augmented` rolls which of them happen. Sizes are
in shares of the strip's own QRS (`qrs_mv`), so that a small lead gets small waves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, resample, sosfilt, sosfiltfilt

from train.motion import electrode_motion, rms_by_second
from train.recordings import Recording

__all__ = ["Strip", "augmented", "qrs_mv"]

Samples = NDArray[np.float64]
Noise = Mapping[str, tuple[Samples, float]]
"""Name -> one lead of noise in mV and its rate in Hz."""


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A stretch of ECG in the making: ``(n,)`` mV, rate, R peaks in samples, what to ignore, size of its QRS."""

    x: Samples
    fs_hz: float
    r: Samples
    ignore: tuple[tuple[float, float], ...]
    qrs_mv: float

    def at(self, seconds: float) -> int:
        """Samples of a time."""
        return round(seconds * self.fs_hz)


def qrs_mv(x: Samples, r: Samples, fs_hz: float) -> float:
    """Median peak-to-peak size of the QRS, within 50 ms of the R peaks, in mV."""
    half = round(0.05 * fs_hz)
    at = np.rint(r).astype(int)
    at = at[(at >= half) & (at < len(x) - half)]
    if len(at) == 0:
        return max(1e-3, float(np.ptp(x)))
    return max(1e-3, float(np.median(np.ptp(x[at[:, None] + np.arange(-half, half + 1)], axis=1))))


def augmented(recording: Recording, noise: Noise, rng: Generator) -> Recording:
    """One changed copy of a recording: another heart, another lead, another board, another place."""
    s = Strip(recording.samples_mv.copy(), recording.fs_hz, recording.r.copy(), recording.ignore,
              qrs_mv(recording.samples_mv, recording.r, recording.fs_hz))  # fmt: skip
    if len(s.r) >= 3:
        for probability, change in _HEARTS:
            if rng.random() < probability:
                s = change(s, rng)
    for probability, change in _PLACES:
        if rng.random() < probability:
            s = change(s, rng)
    if rng.random() < 0.45:
        s = _recorded_noise(s, noise, rng)
    s = _another_board(s, rng)
    return replace(recording, name=recording.name + "+", samples_mv=s.x, fs_hz=s.fs_hz, r=s.r, ignore=s.ignore)


# --- another heart ---------------------------------------------------------------------------------------------


def _wide_beats(s: Strip, rng: Generator) -> Strip:
    """Ventricular or paced beats: the QRS stretched, scaled, perhaps inverted, early or behind a spike."""
    every = rng.random() < 0.35
    chosen = np.ones(len(s.r), bool) if every else rng.random(len(s.r)) < rng.uniform(0.08, 0.25)
    width, size = rng.uniform(1.35, 2.3), rng.uniform(0.6, 1.7) * (-1.0 if rng.random() < 0.5 else 1.0)
    early_share = 0.0 if every or rng.random() < 0.4 else rng.uniform(0.1, 0.35)
    spikes = rng.random() < 0.15
    x, r, half = s.x.copy(), s.r.copy(), s.at(0.09)
    wide = round(half * width)
    for k in np.flatnonzero(chosen):
        at = round(float(r[k]))
        if at - half < 0 or at + half >= len(x):
            continue
        wave = _lobe(x, at - half, at + half)
        x[at - half : at + half + 1] -= wave
        if early_share and k > 0:
            at -= round(early_share * float(r[k] - r[k - 1]))
        if at - wide < 0 or at + wide >= len(x):
            continue
        x[at - wide : at + wide + 1] += size * np.interp(
            np.linspace(-half, half, 2 * wide + 1), np.arange(-half, half + 1), wave
        )
        if spikes:
            x[max(0, at - wide) : at - wide + max(1, s.at(0.003))] += rng.choice([-1.0, 1.0]) * s.qrs_mv
        r[k] = at
    order = np.argsort(r)
    return replace(s, x=x, r=r[order])


def _blocked_p(s: Strip, rng: Generator) -> Strip:
    """Beats that the ventricle did not make: QRS and T gone, the P wave stays."""
    k = np.arange(len(s.r))
    gone = (k % 2 == 1, k % 3 != 0, rng.random(len(k)) < 0.15)[rng.integers(3)]
    x = s.x.copy()
    for n in np.flatnonzero(gone):
        begin, end = max(0, round(float(s.r[n])) - s.at(0.06)), round(float(s.r[n])) + s.at(_qt_s(s, int(n)) + 0.06)
        if end < len(x):
            x[begin:end] = np.linspace(x[begin], x[end], end - begin)
    return replace(s, x=x, r=s.r[~gone])


def _dissociated_p(s: Strip, rng: Generator) -> Strip:
    """Atria that beat on their own."""
    period = 60.0 / rng.uniform(50.0, 133.0) * s.fs_hz
    times = np.arange(rng.uniform(0.0, period), len(s.x), period)
    times = times + rng.normal(0.0, 0.02 * period, len(times))
    return _bumps(s, times, rng.uniform(0.014, 0.032), rng.uniform(0.05, 0.32) * _sign(rng, 0.3))


def _large_t(s: Strip, rng: Generator) -> Strip:
    """The T wave that is there, larger."""
    low = sosfiltfilt(butter(2, 9.0, fs=s.fs_hz, output="sos"), s.x)
    factor, x = rng.uniform(1.4, 4.0), s.x.copy()
    for n, r in enumerate(s.r):
        begin, end = round(float(r)) + s.at(0.12), round(float(r)) + s.at(_qt_s(s, n) + 0.08)
        if begin >= 0 and end + 1 < len(x) and end - begin > 4:
            x[begin : end + 1] += (factor - 1.0) * _lobe(low, begin, end)
    return replace(s, x=x)


def _made_t(s: Strip, rng: Generator) -> Strip:
    """A T wave of another form."""
    delay = rng.uniform(0.18, 0.36) * s.fs_hz
    return _bumps(s, s.r + delay, rng.uniform(0.028, 0.070), rng.uniform(0.15, 1.1) * _sign(rng, 0.4))


def _made_p(s: Strip, rng: Generator) -> Strip:
    return _bumps(s, s.r - rng.uniform(0.11, 0.24) * s.fs_hz, rng.uniform(0.014, 0.032), rng.uniform(0.05, 0.3))


def _small_qrs(s: Strip, rng: Generator) -> Strip:
    """A QRS of low voltage among T waves that stay."""
    share, x, half = rng.uniform(0.3, 0.8), s.x.copy(), s.at(0.06)
    for r in np.rint(s.r).astype(int):
        if r - half >= 0 and r + half < len(x):
            x[r - half : r + half + 1] -= (1.0 - share) * _lobe(x, r - half, r + half)
    return replace(s, x=x)


def _f_waves(s: Strip, rng: Generator) -> Strip:
    """Atrial fibrillation's waves, or flutter's saw."""
    n = len(s.x)
    drift = np.cumsum(rng.normal(0.0, 1.0, n)) / s.fs_hz**0.5
    hz = rng.uniform(4.5, 8.5) + 0.4 * (drift - drift.mean()) / (drift.std() + 1e-9)
    phase = 2.0 * np.pi * np.cumsum(np.clip(hz, 3.5, 10.0)) / s.fs_hz
    wave = np.sin(phase) + rng.uniform(0.0, 0.5) * np.sin(2.0 * phase)
    swell = 1.0 + 0.5 * np.sin(2.0 * np.pi * rng.uniform(0.1, 0.5) * np.arange(n) / s.fs_hz)
    return replace(s, x=s.x + rng.uniform(0.02, 0.12) * s.qrs_mv * wave * swell)


# --- another place ---------------------------------------------------------------------------------------------


def _high_pass(s: Strip, rng: Generator) -> Strip:
    sos = butter(int(rng.integers(1, 3)), rng.uniform(0.05, 1.0), "high", fs=s.fs_hz, output="sos")
    return replace(s, x=sosfilt(sos, s.x - s.x[0]))


def _low_pass(s: Strip, rng: Generator) -> Strip:
    sos = butter(2, min(rng.uniform(20.0, 40.0), 0.45 * s.fs_hz), fs=s.fs_hz, output="sos")
    return replace(s, x=sosfilt(sos, s.x - s.x[0]))


def _hum(s: Strip, rng: Generator) -> Strip:
    """Mains; sampled below twice its rate it folds, as on a board without a filter."""
    t_s = np.arange(len(s.x)) / s.fs_hz
    wave = np.sin(2.0 * np.pi * rng.choice([50.0, 60.0]) * t_s + rng.uniform(0.0, 6.28))
    return replace(s, x=s.x + 0.5 * rng.uniform(0.02, 0.2) * s.qrs_mv * wave)


def _white(s: Strip, rng: Generator) -> Strip:
    return replace(s, x=s.x + rng.uniform(0.005, 0.05) * s.qrs_mv * rng.standard_normal(len(s.x)))


def _motion(s: Strip, rng: Generator) -> Strip:
    """A moving electrode, for a while."""
    wave = electrode_motion(len(s.x), s.fs_hz, rng)
    size = s.qrs_mv / 8.0**0.5 * 10.0 ** (-rng.uniform(3.0, 20.0) / 20.0)
    return replace(s, x=s.x + size * wave * _bursts(len(s.x), s.fs_hz, rng))


def _recorded_noise(s: Strip, noise: Noise, rng: Generator) -> Strip:
    """Muscle, baseline or both, in bursts of 0 to 18 dB; the baseline perhaps faster, as when walking."""
    x = s.x
    names = (["ma"], ["ma"], ["bw"], ["ma", "bw"])[rng.integers(4)]
    faster = float(np.exp(rng.uniform(np.log(2.0), np.log(12.0)))) if rng.random() < 0.4 else 1.0
    for name in names:
        source, fs_hz = noise[name]
        fs_hz *= faster if name == "bw" else 1.0
        n = min(len(source), int(np.ceil(len(x) * fs_hz / s.fs_hz)) + 2)
        begin = int(rng.integers(0, len(source) - n + 1))
        wave = np.interp(np.arange(len(x)) / s.fs_hz, np.arange(n) / fs_hz, source[begin : begin + n])
        size = s.qrs_mv / 8.0**0.5 * 10.0 ** (-rng.uniform(0.0, 18.0) / 20.0) / rms_by_second(wave, s.fs_hz)
        x = x + size * rng.choice([-1.0, 1.0]) * (wave - wave.mean()) * _bursts(len(x), s.fs_hz, rng)
    return replace(s, x=x)


def _another_board(s: Strip, rng: Generator) -> Strip:
    """Another heart rate, sampling rate, resolution and gain."""
    stretch = rng.uniform(0.75, 1.3)
    target_hz = float(rng.choice([100.0, 125.0, 128.0, 200.0, 250.0, 256.0, 300.0, 360.0, 400.0, 500.0]))
    n = round(len(s.x) * stretch * target_hz / s.fs_hz)
    scale = n / len(s.x)
    # What the ends do not share would ring through the whole strip.
    ramp = np.linspace(s.x[0], s.x[-1], len(s.x))
    x = resample(s.x - ramp, n) + np.linspace(s.x[0], s.x[-1], n)
    if rng.random() < 0.3:
        lsb = s.qrs_mv * rng.uniform(0.002, 0.03)
        x = np.rint(x / lsb) * lsb
    ignore = tuple((a * scale, b * scale) for a, b in s.ignore)
    gain = float(np.exp(rng.uniform(np.log(0.2), np.log(3.0))))
    return replace(s, x=gain * x, fs_hz=target_hz, r=s.r * scale, ignore=ignore)


# --- parts -----------------------------------------------------------------------------------------------------


def _lobe(x: Samples, begin: int, end: int) -> Samples:
    """``x[begin : end + 1]`` above the line between its ends, let in and out softly."""
    part = x[begin : end + 1]
    soft = max(1, len(part) // 6)
    taper = np.ones(len(part))
    taper[:soft] = 0.5 - 0.5 * np.cos(np.pi * np.arange(soft) / soft)
    taper[-soft:] = taper[:soft][::-1]
    return np.asarray((part - np.linspace(part[0], part[-1], len(part))) * taper)


def _bumps(s: Strip, at: Samples, sigma_s: float, size: float) -> Strip:
    """Gaussians of ``size`` QRS, each a little different."""
    x, half = s.x.copy(), s.at(3.0 * sigma_s)
    t = np.arange(-half, half + 1)
    for n, centre in enumerate(at):
        first = round(float(centre)) - half
        if first < 0 or first + len(t) > len(x):
            continue
        ripple = 1.0 + 0.1 * np.sin(1.7 * n)
        x[first : first + len(t)] += size * ripple * s.qrs_mv * np.exp(-0.5 * (t / (sigma_s * s.fs_hz)) ** 2)
    return replace(s, x=x)


def _qt_s(s: Strip, n: int) -> float:
    """From R to the end of T, by Bazett."""
    after = s.r[n + 1] - s.r[n] if n + 1 < len(s.r) else s.r[n] - s.r[n - 1]
    rr_s = float(np.clip(after / s.fs_hz, 0.35, 1.5))
    return min(0.38 * rr_s**0.5, 0.75 * rr_s)


def _bursts(n: int, fs_hz: float, rng: Generator) -> Samples:
    """1 in bursts, 0 between, soft edges; or 1 throughout."""
    if rng.random() < 0.3:
        return np.ones(n)
    gate, at = np.zeros(n), int(rng.uniform(0.0, 20.0) * fs_hz)
    while at < n:
        length = int(rng.uniform(3.0, 40.0) * fs_hz)
        gate[at : at + length] = 1.0
        at += length + int(rng.uniform(5.0, 40.0) * fs_hz)
    soft = max(1, int(0.2 * fs_hz))
    return np.convolve(gate, np.ones(soft) / soft, "same")


def _sign(rng: Generator, p_negative: float) -> float:
    return -1.0 if rng.random() < p_negative else 1.0


_Change = Callable[[Strip, Generator], Strip]
_HEARTS: Sequence[tuple[float, _Change]] = (
    (0.13, _wide_beats),
    (0.22, _blocked_p),
    (0.30, _dissociated_p),
    (0.40, _large_t),
    (0.25, _made_t),
    (0.15, _made_p),
    (0.20, _small_qrs),
    (0.20, _f_waves),
)
_PLACES: Sequence[tuple[float, _Change]] = (
    (0.35, _high_pass),
    (0.25, _low_pass),
    (0.20, _hum),
    (0.15, _white),
    (0.25, _motion),
)
