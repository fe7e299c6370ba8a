"""The few numbers of `edge_ecg.context.fibrillation`: fitted, cross-validated over people, and reported.

``python -m train.fibrillation`` fits and chooses on cudb's cu01 to cu18, mitdb's DS1, svdb without its test people and
nsrdb_2h, by the first half of nstdb's noise. ``--look`` scores the test people with what stands in that module, and
appends the look.

An episode lies between ``[`` and ``]``, or from ``[`` to the end. One of 10 s or more is noticed when fibrillation is
suspected at some moment of its first 10 s, as known then. A minute of a record is false when it is suspected in it
outside of episodes and of the 10 s after them. cudb's unannotated tachycardias count as false there too.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_ecg.context import fibrillation as runtime
from edge_ecg.datasets import data_root
from edge_ecg.dsp.filters import HighPass
from edge_ecg.dsp.resample import Resampler
from edge_ecg.errors import DataError
from edge_ecg.io import read_annotations, read_record
from edge_ecg.scoring.pairing import flutter_of
from train.logistic import fit_logistic
from train.looks import append_look
from train.noise import first_half, read_noise, resample_noise, second_half
from train.people import MITDB_TEST, SVDB_TEST
from train.rhythm_records import training_records

__all__ = ["Lead", "Model", "Score", "Windows", "cross_validated", "fit", "fitting_names", "lead_score", "read_leads",
           "report_names", "watched", "windows_of"]  # fmt: skip

Samples = NDArray[np.float64]
Interval = tuple[float, float]

N_FOLDS = 6
NOTICE_S = 10.0
AFTER_S = 10.0
_AROUND_S = {"cudb": (20.0, 15.0)}
"""Before and behind an episode nothing is learnt: what leads to fibrillation, shocks, massage."""
_MOST_POSITIVE = 100.0
_NEGATIVE_SHARE = 3.0
_EVERY_NEGATIVE = 3
_NOISY_S = 180
_SNR_DB = (-6.0, 18.0)
_NOISE_HZ = 360.0
_ASYSTOLE_MV = (0.1, 0.5)
_NOISES = (("ma",), ("ma",), ("bw",), ("ma", "bw"))


@dataclass(frozen=True, slots=True, eq=False)
class Lead:
    """One lead: mV at ``fs_hz``, finite; ``first`` is the one a device would hear; episodes in s."""

    database: str
    name: str
    first: bool
    fs_hz: float
    samples_mv: Samples
    episodes: tuple[Interval, ...] = ()

    @property
    def person(self) -> str:
        """Of one person all leads, and what was made of them."""
        return f"{self.database}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What the runtime measures of a lead, a window a second: columns, whether judged, the end of each in s."""

    lead: Lead
    columns: Samples
    judged: NDArray[np.bool_]
    end_s: Samples
    noisy: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """A logit is ``bias + weights . columns``."""

    weights: tuple[float, ...]
    bias: float


@dataclass(frozen=True, slots=True)
class Score:
    """Of one lead: seconds to notice of each long episode (None: not in time), and the false minutes."""

    delays_s: tuple[tuple[float, float | None], ...]
    false_minutes: tuple[int, ...]
    false_s: float
    share_covered: float | None


def fitting_names(root: Path) -> list[tuple[str, str]]:
    """Database and name of what fits and chooses."""
    return [*(("cudb", f"cu{k:02d}") for k in range(1, 19)), *training_records(root)]


def report_names() -> list[tuple[str, str]]:
    """Database and name of the test people."""
    return [
        *(("cudb", f"cu{k}") for k in range(19, 36)),
        *(("mitdb", str(k)) for k in sorted(MITDB_TEST)),
        *(("svdb", str(k)) for k in sorted(SVDB_TEST)),
    ]


def read_leads(root: Path, database: str, name: str) -> list[Lead]:
    """All leads of a record, the first in front. Raises `DataError` when it is not whole."""
    record, notes = read_record(root / database / name), read_annotations(root / database / name)
    if problem := record.problem or notes.problem:
        raise DataError(problem, f"Get it again with `edge-ecg data fetch {database}`")
    fs_hz, samples_mv = record.header.fs_hz, record.samples_mv().astype(np.float64)
    end = float(len(samples_mv))
    episodes = tuple((a / fs_hz, min(b, end) / fs_hz) for a, b in flutter_of(notes.sample.tolist(), notes.symbol))
    first = record.lead_index(None) if database == "mitdb" else 0
    leads = []
    for k in sorted(range(samples_mv.shape[1]), key=lambda k: k != first):
        x, known = samples_mv[:, k], np.isfinite(samples_mv[:, k])
        x = np.interp(np.arange(len(x)), np.flatnonzero(known), x[known])
        leads.append(Lead(database, name, k == first, fs_hz, x, episodes))
    return leads


def windows_of(lead: Lead, *, noisy: bool = False) -> Windows:
    """Measure all windows of a lead as the runtime does, but many at once."""
    fs_hz, n = float(runtime.FS_HZ), runtime.N_WINDOW
    x = HighPass(runtime.CUTOFF_HZ, fs_hz).feed(Resampler(lead.fs_hz, fs_hz).feed(lead.samples_mv))
    windows = np.lib.stride_tricks.sliding_window_view(x, n)[:: runtime.FS_HZ]
    parts = [runtime.measure(windows[k : k + 300]) for k in range(0, len(windows), 300)]
    columns, judged = (np.concatenate(of) for of in zip(*parts, strict=True))
    return Windows(lead, columns, judged, runtime.WINDOW_S + np.arange(len(columns), dtype=np.float64), noisy)


def disturbed(lead: Lead, noises: Mapping[str, Sequence[Samples]]) -> list[Lead]:
    """Four pieces of a lead under muscle artefact or wander; ``noises`` at the lead's rate, drawn by its name."""
    rng = np.random.default_rng(zlib.crc32(lead.person.encode()))
    n = round(_NOISY_S * lead.fs_hz)
    pieces = []
    for names in _NOISES:
        begin = int(rng.integers(len(lead.samples_mv) - n))
        x = lead.samples_mv[begin : begin + n]
        noise = np.zeros(n)
        for name in names:
            source = noises[name][rng.integers(len(noises[name]))]
            start = int(rng.integers(len(source) - n))
            noise += _unit_power(source[start : start + n])
        noisy = _with_noise(x, noise, lead.fs_hz, rng.uniform(*_SNR_DB))
        pieces.append(replace(lead, samples_mv=noisy, episodes=()))
    return pieces


def asystole(half: Any) -> list[Lead]:
    """Noise and no heart, small and large."""
    return [
        Lead("asystole", f"{kind}{k} of {rms_mv} mV", True, _NOISE_HZ, rms_mv * _unit_power(x))
        for kind, sources in noises_at(_NOISE_HZ, half).items()
        for k, x in enumerate(sources)
        for rms_mv in _ASYSTOLE_MV
    ]


def _with_noise(x: Samples, noise: Samples, fs_hz: float, snr_db: float) -> Samples:
    """As of `train.noise`: the signal's power is the square of the usual height of a second over 8."""
    n_second = round(fs_hz)
    height_mv = float(np.median(np.ptp(x[: len(x) // n_second * n_second].reshape(-1, n_second), axis=1)))
    return x + _unit_power(noise) * height_mv / math.sqrt(8.0 * 10.0 ** (snr_db / 10.0))


def _unit_power(x: Samples) -> Samples:
    unit: Samples = (x - x.mean()) / x.std()
    return unit


def noises_at(fs_hz: float, half: Any) -> dict[str, list[Samples]]:
    """Both leads of ``ma`` and ``bw`` at a rate; ``half`` is `first_half` or `second_half`."""
    found = {}
    for name in ("ma", "bw"):
        noise_mv, noise_hz = read_noise(name)
        found[name] = [resample_noise(half(lead), noise_hz, fs_hz) for lead in noise_mv.T]
    return found


def fit(windows: Iterable[Windows]) -> Model:
    """Logistic regression; a person's fibrillation weighs as 100 s at most, all else three times all of it."""
    rows, labels, weights = [], [], []
    for of in windows:
        label = _labels(of)
        inside, outside = np.flatnonzero((label == 1) & of.judged), np.flatnonzero((label == 0) & of.judged)
        outside = outside[::_EVERY_NEGATIVE]
        rows += [of.columns[inside], of.columns[outside]]
        labels += [np.ones(len(inside)), np.zeros(len(outside))]
        weights += [np.full(len(inside), min(1.0, _MOST_POSITIVE / max(1, len(inside)))), np.ones(len(outside))]
    x, y, w = np.concatenate(rows), np.concatenate(labels), np.concatenate(weights)
    w[y == 0] *= _NEGATIVE_SHARE * w[y == 1].sum() / w[y == 0].sum()
    return Model(*fit_logistic(x, y, w))


def _labels(of: Windows) -> NDArray[np.int64]:
    """1 for windows within an episode, 0 far from all, -1 between."""
    before_s, after_s = _AROUND_S.get(of.lead.database, (2.0, 5.0))
    begin_s, label = of.end_s - runtime.WINDOW_S, np.zeros(len(of.end_s), dtype=np.int64)
    for a, b in of.lead.episodes:
        label[(of.end_s > a - before_s) & (begin_s < b + after_s)] = -1
    for a, b in of.lead.episodes:
        label[(begin_s >= a - 0.5) & (of.end_s <= b + 0.5)] = 1
    return label


def logits(model: Model, of: Windows) -> Samples:
    """One a window, as the runtime's."""
    return np.where(of.judged, model.bias + of.columns @ np.array(model.weights), -runtime.LOGIT_CAP)


def decided(of: Windows, logits_: Samples) -> list[Interval]:
    """When fibrillation is suspected, s, as known then."""
    verdict, changes = runtime.Verdict(), []
    for end_s, logit in zip(of.end_s.tolist(), logits_.tolist(), strict=True):
        if verdict.feed(logit) is not None:
            changes.append(end_s)
    return _intervals(changes, len(of.lead.samples_mv) / of.lead.fs_hz)


def watched(lead: Lead) -> list[Interval]:
    """The same by the runtime itself, with what stands in it."""
    changes = [c.at_index / lead.fs_hz for c in runtime.FibrillationWatch(lead.fs_hz).feed(lead.samples_mv)]
    return _intervals(changes, len(lead.samples_mv) / lead.fs_hz)


def _intervals(changes_s: list[float], end_s: float) -> list[Interval]:
    ends = [*changes_s, end_s][: 2 * ((len(changes_s) + 1) // 2)]
    return list(zip(ends[::2], ends[1::2], strict=True))


def lead_score(lead: Lead, suspected_s: Sequence[Interval]) -> Score:
    """Score the suspected intervals of a lead by the rules at the head of this module."""
    delays: list[tuple[float, float | None]] = []
    long_s = covered_s = 0.0
    for a, b in lead.episodes:
        if b - a < NOTICE_S:
            continue
        at_s = min((max(s - a, 0.0) for s, e in suspected_s if e > a and s <= a + NOTICE_S), default=None)
        delays.append((a, at_s))
        long_s += b - a
        covered_s += sum(max(0.0, min(e, b) - max(s, a)) for s, e in suspected_s)
    false = list(suspected_s)
    for a, b in lead.episodes:
        false = [piece for s, e in false for piece in ((s, min(e, a)), (max(s, b + AFTER_S), e)) if piece[0] < piece[1]]
    minutes = sorted({k for s, e in false for k in range(int(s // 60), math.ceil(e / 60))})
    share = covered_s / long_s if long_s else None
    return Score(tuple(delays), tuple(minutes), sum(e - s for s, e in false), share)


def cross_validated(windows: Sequence[Windows], n_folds: int = N_FOLDS) -> list[Samples]:
    """Logits of all windows, each by a model that has not seen the person; people are dealt out like cards."""
    people: dict[str, dict[str, int]] = {}
    for of in windows:
        dealt = people.setdefault(of.lead.database, {})
        dealt.setdefault(of.lead.name, len(dealt) % n_folds)
    fold = [people[of.lead.database][of.lead.name] for of in windows]
    models = [fit(of for of, k in zip(windows, fold, strict=True) if k != out) for out in range(n_folds)]
    return [logits(models[k], of) for of, k in zip(windows, fold, strict=True)]


def mean_logits(logits_: Samples) -> Samples:
    """What is held against the limits: the mean of the last few, capped."""
    n, capped = runtime.N_MEAN, np.clip(logits_, -runtime.LOGIT_CAP, runtime.LOGIT_CAP)
    return np.concatenate([np.full(n - 1, -runtime.LOGIT_CAP), np.convolve(capped, np.full(n, 1.0 / n), "valid")])


def margins(windows: Sequence[Windows], all_logits: Sequence[Samples]) -> tuple[list[float], list[float]]:
    """Highest mean logit in the first 10 s of each long episode, and outside episodes of each record of mitdb, svdb."""
    reached, outside = [], []
    for of, logits_ in zip(windows, all_logits, strict=True):
        mean, far = mean_logits(logits_), np.ones(len(logits_), dtype=bool)
        for a, b in of.lead.episodes:
            far &= (of.end_s < a) | (of.end_s > b + AFTER_S)
            if b - a >= NOTICE_S and of.lead.database == "cudb":
                reached.append(float(mean[(of.end_s >= a) & (of.end_s <= a + NOTICE_S)].max()))
        if of.lead.database in {"mitdb", "svdb"}:
            outside.append(float(mean[far].max()))
    return sorted(reached), sorted(outside, reverse=True)


def totals(scores: Mapping[str, Score], databases: Sequence[str]) -> dict[str, Any]:
    """Figures of some databases together; records are named ``database/name``."""
    chosen = {name: s for name, s in scores.items() if name.partition("/")[0] in databases}
    delays = [(name, a, at_s) for name, s in chosen.items() for a, at_s in s.delays_s]
    in_time_s = [at_s for *_, at_s in delays if at_s is not None]
    shares = [s.share_covered for s in chosen.values() if s.share_covered is not None]
    return {
        "records": len(chosen),
        "episodes": len(delays),
        "noticed_in_10_s": len(in_time_s),
        "missed": [f"{name} at {a:.0f} s" for name, a, at_s in delays if at_s is None],
        "median_delay_s": float(np.median(in_time_s)) if in_time_s else None,
        "share_covered": float(np.mean(shares)) if shares else None,
        "false_minutes": sum(len(s.false_minutes) for s in chosen.values()),
        "false_s": round(sum(s.false_s for s in chosen.values()), 1),
        "false_in": {name: list(s.false_minutes) for name, s in chosen.items() if s.false_minutes},
    }


def _print(title: str, scores: Mapping[str, Score]) -> dict[str, Any]:
    """Print and return the figures, database by database."""
    figures = {}
    for database in dict.fromkeys(name.partition("/")[0] for name in scores):
        f = figures[database] = totals(scores, [database])
        missed = f"; missed: {', '.join(f['missed'])}" if f["missed"] else ""
        noticed = f"{f['noticed_in_10_s']} of {f['episodes']} episodes noticed{missed}; " if f["episodes"] else ""
        if f["noticed_in_10_s"]:
            noticed += f"half within {f['median_delay_s']:.1f} s, {f['share_covered']:.0%} of their time covered; "
        print(f"{title}, {database}, {f['records']} records: {noticed}{f['false_minutes']} false minutes "
              f"({f['false_s']} s) {f['false_in'] or ''}")  # fmt: skip
    return figures


def _fit_and_report(root: Path) -> None:
    """Measure, cross-validate, print what chooses, then the model of all."""
    windows: list[Windows] = []
    for database, name in fitting_names(root):
        leads = read_leads(root, database, name)
        windows += [windows_of(lead) for lead in leads]
        if database in {"mitdb", "svdb"} and not leads[0].episodes:
            noises = noises_at(leads[0].fs_hz, first_half)
            windows += [windows_of(piece, noisy=True) for piece in disturbed(leads[0], noises)]
    windows += [windows_of(lead, noisy=True) for lead in asystole(first_half)]
    all_logits = cross_validated(windows)
    for title, chosen in {
        "first lead": [k for k, of in enumerate(windows) if of.lead.first and not of.noisy],
        "other lead": [k for k, of in enumerate(windows) if not of.lead.first],
        "with noise": [k for k, of in enumerate(windows) if of.noisy],
    }.items():
        picked, picked_logits = [windows[k] for k in chosen], [all_logits[k] for k in chosen]
        reached, outside = margins(picked, picked_logits)
        lowest, highest = (np.round(of[:5], 2).tolist() for of in (reached, outside))
        print(f"{title}: mean logits of the least episodes {lowest}, of the worst records outside {highest}")
        scores = {
            f"{of.lead.person}{f'/{k}' if of.noisy else ''}": lead_score(of.lead, decided(of, z))
            for k, (of, z) in enumerate(zip(picked, picked_logits, strict=True))
        }
        _print(f"  cross-validated, {title}", scores)
    model = fit(windows)
    print(f"WEIGHTS = {tuple(round(w, 2) for w in model.weights)}\nBIAS = {model.bias:.2f}")


def _noise_report(root: Path) -> None:
    """Two records under the half of the noise that fits nothing, and that half alone."""
    for name in ("118", "119"):
        lead = read_leads(root, "mitdb", name)[0]
        for kind, sources in noises_at(lead.fs_hz, second_half).items():
            x = lead.samples_mv[: len(sources[0])]
            for snr_db in (12.0, 6.0, 0.0, -6.0):
                noisy = replace(lead, samples_mv=_with_noise(x, sources[0][: len(x)], lead.fs_hz, snr_db))
                n_false = len(lead_score(noisy, watched(noisy)).false_minutes)
                n_minutes = math.ceil(len(x) / lead.fs_hz / 60.0)
                print(f"mitdb/{name}, {kind} at {snr_db:g} dB: {n_false} false of {n_minutes} minutes")
    for lead in asystole(second_half):
        score = lead_score(lead, watched(lead))
        print(f"{lead.person} alone, {len(lead.samples_mv) / lead.fs_hz:.0f} s: {score.false_s:.0f} s false")


_REST = (("mitdb", "107"), ("mitdb", "217"))
"""Paced: neither fitting nor test people."""


def _watch(root: Path, names: Iterable[tuple[str, str]], number: int) -> dict[str, Score]:
    leads = (read_leads(root, *name)[number:] for name in names)
    return {of[0].person: lead_score(of[0], watched(of[0])) for of in leads if of}


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Score the fitting people and noise with what stands in the module.")
@click.option("--look", is_flag=True, help="Score the test people, once, and append the look.")
def main(check: bool, look: bool) -> None:
    """Fit by default."""
    root = data_root()
    if not (check or look):
        _fit_and_report(root)
    if check:
        for number, title in ((0, "first lead"), (1, "other lead")):
            _print(f"by the runtime, fitting people, {title}", _watch(root, [*fitting_names(root), *_REST], number))
        _noise_report(root)
    if look:
        scores = _watch(root, report_names(), 0)
        figures = _print("by the runtime, test people", scores)
        append_look(
            "ventricular flutter or fibrillation suspected: cu19 to cu35, mitdb's and svdb's test people, first lead",
            scores, figures, "python -m train.fibrillation --look",
        )  # fmt: skip


if __name__ == "__main__":
    main()
