"""The window set, and its file: what was cut once is read the next time."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edge_ecg
from edge_ecg.detector import SHIPPED
from edge_ecg.dsp.preprocess import PREPROCESSING_VERSION, PreprocessParams
from edge_ecg.errors import DataError

__all__ = ["SEGMENTATIONS", "WINDOWS_SCHEMA", "WindowSet", "kept", "runs_root"]

SEGMENTATIONS = ("causal", "paper")
"""The device's preprocessing; the published windows, which look ahead and so run on no device."""

WINDOWS_SCHEMA = 2
"""Of the files; raised with their layout."""

# Whatever decides what a window holds. A change of any makes every set anew, which costs half a minute.
_CUTTERS = ("window_set.py", "windows.py", "paper_windows.py", "ptb.py", "own_data.py", "recordings.py")


@dataclass(frozen=True, slots=True, eq=False)
class WindowSet:
    """Beats ready for a network.

    Attributes
    ----------
    windows
        ``(n, 187) float32`` in [0, 1].
    labels
        ``(n,) uint8``, places in the names of the label set.
    records
        ``(n,) int32``, number of the record that a beat comes from.
    patients
        ``(n,) int32``, number of the person whose beat it is; no other person of the set has it.
    dataset
        What `train.load.load_data` takes: the name of a database, or the path of a folder of own data.
    label_set
        Key of `edge_ecg.labels.LABEL_SETS`.
    segmentation
        One of `SEGMENTATIONS`.
    lead
        Its name, such as ``MLII``.
    sha256
        Hash of the four arrays.
    """

    windows: NDArray[np.float32]
    labels: NDArray[np.uint8]
    records: NDArray[np.int32]
    patients: NDArray[np.int32]
    dataset: str
    label_set: str
    segmentation: str
    lead: str
    sha256: str

    @property
    def title(self) -> str:
        """Name of the data set without the path of its folder: for file names and pages."""
        return Path(self.dataset).name

    @classmethod
    def of(
        cls,
        windows: NDArray[np.float32],
        labels: NDArray[np.uint8],
        records: NDArray[np.int32],
        patients: NDArray[np.int32],
        *,
        dataset: str,
        label_set: str = "aami5",
        segmentation: str = "causal",
        lead: str = "MLII",
    ) -> WindowSet:
        """A window set with its hash."""
        digest = hashlib.sha256()
        for array in (windows, labels, records, patients):
            digest.update(np.ascontiguousarray(array).tobytes())
        return cls(windows, labels, records, patients, dataset, label_set, segmentation, lead, digest.hexdigest())


def runs_root() -> Path:
    """Where runs and window sets lie: `EDGE_ECG_RUNS`, else the user's cache. Never the work tree."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("EDGE_ECG_RUNS") or Path(user_cache_dir("edge-ecg")) / "runs")


def kept(
    dataset: str, segmentation: str, params: PreprocessParams, sources: Iterable[Path], build: Callable[[], WindowSet]
) -> WindowSet:
    """What ``build`` gives, or gave earlier of the same ``sources`` by the same code.

    Raises
    ------
    DataError
        When the file cannot be written. What ``build`` raises passes through, and nothing is kept then.
    """
    name = f"{Path(dataset).name}-{segmentation}-{params.fingerprint()}-{_input_hash(sources)}.npz"
    file = runs_root() / "windows" / name
    held = _read(file, dataset)
    if held is not None:
        return held
    built = build()
    try:
        _write(file, built)
    except OSError as error:
        raise DataError(
            f"cannot keep the windows in {file}: {error.strerror or error}", "Name another folder in EDGE_ECG_RUNS"
        ) from None
    return built


def _write(file: Path, data: WindowSet) -> None:
    facts = {
        "schema": WINDOWS_SCHEMA,
        "label_set": data.label_set,
        "segmentation": data.segmentation,
        "lead": data.lead,
        "sha256": data.sha256,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part.npz")
    try:
        np.savez(
            part,
            windows=data.windows,
            labels=data.labels,
            records=data.records,
            patients=data.patients,
            facts=np.array(json.dumps(facts)),
        )
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _read(file: Path, dataset: str) -> WindowSet | None:
    """What an earlier call left; None when there is nothing, or nothing whole."""
    try:
        with file.open("rb") as stream, np.load(stream) as held:
            facts = json.loads(str(held["facts"]))
            data = WindowSet.of(
                *(held[name] for name in ("windows", "labels", "records", "patients")),
                dataset=dataset,
                label_set=facts["label_set"],
                segmentation=facts["segmentation"],
                lead=facts["lead"],
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return data if facts["schema"] == WINDOWS_SCHEMA and facts["sha256"] == data.sha256 else None


def _input_hash(sources: Iterable[Path]) -> str:
    """Changes with the files and with the code that makes windows of them: a stale set is never a hit."""
    package = Path(edge_ecg.__file__).parent
    code = [package / "labels.py", package / "leads.py", package / "detector.py", package / "scoring" / "matching.py"]
    code += sorted([*(package / "dsp").glob("*.py"), *(package / "io").glob("*.py"), *SHIPPED.glob("*")])
    code += [Path(__file__).with_name(name) for name in _CUTTERS]
    digest = hashlib.sha256(f"{WINDOWS_SCHEMA}/{PREPROCESSING_VERSION}".encode())
    for file in [*code, *sources]:
        digest.update(file.name.encode() + b"\0")
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
