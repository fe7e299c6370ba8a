"""A made-up heart: five Gaussian waves a beat, with ectopic beats at known places. For trying, never for judging.

After the shape of McSharry, Clifford, Tarassenko & Smith (IEEE Trans Biomed Eng 50:289, 2003), without their
differential equations: each wave is a Gaussian at its own distance from R.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge_ecg.sources import Item
from edge_ecg.types import SampleBlock, StreamInfo

__all__ = ["SyntheticSource", "synthetic_ecg"]

# Wave: distance to R in s, sigma in s, height in mV.
_NORMAL = ((-0.17, 0.022, 0.12), (-0.025, 0.009, -0.12), (0.0, 0.011, 1.1), (0.03, 0.010, -0.25), (0.27, 0.045, 0.3))
_VENTRICULAR = ((-0.02, 0.035, 1.3), (0.07, 0.040, -0.7), (0.30, 0.060, -0.45))


def synthetic_ecg(
    fs_hz: float, duration_s: float, hr_bpm: float = 70.0, pvc_every: int = 12, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float64], tuple[str, ...]]:
    """One lead in mV with its beats.

    Returns
    -------
    ``(n,) float32`` mV, R peaks ``(n_beats,)`` in s, and their symbols (N, or V for every ``pvc_every``-th beat,
    which comes early and is followed by a pause).
    """
    rng = np.random.default_rng(seed)
    t_s = np.arange(round(duration_s * fs_hz)) / fs_hz
    x = 0.02 * rng.standard_normal(len(t_s)) + 0.05 * np.sin(2 * np.pi * 0.25 * t_s)
    r_s: list[float] = []
    symbols: list[str] = []
    at_s, rr_s = 0.6, 60.0 / hr_bpm
    while at_s < duration_s - 0.5:
        is_pvc = pvc_every > 0 and (len(r_s) + 1) % pvc_every == 0
        for offset_s, sigma_s, height_mv in _VENTRICULAR if is_pvc else _NORMAL:
            a, b = np.searchsorted(t_s, [at_s + offset_s - 5 * sigma_s, at_s + offset_s + 5 * sigma_s])
            x[a:b] += height_mv * np.exp(-0.5 * ((t_s[a:b] - at_s - offset_s) / sigma_s) ** 2)
        r_s.append(at_s)
        symbols.append("V" if is_pvc else "N")
        next_is_pvc = pvc_every > 0 and (len(r_s) + 1) % pvc_every == 0
        at_s += rr_s * (0.65 if next_is_pvc else 1.35 if is_pvc else 1.0) * (1 + 0.03 * rng.standard_normal())
    return x.astype(np.float32), np.array(r_s), tuple(symbols)


class SyntheticSource:
    """`synthetic_ecg` as a source."""

    def __init__(self, fs_hz: float = 250.0, duration_s: float = 60.0, hr_bpm: float = 70.0, seed: int = 0) -> None:
        self._info = StreamInfo(f"synthetic-{seed}", fs_hz, ("synthetic",))
        self._samples_mv = synthetic_ecg(fs_hz, duration_s, hr_bpm, seed=seed)[0][:, None]
        self._samples_mv.flags.writeable = False
        self._stopped = False

    def items(self) -> Iterator[Item | None]:
        """The stream, in blocks of a second."""
        yield self._info
        step = round(self._info.fs_hz)
        for first in range(0, len(self._samples_mv), step):
            if self._stopped:
                return
            yield SampleBlock(self._samples_mv[first : first + step], first)

    def stop(self) -> None:
        """End at the next block."""
        self._stopped = True

    def close(self) -> None:
        """Nothing to give back."""
