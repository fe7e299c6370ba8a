"""What a portable monitor does to a beat window: noise, another scale, another R, another rhythm, a lead turned round.

Whole batches at once, seeded. The windows are cut from a causally filtered signal and scaled by the extremes of its
last 10 s, so each change is made as it would come out of that: noise goes through the resampler and the high-pass of
the device and moves the scale, a pure gain does not exist (only a scale in error does), and a shifted or longer
window shows the signal that is there, as far as the neighbouring windows hold it (`train.beat_strips`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edge_ecg.dsp.filters import HighPass
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.dsp.resample import Resampler
from train.motion import rms_by_second
from train.noise import read_noise

__all__ = ["Augment", "Augmenter", "noise_bank"]

Batch = NDArray[np.float32]

_PROBABILITIES = ("wander", "muscle", "hum", "amplitude", "jitter", "rhythm", "stretch", "inversion")
_RANGES = ("snr_db", "gain", "length", "duration")


@dataclass(frozen=True, slots=True)
class Augment:
    """How often a training beat meets what, and how much of it; the `[augment]` table of a recipe.

    Attributes
    ----------
    wander, muscle, hum
        Probabilities of baseline wander and muscle noise (first halves of the records ``bw`` and ``ma`` of nstdb)
        and of mains hum (50 or 60 Hz, as boards of 125 to 500 Hz sample it).
    snr_db
        From .. to of each, dB, by the noise stress test's measure before the filters (see `train.noise`).
    amplitude, gain, offset
        Probability of a scale in error; factor from .. to about the window's mean; largest shift, in units of the
        scale.
    jitter, jitter_ms
        Probability of a misplaced R, and by how much at most, ms, either way.
    rhythm, length
        Probability of a wrong T (neighbours missed, beats too many), which makes the window longer or shorter:
        factor from .. to.
    stretch, duration
        Probability of a slower or faster beat; its duration, factor from .. to.
    inversion
        Probability of a lead turned round.
    """

    wander: float = 0.0
    muscle: float = 0.0
    hum: float = 0.0
    snr_db: tuple[float, float] = (6.0, 24.0)
    amplitude: float = 0.0
    gain: tuple[float, float] = (0.7, 1.4)
    offset: float = 0.1
    jitter: float = 0.0
    jitter_ms: float = 24.0
    rhythm: float = 0.0
    length: tuple[float, float] = (0.5, 2.0)
    stretch: float = 0.0
    duration: tuple[float, float] = (0.85, 1.15)
    inversion: float = 0.0

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'"augment.{name}" is a probability, from 0 to 1, found {getattr(self, name)}')
        for name in _RANGES:
            low, high = getattr(self, name)
            if not low <= high or (name != "snr_db" and not low > 0):
                raise ValueError(f'"augment.{name}" must be a range from .. to, found [{low:g}, {high:g}]')
        if not 0.8 <= self.duration[0] <= self.duration[1] <= 1.25:
            raise ValueError(f'"augment.duration" must lie in 0.8 .. 1.25, found {list(self.duration)}')
        # A strip has 4 samples before R at 125 Hz, one of them for the interpolation.
        if not 0 <= self.jitter_ms <= 24:
            raise ValueError(f'"augment.jitter_ms" must be from 0 to 24, found {self.jitter_ms:g}')
        if not 0 <= self.offset <= 0.5:
            raise ValueError(f'"augment.offset" must be from 0 to 0.5, found {self.offset:g}')

    @property
    def changes(self) -> bool:
        """Whether anything may happen at all."""
        return any(getattr(self, name) > 0 for name in _PROBABILITIES)


def noise_bank(augment: Augment, params: PreprocessParams) -> dict[str, NDArray[np.float32]]:
    """The noises that a recipe needs, as the device's filters let them through; rms 1 a second before them.

    Only the first half of each nstdb record: the second half tests. Raises `DataError` when nstdb is missing.
    """
    bank = {}
    for kind, name in (("wander", "bw"), ("muscle", "ma")):
        if getattr(augment, kind) > 0:
            noise_mv, fs_hz = read_noise(name)
            first = noise_mv[: len(noise_mv) // 2]
            bank[kind] = np.concatenate([_through_filters(lead, fs_hz, params) for lead in first.T])
    if augment.hum > 0:
        bank["hum"] = np.concatenate(
            [
                _through_filters(_hum(mains_hz, board_hz), board_hz, params)
                for mains_hz in (50.0, 60.0)
                for board_hz in (125.0, 250.0, 360.0, 500.0)
            ]
        )
    return bank


def _through_filters(x: NDArray[np.float64], fs_hz: float, params: PreprocessParams) -> NDArray[np.float32]:
    fs_out_hz = params.window.fs_hz
    y = HighPass(params.highpass_hz, fs_out_hz).feed(Resampler(fs_hz, fs_out_hz).feed(x / rms_by_second(x, fs_hz)))
    settled = round(2.0 / params.highpass_hz * fs_out_hz)
    return y[settled:].astype(np.float32)


def _hum(mains_hz: float, board_hz: float) -> NDArray[np.float64]:
    """24 s with harmonics; above half the board's rate they fold, as its ADC without a filter lets them. A mains
    is never on its nominal frequency: off by 0.05 Hz the fold wanders through all phases.
    """
    t_s = np.arange(round(24.0 * board_hz)) / board_hz
    phase = 2.0 * np.pi * (mains_hz + 0.05) * t_s
    return np.asarray(np.sin(phase) + 0.1 * np.sin(2.0 * phase + 1.0) + 0.25 * np.sin(3.0 * phase + 2.0))


class Augmenter:
    """Changed windows of strips.

    Parameters
    ----------
    strips
        `train.beat_strips.Strips` of the training beats.
    augment
        How often what.
    bank
        From `noise_bank`.
    fs_hz
        Rate of the windows.
    """

    def __init__(self, strips: Any, augment: Augment, bank: Mapping[str, NDArray[np.float32]], fs_hz: float) -> None:
        self._strips, self._augment, self._bank, self._fs_hz = strips, augment, bank, fs_hz
        from train.beat_strips import AFTER, BEFORE

        self._before = BEFORE
        self._n_samples = strips.x.shape[1] - BEFORE - AFTER

    def __call__(self, rows: NDArray[np.int64], rng: Generator) -> Batch:
        """Windows ``(len(rows), n_samples)`` in [0, 1] of the beats ``rows``, zero behind their ends."""
        a, n = self._augment, len(rows)
        x, n_there = self._cut(rows, rng)
        there = np.arange(self._n_samples) < n_there[:, None]
        turned = rng.random(n) < a.inversion
        x[turned] = 1.0 - x[turned]
        x = self._with_noise(x, there, rng)
        wrong = np.flatnonzero(rng.random(n) < a.amplitude)
        if len(wrong):
            gain = np.exp(rng.uniform(*np.log(a.gain), len(wrong))).astype(np.float32)[:, None]
            offset = rng.uniform(-a.offset, a.offset, len(wrong)).astype(np.float32)[:, None]
            part = x[wrong]
            mean = (part * there[wrong]).sum(axis=1, keepdims=True) / n_there[wrong, None].astype(np.float32)
            x[wrong] = mean + gain * (part - mean) + offset
        np.clip(x, 0.0, 1.0, out=x)
        x *= there
        return x

    def _cut(self, rows: NDArray[np.int64], rng: Generator) -> tuple[Batch, NDArray[np.int64]]:
        """Windows by another R, duration and length, and how many samples of each are there."""
        a, n, s = self._augment, len(rows), self._strips
        most = a.jitter_ms / 1000.0 * self._fs_hz
        shift = np.where(rng.random(n) < a.jitter, rng.uniform(-most, most, n), 0.0)
        # An R that comes early shows the upstroke before it: a guess at one would be a wave of its own.
        shift = np.where(s.has_before[rows], shift, np.abs(shift))
        step = np.where(rng.random(n) < a.stretch, 1.0 / rng.uniform(*a.duration, n), 1.0)
        factor = np.where(rng.random(n) < a.rhythm, np.exp(rng.uniform(*np.log(a.length), n)), 1.0)
        wanted = np.rint(s.length[rows] * factor / step)
        known = np.floor((s.n_known[rows] - 1 - shift) / step) + 1
        n_there = np.clip(np.minimum(wanted, known), 1, self._n_samples).astype(np.int64)

        x = s.x[rows, self._before : self._before + self._n_samples]
        moved = np.flatnonzero((shift != 0.0) | (step != 1.0))
        if len(moved):
            at = self._before + shift[moved, None] + step[moved, None] * np.arange(self._n_samples)
            x[moved] = _at(s.x, rows[moved], at)
        return x, n_there

    def _with_noise(self, x: Batch, there: NDArray[np.bool_], rng: Generator) -> Batch:
        """Noise, and the scale that follows it: a window is a second or so, its extremes stand for the 10 s'."""
        a, n = self._augment, len(x)
        sum_of = np.zeros_like(x)
        noisy = np.zeros(n, bool)
        for kind, noise in self._bank.items():
            hit = np.flatnonzero(rng.random(n) < getattr(a, kind))
            begin = rng.integers(0, len(noise) - self._n_samples, len(hit))
            # QRS peak to peak is the scale, 1; its power by the noise stress test is that squared over 8.
            rms = 10.0 ** (-rng.uniform(*a.snr_db, len(hit)) / 20.0) / np.sqrt(8.0)
            sign = rng.choice([-1.0, 1.0], len(hit))
            sum_of[hit] += (sign * rms).astype(np.float32)[:, None] * noise[begin[:, None] + np.arange(self._n_samples)]
            noisy[hit] = True
        at = np.flatnonzero(noisy)
        if len(at) == 0:
            return x
        clean, inside = x[at], there[at]
        dirty = clean + sum_of[at]
        low = _lowest(dirty, inside) - _lowest(clean, inside)
        high = 1.0 - _lowest(-dirty, inside) + _lowest(-clean, inside)
        x[at] = (dirty - low) / np.maximum(high - low, 0.3)
        return x


def _lowest(x: Batch, inside: NDArray[np.bool_]) -> Batch:
    return np.where(inside, x, np.float32(np.inf)).min(axis=1, keepdims=True)


def _at(x: Batch, rows: NDArray[np.int64], at: NDArray[np.float64]) -> Batch:
    """Rows of ``x`` at fractional columns ``(len(rows), k)``, by Catmull-Rom cubics: linear ones blunt a QRS."""
    whole = np.floor(at).astype(np.int64)
    u = (at - whole).astype(np.float32)
    flat = x.reshape(-1)
    last = x.shape[1] - 1
    base = rows[:, None] * x.shape[1]
    p0, p1, p2, p3 = (flat[base + np.clip(whole + k, 0, last)] for k in (-1, 0, 1, 2))
    return p1 + 0.5 * u * (p2 - p0 + u * (2.0 * p0 - 5.0 * p1 + 4.0 * p2 - p3 + u * (3.0 * (p1 - p2) + p3 - p0)))
