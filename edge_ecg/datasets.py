"""The public databases: what they are, where they lie, whether they are whole, how they come here."""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edge_ecg.errors import DataError, UsageError
from edge_ecg.io.checksums import file_state, parse_sums, wanted_files

__all__ = ["CATALOGUE", "ONE_PERSON", "Dataset", "data_root", "dataset", "fetch", "verify"]

SUMS = "SHA256SUMS.txt"
PACKAGE_DATA = Path(__file__).parent / "excerpts"

_PHYSIONET = (
    "Goldberger AL et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220 (2000)"
)
_ODC_BY = "ODC-By 1.0"

ONE_PERSON: Mapping[tuple[str, str], str] = MappingProxyType({("mitdb", "201"): "202", ("mitdb", "202"): "201"})
"""Records of one person: the other one, by database and record."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One public database.

    Attributes
    ----------
    home
        Address the files lie under, with a slash at the end.
    size_mb
        What a fetch brings, rounded, in millions of bytes.
    sums_sha256
        Hash of its list of checksums, where known: a mirror with another list is noticed.
    bundled_sums
        The list of checksums in this package, for a home that has none.
    """

    name: str
    title: str
    home: str
    licence: str
    citation: str
    size_mb: int
    sums_sha256: str | None = None
    bundled_sums: str | None = None


_SETS = (
    Dataset(
        name="mitdb",
        title="MIT-BIH Arrhythmia Database: 48 records of 30 min, 2 leads, 360 Hz",
        home="https://physionet.org/files/mitdb/1.0.0/",
        licence=_ODC_BY,
        citation="Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. "
        f"IEEE Eng in Med and Biol 20(3):45-50 (2001); {_PHYSIONET}",
        size_mb=94,
        sums_sha256="b61158a96d5f2ca80edfb354a9a66a6324836c390a84e1966dcee2b907d6be43",
    ),
    Dataset(
        name="svdb",
        title="MIT-BIH Supraventricular Arrhythmia Database: 78 records of 30 min, 2 leads, 128 Hz",
        home="https://physionet.org/files/svdb/1.0.0/",
        licence=_ODC_BY,
        citation="Greenwald SD. Improved detection and classification of arrhythmias in noise-corrupted "
        f"electrocardiograms using contextual information. PhD thesis, Harvard-MIT (1990); {_PHYSIONET}",
        size_mb=54,
    ),
    Dataset(
        name="nstdb",
        title="MIT-BIH Noise Stress Test Database: baseline, muscle, electrode noise, 360 Hz",
        home="https://physionet.org/files/nstdb/1.0.0/",
        licence=_ODC_BY,
        citation="Moody GB, Muldrow WE, Mark RG. A noise stress test for arrhythmia detectors. "
        f"Computers in Cardiology 11:381-384 (1984); {_PHYSIONET}",
        size_mb=29,
    ),
    Dataset(
        name="cudb",
        title="Creighton University Ventricular Tachyarrhythmia Database: 35 x 8 min, 1 lead, 250 Hz",
        home="https://physionet.org/files/cudb/1.0.0/",
        licence=_ODC_BY,
        citation="Nolle FM et al. CREI-GARD, a new concept in computerized arrhythmia monitoring systems. "
        f"Computers in Cardiology 13:515-518 (1986); {_PHYSIONET}",
        size_mb=7,
    ),
    Dataset(
        name="nsrdb",
        title="MIT-BIH Normal Sinus Rhythm Database: 18 records of about 24 h, 2 leads, 128 Hz",
        home="https://physionet.org/files/nsrdb/1.0.0/",
        licence=_ODC_BY,
        citation=_PHYSIONET,
        size_mb=610,
    ),
    Dataset(
        name="ptbdb",
        title="PTB Diagnostic ECG Database: 549 records of 290 people, 12 and 3 leads, 1000 Hz",
        home="https://physionet.org/files/ptbdb/1.0.0/",
        licence=_ODC_BY,
        citation="Bousseljot R, Kreiseler D, Schnabel A. Nutzung der EKG-Signaldatenbank CARDIODAT der PTB "
        f"über das Internet. Biomedizinische Technik 40, S1, S317 (1995); {_PHYSIONET}",
        size_mb=1800,
    ),
    Dataset(
        name="ecgdb_lead1",
        title="Lead-I ECG database, its 222 PTB patients: 10 recordings of 10 s each, 125 Hz",
        home="https://raw.githubusercontent.com/juanbernalr/ECG_database/main/",
        licence="CC-BY-4.0",
        citation="Bernal-Romero JC, Ramirez-Cortes JM. An open-access database of lead-I ECG signals with "
        "practical variability scenarios. IEEE CBMS (2024), doi 10.1109/CBMS61543.2024.00096",
        size_mb=51,
        bundled_sums="ecgdb_lead1.sha256",
    ),
)
CATALOGUE: dict[str, Dataset] = {entry.name: entry for entry in _SETS}
"""The databases by name."""

# What the home lacks and the package carries: the PTB patients' numbers and diagnoses, drawn from its tables.
_CARRIED = {("ecgdb_lead1", "subjects.csv"): "ecgdb_lead1_subjects.csv"}


def dataset(name: str) -> Dataset:
    """The catalogue's entry.

    Raises
    ------
    UsageError
        An unknown name; the message lists the known ones.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name, CATALOGUE, n=1)
    meant = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(f"no database {name!r}", f"{meant}Known are {', '.join(CATALOGUE)}")


def data_root() -> Path:
    """Directory that holds one folder a database: ``EDGE_ECG_DATA``, else the user's cache."""
    given = os.environ.get("EDGE_ECG_DATA")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("edge-ecg")) / "data"


def verify(name: str, root: Path) -> list[tuple[str, str]]:
    """State of each file of a database: ``(file, "ok" | "missing" | "wrong")``.

    Judged by the list of checksums in the folder, itself judged where its hash is known.

    Raises
    ------
    UsageError
        An unknown name.
    DataError
        No list of checksums there, or one that is none.
    """
    entry = dataset(name)
    folder = root / name
    file = _sums_file(entry, folder)
    try:
        data = file.read_bytes()
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise DataError(
            f"the list of checksums {file} {why}",
            f"`edge-ecg data fetch {name}` brings it and what is missing",
        ) from None
    if entry.sums_sha256 and hashlib.sha256(data).hexdigest() != entry.sums_sha256:
        return [(SUMS, "wrong")]
    return [
        (item, file_state(folder / item, sha256))
        for item, sha256 in wanted_files(parse_sums(text, str(file))).items()
    ]


def fetch(
    name: str,
    root: Path,
    progress: Callable[[str, int, int, int], None] | None = None,
    base_url: str | None = None,
) -> Path:
    """Bring a database into ``root/name``; what is there and whole is left alone.

    A broken download goes on where it stopped; a file appears under its name only when its checksum fits.

    Parameters
    ----------
    progress
        Called with the file, the number of files done, of files in all, and of bytes of this file so far.
    base_url
        A mirror to ask instead of the home.

    Raises
    ------
    UsageError
        An unknown name.
    DataError
        Offline, an address that does not answer, or files that are not what the checksums say.
    """
    from edge_ecg.io.download import download, download_text

    entry = dataset(name)
    home = (base_url or entry.home).rstrip("/") + "/"
    folder = root / name
    try:
        file = _sums_file(entry, folder)
        text = file.read_text("utf-8") if entry.bundled_sums else download_text(home + SUMS)
        if entry.sums_sha256 and hashlib.sha256(text.encode()).hexdigest() != entry.sums_sha256:
            raise DataError(
                f"{home}{SUMS} is not the list {name} is known by", f"Fetch from its home {entry.home}"
            )
        wanted = wanted_files(parse_sums(text, home + SUMS))
        if not entry.bundled_sums:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text.encode())
        for n_done, (item, sha256) in enumerate(wanted.items()):
            _report(progress, item, n_done, len(wanted))
            if file_state(folder / item, sha256) == "ok":
                continue
            if carried := _CARRIED.get((name, item)):
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(PACKAGE_DATA / carried, folder / item)
                continue
            download(home + item, folder / item, sha256, _bytes_of_file(progress, item, n_done, len(wanted)))
        _report(progress, "", len(wanted), len(wanted))
    except DataError as error:
        elsewhere = f"Or download {entry.home} elsewhere and copy the files to {folder}"
        stop = " " if error.hint.endswith("?") else ". "
        raise DataError(error.message, f"{error.hint}{stop}{elsewhere}") from None
    except OSError as error:
        raise DataError(f"cannot write to {folder}: {error}", "Choose another directory with --to") from None
    return folder


def _sums_file(entry: Dataset, folder: Path) -> Path:
    return PACKAGE_DATA / entry.bundled_sums if entry.bundled_sums else folder / SUMS


def _report(
    progress: Callable[[str, int, int, int], None] | None, item: str, n_done: int, n_files: int
) -> None:
    if progress:
        progress(item, n_done, n_files, 0)


def _bytes_of_file(
    progress: Callable[[str, int, int, int], None] | None, item: str, n_done: int, n_files: int
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    call = progress
    return lambda n_bytes: call(item, n_done, n_files, n_bytes)
