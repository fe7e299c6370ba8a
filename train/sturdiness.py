"""What a portable monitor does to a model: beats again, their records disturbed before the device hears them.

Each disturbance is put on the whole raw record; the device's preprocessing then cuts all windows anew at the R
positions of the clean record, so that the figure is of the classifier and not of the detector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge_ecg.datasets import data_root
from edge_ecg.dsp.preprocess import PreprocessParams
from edge_ecg.errors import DataError, UsageError
from edge_ecg.front import inputs_of_record
from edge_ecg.io import read_annotations
from edge_ecg.labels import AAMI5, LABEL_SETS
from edge_ecg.scoring.confusion import Confusion
from train.noise import NORMAL_SYMBOLS, first_half, read_noise, resample_noise, scale_for_snr, second_half
from train.record_files import RecordFiles
from train.room import check_room
from train.splits import Split
from train.window_set import WindowSet, kept, runs_root
from train.windows import annotated_lead, detected_r

__all__ = [
    "CONDITIONS",
    "RULES",
    "Condition",
    "Heard",
    "Part",
    "Sturdiness",
    "check_sturdy",
    "disturbed_windows",
    "hear",
    "sturdiness_of",
]

Samples = NDArray[np.float64]
Part = Literal["test", "validation"]
"""Of a split, which beats are disturbed; each has its own half of the noise: `test` the second."""

SNR_DB = 12.0
JITTER_S = 0.016
STEP_EVERY_S = 10.0
STEP_GAIN = 2.0
_FACTORS = {"gain_half": 0.5, "gain_double": 2.0, "inverted": -1.0}
_STEP_PHASES = 4
"""Ways to place the gain steps; a beat is taken from that in which one lies nearest the middle of its history."""

CONDITIONS = {
    "clean": "as recorded",
    "ma_12db": "muscle artefact at 12 dB: second half of nstdb ma, first channel, whole record, scaled as nst does",
    "jitter_16ms": "R moved by up to 16 ms to either side, uniformly, each beat by itself",
    "gain_half": "whole record x 0.5",
    "gain_double": "whole record x 2",
    "gain_step": "gain x 2 or back (about the median level), 3.75 to 6.25 s before the window ends: mid scale history",
    "inverted": "lead inverted",
}
"""By name, what was done; `clean` is what the others are compared with."""

RULES = (
    "test beats of the split, at the clean record's R (the detector's own where it matches the annotation), device "
    "preprocessing; loss in points of accuracy against clean; device-independent"
)


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One record before it is disturbed.

    Attributes
    ----------
    record
        Its number.
    samples_mv, fs_hz
        ``(n,)`` its lead and the rate.
    r, normal
        ``(n_beats,)`` R peaks of all beats; annotated R of the normal ones, whose size noise is measured by.
    rows
        Which of the beats are in the window set, in its order.
    """

    record: int
    samples_mv: Samples
    fs_hz: float
    r: Samples
    normal: Samples
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Condition:
    """Figures under one of `CONDITIONS`, as fractions; the loss in points of accuracy."""

    name: str
    accuracy: float
    macro_f1: float
    loss_points: float


@dataclass(frozen=True, slots=True)
class Sturdiness:
    """All conditions on one part of a split, `clean` first."""

    n: int
    split: str
    lead: str
    conditions: tuple[Condition, ...]
    part: Part = "test"

    @property
    def rules(self) -> str:
        """`RULES`, of the part that it is."""
        return RULES.replace("test", self.part, 1)

    def what(self, name: str) -> str:
        """What was done under one of `CONDITIONS`, by the half of the noise that belongs to the part."""
        return CONDITIONS[name] if self.part == "test" else CONDITIONS[name].replace("second half", "first half")

    def to_json(self) -> dict[str, Any]:
        """For a card: what was done, on what, with which figures."""
        return {
            "n": self.n,
            "split": self.split,
            "part": self.part,
            "lead": self.lead,
            "rules": self.rules,
            "conditions": {
                c.name: {
                    "what": self.what(c.name),
                    "accuracy": c.accuracy,
                    "macro_f1": c.macro_f1,
                    "loss_points": c.loss_points,
                }
                for c in self.conditions
            },
        }

    def lines(self) -> list[str]:
        """As text."""
        head = f"Sturdiness, {self.n} beats, {self.split} split, lead {self.lead}: {self.rules}"
        return [head, "  condition     accuracy  macro F1  loss", *(
            f"  {c.name:12}  {c.accuracy:8.4f}  {c.macro_f1:8.4f}  {c.loss_points:5.2f}  {self.what(c.name)}"
            for c in self.conditions
        )]  # fmt: skip


def hear(stem: Path, record: int) -> Heard:
    """Read a record of mitdb as its windows were cut from it."""
    beats, notes = annotated_lead(stem, AAMI5), read_annotations(stem)
    normal = [s for s, symbol in zip(notes.sample.tolist(), notes.symbol, strict=True) if symbol in NORMAL_SYMBOLS]
    rows = np.flatnonzero(beats.labels < len(LABEL_SETS["aami5"]))
    r = detected_r(beats.samples_mv, beats.fs_hz, beats.r)
    return Heard(record, beats.samples_mv, beats.fs_hz, r, np.array(normal, float), rows[rows < len(r) - 1])


def disturbed_windows(
    heard: Heard, name: str, params: PreprocessParams, noise_mv: Samples, noise_fs_hz: float
) -> NDArray[np.float32]:
    """Windows ``(n_rows, 187)`` of a record under one of `CONDITIONS`.

    Parameters
    ----------
    noise_mv, noise_fs_hz
        ``(m,)`` the muscle artefact that may be used, mV, and its rate.

    Raises
    ------
    DataError
        A record without a normal beat: no scale gives the noise its strength.
    """
    x, r = heard.samples_mv, heard.r
    if name == "ma_12db":
        noise = resample_noise(np.nan_to_num(noise_mv), noise_fs_hz, heard.fs_hz)
        scale = scale_for_snr(x, heard.normal, noise, heard.fs_hz, SNR_DB)
        # Summed from its steps: no jump where the noise begins anew.
        x = x + scale * np.cumsum(np.resize(np.diff(noise, prepend=noise[0]), len(x)))
    elif name == "jitter_16ms":
        by = np.random.default_rng(heard.record).uniform(-JITTER_S, JITTER_S, len(r)) * heard.fs_hz
        r = np.maximum.accumulate(np.clip(r + by, 0, len(x) - 1))
    elif name in _FACTORS:
        x = _FACTORS[name] * x
    elif name == "gain_step":
        return _stepped(heard, params)
    return np.stack([w.inputs for w in inputs_of_record(x, heard.fs_hz, r, params)])[heard.rows]


def _stepped(heard: Heard, params: PreprocessParams) -> NDArray[np.float32]:
    """Gain steps every ten seconds, in several phases; each beat from the phase that puts a step mid history."""
    level_mv = float(np.median(heard.samples_mv))
    t_s = np.arange(len(heard.samples_mv)) / heard.fs_hz
    best, out = np.full(len(heard.r), np.inf), np.zeros((len(heard.r), params.window.n_samples), np.float32)
    for k in range(_STEP_PHASES):
        since_s = t_s + STEP_EVERY_S * k / _STEP_PHASES
        gain = np.where(since_s // STEP_EVERY_S % 2 == 1, STEP_GAIN, 1.0)
        cut = inputs_of_record(level_mv + gain * (heard.samples_mv - level_mv), heard.fs_hz, heard.r, params)
        ends_s = np.array([w.needed_index for w in cut]) / heard.fs_hz + STEP_EVERY_S * k / _STEP_PHASES
        off = np.abs(ends_s % STEP_EVERY_S - 0.5 * params.window.scale_history_s)
        nearer = off < best
        out[nearer] = np.stack([w.inputs for w in cut])[nearer]
        best = np.minimum(best, off)
    return out[heard.rows]


def check_sturdy(data: WindowSet) -> None:
    """Raise `UsageError` for another data set than mitdb, or for windows that the device does not cut."""
    if data.dataset != "mitdb" or data.segmentation != "causal":
        raise UsageError(
            f"sturdiness is measured on causal windows of mitdb, not on {data.segmentation} ones of {data.title}",
            "Leave --sturdy out",
        )


def sturdiness_of(
    say: Callable[[NDArray[np.float32]], NDArray[Any]],
    data: WindowSet,
    split: Split,
    params: PreprocessParams,
    root: Path | None = None,
    *,
    part: Part = "test",
) -> Sturdiness:
    """Figures of a classifier on one part of a split of mitdb under each of `CONDITIONS`.

    The disturbed windows are kept beside the window sets: another model of the same split reads them.

    Parameters
    ----------
    say
        Probabilities ``(n, n_classes)`` of windows ``(n, 187)``.
    data, split
        The window set, cut by ``params``, and its split.
    root
        Data directory; default `data_root`.
    part
        ``test``; ``validation`` to tune by, without a look at a test beat or at the noise that tests.

    Raises
    ------
    UsageError
        As `check_sturdy`.
    DataError
        Records or noise are missing, or give other clean windows than those of the set.
    """
    check_sturdy(data)
    disturbed = _kept_windows(data, split, params, (root or data_root()) / "mitdb", part)
    labels = data.labels[getattr(split, part)]
    n, clean = len(labels), 0.0
    conditions = []
    for k, name in enumerate(CONDITIONS):
        said = np.asarray(say(disturbed.windows[k * n : (k + 1) * n])).argmax(axis=1)
        confusion = Confusion.of(labels, said, len(LABEL_SETS[data.label_set]))
        clean = confusion.accuracy if name == "clean" else clean
        loss = 100.0 * (clean - confusion.accuracy)
        conditions.append(Condition(name, confusion.accuracy, confusion.macro_f1, loss))
    return Sturdiness(n, split.name, data.lead, tuple(conditions), part)


def _kept_windows(data: WindowSet, split: Split, params: PreprocessParams, folder: Path, part: Part) -> WindowSet:
    """The beats of the part under each condition, one condition after the other."""
    beats, half = {"test": (split.test, second_half), "validation": (split.validation, first_half)}[part]
    numbers = np.unique(data.records[beats]).tolist()
    stems = [folder / str(number) for number in numbers]
    files = RecordFiles.of(stems, "atr", "Get it with `edge-ecg data fetch mitdb`").files
    noise_mv, noise_fs_hz = read_noise("ma")
    half_mv = half(noise_mv[:, 0])
    noise_files = [data_root() / "nstdb" / f"ma.{suffix}" for suffix in ("hea", "dat")]
    code = [Path(__file__), *(Path(__file__).with_name(f"{name}.py") for name in ("noise", "splits"))]

    def build() -> WindowSet:
        n = len(beats)
        n_bytes = n * len(CONDITIONS) * data.windows[:1].nbytes
        check_room(f"disturbing the {part} beats", 200_000_000 + 2 * n_bytes, n_bytes, runs_root() / "windows")
        windows = np.zeros((len(CONDITIONS), n, data.windows.shape[1]), np.float32)
        with tqdm(zip(stems, numbers, strict=True), total=len(stems), unit="record", desc="disturbed beats") as shown:
            for stem, number in shown:
                heard = hear(stem, number)
                of_set = np.flatnonzero(data.records == number)
                at = np.flatnonzero(data.records[beats] == number)
                mine = np.searchsorted(of_set, beats[at])
                for k, name in enumerate(CONDITIONS):
                    cut = disturbed_windows(heard, name, params, half_mv, noise_fs_hz)
                    if name == "clean" and not (len(cut) == len(of_set) and np.array_equal(cut, data.windows[of_set])):
                        raise DataError(f"record {number} gives other windows than the set has", "Build the set again")
                    windows[k, at] = cut[mine]
        repeated = [np.tile(array[beats], len(CONDITIONS)) for array in (data.labels, data.records, data.patients)]
        flat = windows.reshape(-1, windows.shape[2])
        return WindowSet.of(flat, *repeated, dataset="mitdb", label_set=data.label_set, lead=data.lead)

    which = hashlib.sha256(f"{data.sha256} {beats.tobytes().hex()}".encode()).hexdigest()[:8]
    return kept(f"sturdy-mitdb-{split.name}-{part}-{which}", "causal", params, [*files, *noise_files, *code], build)
