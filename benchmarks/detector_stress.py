"""What makes a beat detector fail, added to real recordings: pure functions of samples, annotated R and a seed.

Samples are ``(n,) float64`` in mV, R peaks ``(n_beats,)`` ascending in samples. The R peaks stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["halved_qrs", "motion_noise", "p_train", "tripled_t", "wide_qrs"]

Samples = NDArray[np.float64]

_QRS_HALF_S = 0.06
_S_END_S = 0.08


def tripled_t(samples_mv: Samples, r_samples: Samples, fs_hz: float, seed: int) -> Samples:
    """T waves x 3: what lies below 9 Hz from R + 0.12 s to the end of QT, above the line between the two ends."""
    slow = _smoothed(samples_mv, 0.1325 / 9.0 * fs_hz)
    out = samples_mv.copy()
    # The last beat has no R-R of its own.
    usual = float(np.median(np.diff(r_samples))) if len(r_samples) > 1 else fs_hz
    following = np.append(r_samples[1:], r_samples[-1:] + usual)
    for r, rr_s in zip(r_samples, (following - r_samples) / fs_hz, strict=True):
        end_s = min(0.50, 0.45 * math.sqrt(rr_s) + 0.03, 0.75 * rr_s)
        span = _span(len(out), r + 0.12 * fs_hz, r + end_s * fs_hz)
        wave = slow[span]
        out[span] += 2.0 * _edged(len(wave), 0.03 * fs_hz) * (wave - _chord(wave))
    return out


def halved_qrs(samples_mv: Samples, r_samples: Samples, fs_hz: float, seed: int) -> Samples:
    """QRS x 0.5 over the line between its ends; P and T as they were."""
    out = samples_mv.copy()
    for r in r_samples:
        span = _span(len(out), r - _QRS_HALF_S * fs_hz, r + _QRS_HALF_S * fs_hz)
        wave = samples_mv[span]
        out[span] -= 0.5 * _edged(len(wave), 0.02 * fs_hz) * (wave - _chord(wave))
    return out


def p_train(samples_mv: Samples, r_samples: Samples, fs_hz: float, seed: int) -> Samples:
    """P waves of a rhythm of their own added: 60-110 a minute, sigma 18-30 ms, 10-30 % of the QRS."""
    rng = np.random.default_rng(seed)
    rate_hz, sigma_s = rng.uniform(60, 110) / 60, rng.uniform(0.018, 0.030)
    height_mv = rng.uniform(0.10, 0.30) * _qrs_height_mv(samples_mv, r_samples, fs_hz)
    t_s = np.arange(len(samples_mv)) / fs_hz
    out = samples_mv.copy()
    for at_s in np.arange(rng.uniform(0, 1 / rate_hz), t_s[-1] + 0.1, 1 / rate_hz):
        at_s += rng.normal(0, 0.01)
        span = _span(len(out), (at_s - 4 * sigma_s) * fs_hz, (at_s + 4 * sigma_s) * fs_hz)
        out[span] += height_mv * np.exp(-0.5 * ((t_s[span] - at_s) / sigma_s) ** 2)
    return out


def wide_qrs(samples_mv: Samples, r_samples: Samples, fs_hz: float, seed: int) -> Samples:
    """Every QRS stretched in time about its R, 1.4 to 2 times (one factor a person), as in a bundle branch block."""
    factor = np.random.default_rng(seed).uniform(1.4, 2.0)
    index = np.arange(len(samples_mv), dtype=np.float64)
    out = samples_mv.copy()
    for r in r_samples:
        span = _span(len(out), r - factor * _QRS_HALF_S * fs_hz, r + factor * _S_END_S * fs_hz)
        here = index[span]
        stretched = np.interp(r + (here - r) / factor, index, samples_mv)
        # What was there goes as the ends' line, and the stretched wave comes onto that line.
        wave = _chord(samples_mv[span]) + stretched - _chord(stretched)
        w = _edged(len(here), 0.02 * fs_hz)
        out[span] = (1 - w) * samples_mv[span] + w * wave
    return out


def motion_noise(n: int, fs_hz: float, seed: int) -> Samples:
    """Synthetic noise of a moving electrode: ``(n,) float64`` of unit RMS.

    Steps that recover exponentially (0.1-1.5 s), bumps of either sign (sigma 30-150 ms) and spikes like a QRS (sigma
    10-22 ms, two- or one-phased), all in bursts, on a wander of 1-10 Hz. A model, not a recording.
    """
    rng = np.random.default_rng(seed)
    duration_s = n / fs_hz
    out = _smoothed(rng.normal(size=n), 0.02 * fs_hz) - _smoothed(rng.normal(size=n), 0.15 * fs_hz)
    out *= 0.4 / max(1e-9, float(out.std()))

    def events(rate_hz: float) -> Samples:
        at_s = rng.uniform(0, duration_s, rng.poisson(rate_hz * duration_s))
        # A body moves for a while, then rests: most of what falls into the rest is left out.
        moving = np.sin(2 * np.pi * at_s / rng.uniform(7, 15)) > -0.3
        return np.asarray(at_s[moving | (rng.uniform(size=len(at_s)) < 0.2)])

    def add(at_s: float, before_s: float, after_s: float, wave_of: Callable[[Samples], Samples]) -> None:
        span = _span(n, (at_s - before_s) * fs_hz, (at_s + after_s) * fs_hz)
        t_s = np.arange(span.start, span.stop) / fs_hz - at_s
        out[span] += wave_of(t_s)

    def bell(sigma_s: float, size_mv: float, two_phased: bool = False) -> Callable[[Samples], Samples]:
        return lambda t_s: size_mv * np.exp(-0.5 * (t_s / sigma_s) ** 2) * (1.6 * t_s / sigma_s if two_phased else 1.0)

    def recovery(tau_s: float, size_mv: float) -> Callable[[Samples], Samples]:
        return lambda t_s: size_mv * np.exp(-np.maximum(t_s, 0.0) / tau_s)

    for at_s in events(0.4):
        tau_s = rng.uniform(0.1, 1.5)
        add(at_s, 0.0, 5 * tau_s, recovery(tau_s, rng.normal(0, 2.0)))
    for at_s in events(1.5):
        sigma_s = rng.uniform(0.03, 0.15)
        add(at_s, 4 * sigma_s, 4 * sigma_s, bell(sigma_s, rng.normal(0, 1.2)))
    for at_s in events(0.4):
        sigma_s = rng.uniform(0.010, 0.022)
        add(at_s, 5 * sigma_s, 5 * sigma_s, bell(sigma_s, rng.normal(0, 2.0), two_phased=bool(rng.integers(2))))
    return np.asarray(out / math.sqrt(float(np.mean(out**2))))


def _span(n: int, begin: float, end: float) -> slice:
    return slice(max(0, min(n, round(begin))), max(0, min(n, round(end) + 1)))


def _chord(wave: Samples) -> Samples:
    """The straight line between a wave's ends."""
    return np.linspace(wave[0], wave[-1], len(wave)) if len(wave) else wave


def _edged(n: int, edge: float) -> Samples:
    """1 inside, falling to 0 over ``edge`` samples at either end as a raised cosine."""
    distance = np.minimum(np.arange(n), np.arange(n)[::-1])
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(distance / max(1.0, edge), 0, 1)))


def _smoothed(x: Samples, sigma: float) -> Samples:
    """Gaussian smoothing, ends held; sigma in samples."""
    half = math.ceil(4 * sigma)
    g = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    return np.convolve(np.pad(x, half, mode="edge"), g / g.sum(), mode="valid")


def _qrs_height_mv(samples_mv: Samples, r_samples: Samples, fs_hz: float) -> float:
    """Median peak to peak height around R."""
    spans = [_span(len(samples_mv), r - _QRS_HALF_S * fs_hz, r + _QRS_HALF_S * fs_hz) for r in r_samples]
    return float(np.median([np.ptp(samples_mv[s]) for s in spans])) if spans else 0.0
