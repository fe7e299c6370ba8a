"""Fit the beat detector's nets and write the weights that the device loads: `python -m train.detector`.

Fitted on DS1 and the paced records 107 and 217 of the MIT-BIH Arrhythmia Database, on four fifths of the
Supraventricular one without its test records, and on lead-I patients whose number leaves 2 or 3 divided by 4; clean
and changed by `train.augment`, with three eighths of each noise; the next eighth validates, the second half is for the
report. The seed is chosen by `train.detector_check`. The test people take no part: not here, and not in any choice.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import shlex
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from multiprocessing import Pool
from pathlib import Path

import click
import numpy as np
import scipy
from numpy.typing import NDArray
from tqdm import tqdm

from edge_ecg import __version__
from edge_ecg.datasets import data_root
from edge_ecg.detector import SCHEMA_VERSION, DetectorManifest, pack_weights
from edge_ecg.dsp.nets import FRONT_END_VERSION, QrsNets
from edge_ecg.errors import DataError, EdgeEcgError
from edge_ecg.schema import encode
from train.augment import augmented
from train.candidate_set import Decided, Labelled, label_candidates, run_nets, run_truth
from train.detector_check import Figures, check, first_half, validation_sets
from train.detector_fit import Schedule, fit_rounds
from train.noise import read_noise
from train.people import SVDB_TEST
from train.recordings import Recording, joined, lead1_people, lead1_pieces, wfdb_recording
from train.splits import DS1
from train.window_set import runs_root

PACED_FIT = (107, 217)
PART_S = 300.0


@click.command()
@click.option("--data", "root", type=click.Path(path_type=Path), help="Folder of the databases; default as `data`.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default: qrs-detector under EDGE_ECG_RUNS.")
@click.option("--seed", "seeds", type=int, multiple=True, default=(1, 2, 3), show_default=True, help="Tried seeds.")
@click.option("--jobs", "n_processes", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes.")
def main(root: Path | None, out: Path | None, seeds: tuple[int, ...], n_processes: int) -> None:
    """Fit the beat detector: six minutes on two free cores. The same weights on the same kind of processor.

    \b
    Example:
      python -m train.detector --out edge_ecg/weights/qrs
    """
    root, out = root or data_root(), out or runs_root() / "qrs-detector"
    for name in ("mitdb", "svdb", "ecgdb_lead1", "nstdb"):
        if not (root / name).is_dir():
            raise DataError(f"no {name} in {root}", f"Get it with `edge-ecg data fetch {name}`")
    fit_svdb, validation_svdb = svdb_parts(root)
    items = build(root, n_processes, jobs(root))
    sets = validation_sets(root, validation_svdb, DS1)
    tried: dict[int, tuple[QrsNets, dict[str, Figures]]] = {}
    for seed in seeds:
        nets = fit_rounds(items, looped(items, n_processes), Schedule(), seed, _tell)
        tried[seed] = nets, check(nets, sets, n_processes)
        click.echo(f"seed {seed}: mean validation F1 {_mean_f1(tried[seed][1]):.4f} %")
    seed = max(tried, key=lambda s: _mean_f1(tried[s][1]))
    nets, figures = tried[seed]
    packed = pack_weights(nets)
    manifest = DetectorManifest(
        schema_version=SCHEMA_VERSION,
        id="qrs-detector",
        sha256=hashlib.sha256(packed).hexdigest(),
        front_end_version=FRONT_END_VERSION,
        seed=seed,
        n_candidates=sum(len(item.found) for item in items),
        fitted_on={
            "mitdb": tuple(str(r) for r in (*DS1, *PACED_FIT)),
            "svdb": tuple(fit_svdb),
            "ecgdb_lead1": tuple(lead1_people(root / "ecgdb_lead1", (2, 3))),
            "nstdb": ("ma", "bw"),
        },
        validated_on={
            "mitdb": tuple(str(r) for r in DS1),
            "svdb": tuple(validation_svdb),
            "ecgdb_lead1": tuple(lead1_people(root / "ecgdb_lead1", (1,))),
        },
        schedule={k: v if isinstance(v, tuple) else (v,) for k, v in asdict(Schedule()).items()},
        validation={k: {**asdict(f), "f1_percent": round(f.f1_percent, 4)} for k, f in figures.items()},
        seeds={str(s): round(_mean_f1(f), 4) for s, (_, f) in tried.items()},
        command=shlex.join(["python", "-m", "train.detector", *(f"--seed={s}" for s in seeds)]),
        tool_versions={
            "edge_ecg": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "scipy": scipy.__version__,
        },
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _write(out, {"weights.npz": packed, "manifest.json": (json.dumps(encode(manifest), indent=1) + "\n").encode()})
    for name, f in figures.items():
        click.echo(f"  {name:28s} missed {f.missed:4d}  extra {f.extra:4d}  F1 {f.f1_percent:.3f} %")
    click.echo(f"seed {seed}, SHA-256 {manifest.sha256[:12]}: {out}")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put all files there, or none: a disk that fills leaves what was."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / f"{name}.part").write_bytes(content)
        for name in files:
            (folder / f"{name}.part").replace(folder / name)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}", "Name another folder with --out") from None


def _tell(round_: int, loss: float, nets: QrsNets) -> None:
    click.echo(f"round {round_}: loss {loss:.4f}")


def _mean_f1(figures: Mapping[str, Figures]) -> float:
    return float(np.mean([f.f1_percent for f in figures.values()]))


@dataclass(frozen=True, slots=True)
class Job:
    """One recording to be read, perhaps changed, and labelled."""

    dataset: str
    name: str
    copy: int
    weight: float


def jobs(root: Path) -> list[Job]:
    """What the nets are fitted on: copy 0 is clean, the others are changed."""
    made = [Job("mitdb", str(r), copy, 0.35 if copy else 1.0) for r in (*DS1, *PACED_FIT) for copy in range(4)]
    fit, _ = svdb_parts(root)
    made += [Job("svdb", name, copy, 0.2 if copy else 0.5) for name in fit for copy in range(2)]
    people = lead1_people(root / "ecgdb_lead1", (2, 3))
    return made + [Job("lead1", name, copy, 0.35 if copy else 1.0) for name in people for copy in range(9)]


def svdb_parts(root: Path) -> tuple[list[str], list[str]]:
    """Records of svdb that fit and that validate; the test records are in neither."""
    names = [n for n in (root / "svdb" / "RECORDS").read_text().split() if n not in {str(r) for r in SVDB_TEST}]
    return [n for k, n in enumerate(names) if k % 5 != 2], [n for k, n in enumerate(names) if k % 5 == 2]


def labelled(job: Job, root: Path) -> list[Labelled]:
    """The candidates of a job. Changed copies differ every five minutes, or piece by piece."""
    rng = np.random.default_rng(zlib.crc32(f"{job.dataset}/{job.name}/{job.copy}".encode()))
    if job.dataset == "lead1":
        pieces = lead1_pieces(root / "ecgdb_lead1", job.name)
        recordings = [joined(pieces)] if job.copy <= 4 else [pieces[k] for k in rng.permutation(len(pieces))[:5]]
    else:
        whole = wfdb_recording(root / job.dataset, job.name)
        recordings = list(parts(whole)) if job.copy else [whole]
    if job.copy:
        recordings = [augmented(r, noise_to_fit(root), rng) for r in recordings]
    return [label_candidates(r, job.weight) for r in recordings]


def parts(recording: Recording) -> Iterator[Recording]:
    """Stretches of five minutes."""
    step = round(PART_S * recording.fs_hz)
    for start in range(0, len(recording.samples_mv) - step // 2, step):
        x = recording.samples_mv[start : start + step]
        inside = (recording.r >= start) & (recording.r < start + len(x))
        ignore = tuple((a - start, b - start) for a, b in recording.ignore if b > start and a < start + len(x))
        yield replace(recording, samples_mv=x, r=recording.r[inside] - start, ignore=ignore)


@functools.cache
def noise_to_fit(root: Path) -> Mapping[str, tuple[NDArray[np.float64], float]]:
    """What of `ma` and `bw` may be fitted to: one lead, mV, and its rate."""
    found = {}
    for name in ("ma", "bw"):
        both, fs_hz = read_noise(root / "nstdb" / name)
        found[name] = first_half(both[:, 0], validates=False), fs_hz
    return found


def build(root: Path, n_processes: int, wanted: Sequence[Job]) -> list[Labelled]:
    """All candidates, in the order of the jobs."""
    with Pool(n_processes) as pool:
        made = pool.imap(functools.partial(labelled, root=root), wanted, 4)
        return [item for items in tqdm(made, "candidates", len(wanted)) for item in items]


def looped(items: Sequence[Labelled], n_processes: int) -> Callable[[QrsNets | None], Sequence[Decided]]:
    """What runs the truth or nets on every item."""

    def run(nets: QrsNets | None) -> Sequence[Decided]:
        decide = run_truth if nets is None else functools.partial(run_nets, nets=nets)
        with Pool(n_processes) as pool:
            return list(tqdm(pool.imap(decide, items, 16), "in the loop", len(items)))

    return run



if __name__ == "__main__":
    try:
        main()
    except EdgeEcgError as error:
        sys.exit(f"train.detector: {error}")
