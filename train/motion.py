"""A model of electrode motion: what a tugged lead writes, without a recording of it.

The electrode's half-cell potential jumps and creeps back through the amplifier's high-pass; the skin stretches in
bumps of the movement's own rate; and some of it looks like a QRS. Steps with exponential recovery, one- and two-sided
bumps, spikes and ringing at random times over a wandering ground, as the literature describes the `em` noise of the
MIT-BIH Noise Stress Test Database (Moody, Muldrow & Mark 1984); no sample of `em` went into it.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = ["electrode_motion", "rms_by_second"]

Samples = NDArray[np.float64]


def electrode_motion(n_samples: int, fs_hz: float, rng: Generator) -> Samples:
    """Motion noise ``(n_samples,)`` whose seconds have a mean rms of 1 about their own means, as `nst` measures."""
    x = np.zeros(n_samples)
    events_per_s = np.exp(rng.uniform(np.log(0.2), np.log(5.0)))
    share = rng.dirichlet([1.0, 1.0, 0.7, 0.7])
    for at in np.flatnonzero(rng.random(n_samples) < events_per_s / fs_hz):
        kind = rng.choice(4, p=share)
        size = rng.choice([-1.0, 1.0]) * rng.lognormal(0.0, 0.6)
        wave = (_step, _bump, _spike, _ringing)[kind](fs_hz, rng)
        end = min(n_samples, at + len(wave))
        x[at:end] += size * wave[: end - at]
    ground = _wander(n_samples, fs_hz, rng)
    x = x / max(1e-9, float(x.std())) + rng.uniform(0.2, 1.5) * ground
    return np.asarray((x - x.mean()) / rms_by_second(x, fs_hz))


def rms_by_second(x: Samples, fs_hz: float) -> float:
    """Mean over the seconds of the rms about the second's own mean: the size of a noise as `nst` measures it."""
    second = max(1, round(fs_hz))
    n = max(1, len(x) // second)
    return max(1e-9, float(np.resize(x, n * second).reshape(n, second).std(axis=1).mean()))


def _step(fs_hz: float, rng: Generator) -> Samples:
    """A jump that takes 5 to 120 ms and creeps back with 0.1 to 1.5 s."""
    rise_s, tau_s = rng.uniform(0.005, 0.12), np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
    t_s = np.arange(int(5.0 * tau_s * fs_hz)) / fs_hz
    return np.asarray(np.minimum(1.0, t_s / rise_s) * np.exp(-np.maximum(0.0, t_s - rise_s) / tau_s))


def _bump(fs_hz: float, rng: Generator) -> Samples:
    """One- or two-sided, 40 to 300 ms wide."""
    sigma_s = rng.uniform(0.02, 0.15)
    t = np.arange(-3.5 * sigma_s, 3.5 * sigma_s, 1.0 / fs_hz) / sigma_s
    bell = np.exp(-0.5 * t * t)
    return np.asarray(bell if rng.random() < 0.5 else 1.65 * t * bell)


def _spike(fs_hz: float, rng: Generator) -> Samples:
    """As steep as a QRS: a Mexican hat of 8 to 30 ms, leaning to a side."""
    sigma_s = rng.uniform(0.008, 0.03)
    t = np.arange(-4.0 * sigma_s, 4.0 * sigma_s, 1.0 / fs_hz) / sigma_s
    return np.asarray(((1.0 - t * t) + rng.uniform(-1.0, 1.0) * t) * np.exp(-0.5 * t * t))


def _ringing(fs_hz: float, rng: Generator) -> Samples:
    """A lead that swings: 2 to 12 Hz, dying away in 0.1 to 0.6 s."""
    tau_s = rng.uniform(0.1, 0.6)
    t_s = np.arange(int(4.0 * tau_s * fs_hz)) / fs_hz
    wave = np.sin(2.0 * np.pi * rng.uniform(2.0, 12.0) * t_s) * np.exp(-t_s / tau_s)
    return np.asarray(wave * np.minimum(1.0, t_s / 0.03))


def _wander(n_samples: int, fs_hz: float, rng: Generator) -> Samples:
    """Coloured noise that swells and fades: power falls with the frequency's 1st to 3rd power above 0.5 to 4 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    hz = np.fft.rfftfreq(n_samples, 1.0 / fs_hz)
    corner_hz, fall = np.exp(rng.uniform(np.log(0.5), np.log(4.0))), rng.uniform(0.5, 1.5)
    wave = np.fft.irfft(spectrum / (np.maximum(hz, corner_hz) / corner_hz) ** fall * (hz > 0.1), n_samples)
    n_knots = max(2, round(n_samples / fs_hz / 1.5))
    swell = np.exp(rng.uniform(0.0, 0.8) * rng.standard_normal(n_knots))
    wave = wave * np.interp(np.linspace(0.0, n_knots - 1.0, n_samples), np.arange(n_knots), swell)
    return np.asarray(wave / max(1e-9, float(wave.std())))
