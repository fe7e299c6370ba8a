"""The beat detectors that are compared, each as one function of a whole recording.

Every peer runs as its authors' example has it: its own filter first, its own defaults, the whole recording at once.
"""

from __future__ import annotations

import hashlib
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_ecg.dsp
from edge_ecg.detector import SHIPPED, shipped_nets
from edge_ecg.dsp.qrs import QrsDetector

__all__ = ["DETECTORS", "OURS", "YARDSTICK", "Attempt", "Detector", "attempt", "streaming_detector", "version_of"]

Samples = NDArray[np.float64]

OURS = "edge-ecg"
YARDSTICK = "sleepecg"
"""What speed is told as a multiple of."""

TIMEOUT_S = 120.0


def streaming_detector(fs_hz: float) -> QrsDetector:
    """This project's detector as the device runs it; the one place that makes one."""
    return QrsDetector(fs_hz, shipped_nets())


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector: how tables call it, the installed package it comes from, and its function.

    ``find`` takes ``(n,) float64`` mV and Hz, and returns R peaks in samples. One that is not ``everywhere`` is slow or
    weak, and measured on the clean recordings only.
    """

    name: str
    package: str
    find: Callable[[Samples, float], Any]
    everywhere: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """What one call gave: ``(n,) float64`` ascending positions in samples, its CPU seconds, why it failed if so."""

    r_samples: Samples
    cpu_s: float
    failure: str | None


class _HungError(Exception):
    """The call took too long."""


def attempt(detector: Detector, samples_mv: Samples, fs_hz: float, timeout_s: float = TIMEOUT_S) -> Attempt:
    """Call a detector; one that raises, hangs or answers nonsense has found nothing. Main thread only.

    The time limit is an alarm: it ends Python, not a loop inside a compiled function.
    """
    begin_s = time.process_time()
    try:
        # Each gets a copy: some filter in place.
        with warnings.catch_warnings(), np.errstate(all="ignore"), _alarm(timeout_s):
            warnings.simplefilter("ignore")
            found = detector.find(samples_mv.copy(), fs_hz)
        cpu_s = time.process_time() - begin_s
        r_samples = np.unique(np.asarray(found, dtype=np.float64).ravel())
    except Exception as error:
        return Attempt(np.empty(0), time.process_time() - begin_s, f"{type(error).__name__}: {error}"[:120])
    inside = np.isfinite(r_samples) & (r_samples >= 0) & (r_samples < len(samples_mv))
    return Attempt(r_samples[inside], cpu_s, None)


@contextmanager
def _alarm(timeout_s: float) -> Iterator[None]:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise _HungError(f"more than {timeout_s:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def version_of(detector: Detector) -> str:
    """Version of the package; of this project's own detector a hash of its code and weights."""
    if detector.name != OURS:
        return metadata.version(detector.package)
    digest = hashlib.sha256()
    for folder in (Path(next(iter(edge_ecg.dsp.__path__))), SHIPPED):
        for file in sorted(f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _edge_ecg(samples_mv: Samples, fs_hz: float) -> Any:
    from train.windows import detect_record

    return detect_record(samples_mv, fs_hz)


def _sleepecg(samples_mv: Samples, fs_hz: float) -> Any:
    from sleepecg import detect_heartbeats

    return detect_heartbeats(samples_mv, fs_hz)


def _xqrs(samples_mv: Samples, fs_hz: float) -> Any:
    from wfdb.processing import xqrs_detect

    return xqrs_detect(samples_mv, fs_hz, verbose=False)


def _gqrs(samples_mv: Samples, fs_hz: float) -> Any:
    from wfdb.processing import gqrs_detect

    # Its thresholds are in counts: 200 a mV, as in the MIT-BIH databases.
    return gqrs_detect(d_sig=np.round(200 * samples_mv).astype(int), fs=fs_hz, adc_gain=200, adc_zero=0)


def _neurokit(method: str) -> Callable[[Samples, float], Any]:
    def find(samples_mv: Samples, fs_hz: float) -> Any:
        import neurokit2

        rate = round(fs_hz)
        cleaned = neurokit2.ecg_clean(samples_mv, sampling_rate=rate, method=method)
        return neurokit2.ecg_peaks(cleaned, sampling_rate=rate, method=method)[1]["ECG_R_Peaks"]

    return find


def _ecgdetectors(method: str) -> Callable[[Samples, float], Any]:
    def find(samples_mv: Samples, fs_hz: float) -> Any:
        from ecgdetectors import Detectors

        return getattr(Detectors(round(fs_hz)), f"{method}_detector")(samples_mv)

    return find


def _biosppy(samples_mv: Samples, fs_hz: float) -> Any:
    from biosppy.signals import ecg, tools

    # The steps of its `ecg()` up to the R peaks.
    order = 1.5 * fs_hz
    filtered, _, _ = tools.filter_signal(
        signal=samples_mv, ftype="FIR", band="bandpass", order=int(order), frequency=[0.67, 45], sampling_rate=fs_hz
    )
    (peaks,) = ecg.hamilton_segmenter(signal=filtered, sampling_rate=fs_hz)
    (peaks,) = ecg.correct_rpeaks(signal=filtered, rpeaks=peaks, sampling_rate=fs_hz, tol=0.05)
    return peaks


def _heartpy(samples_mv: Samples, fs_hz: float) -> Any:
    import heartpy

    filtered = heartpy.filter_signal(samples_mv, cutoff=0.05, sample_rate=fs_hz, filtertype="notch")
    found, _ = heartpy.process(heartpy.scale_data(filtered), fs_hz)
    return np.asarray(found["peaklist"])[np.asarray(found["binary_peaklist"]) == 1]


_ALL = (
    Detector(OURS, "edge-ecg", _edge_ecg),
    Detector(YARDSTICK, "sleepecg", _sleepecg),
    Detector("wfdb xqrs", "wfdb", _xqrs),
    Detector("wfdb gqrs", "wfdb", _gqrs, everywhere=False),
    Detector("NeuroKit2 neurokit", "neurokit2", _neurokit("neurokit")),
    Detector("NeuroKit2 pantompkins1985", "neurokit2", _neurokit("pantompkins1985")),
    Detector("NeuroKit2 kalidas2017", "neurokit2", _neurokit("kalidas2017")),
    Detector("NeuroKit2 emrich2023", "neurokit2", _neurokit("emrich2023")),
    Detector("py-ecg-detectors two_average", "py-ecg-detectors", _ecgdetectors("two_average")),
    Detector("py-ecg-detectors hamilton", "py-ecg-detectors", _ecgdetectors("hamilton"), everywhere=False),
    Detector("py-ecg-detectors swt", "py-ecg-detectors", _ecgdetectors("swt"), everywhere=False),
    Detector("py-ecg-detectors pan_tompkins", "py-ecg-detectors", _ecgdetectors("pan_tompkins"), everywhere=False),
    Detector("BioSPPy hamilton", "biosppy", _biosppy),
    Detector("HeartPy", "heartpy", _heartpy, everywhere=False),
)
DETECTORS = {detector.name: detector for detector in _ALL}
"""The detectors by name, this project's own first."""
