"""Lists of checksums (``SHA256SUMS.txt``): what they name, and whether the files fit."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from edge_ecg.errors import DataError

__all__ = ["file_state", "parse_sums", "sha256_of", "wanted_files"]

RECORD_SUFFIXES = {".hea", ".dat", ".xyz", ".atr"}


def parse_sums(text: str, where: str) -> dict[str, str]:
    """``{file: sha256}`` of a list as ``sha256sum`` writes it; a name that leads outside is refused.

    Raises
    ------
    DataError
        A line that is none of these, with ``where`` and its number.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"([0-9a-fA-F]{64})\s+\*?(\S.*?)\s*", line)
        if not match:
            raise DataError(
                f"{where} line {number}: expected `SHA256 FILE`, found {line[:80]!r}", "Fetch it again"
            )
        item = match[2]
        inside = PurePosixPath(item)
        if inside.is_absolute() or ".." in inside.parts or re.search(r'[\\:\x00-\x1f?#%*"<>|]', item):
            raise DataError(
                f"{where} line {number}: {item!r} leads outside the folder", "Do not use this list"
            )
        sums[item] = match[1].lower()
    return sums


def wanted_files(sums: dict[str, str]) -> dict[str, str]:
    """The files a fetch brings: the records nearest to the top with their RECORDS list.

    mitdb also lists pages, plots and extra excerpts in folders; ptbdb has one folder a patient.
    """
    headers = [PurePosixPath(item) for item in sums if item.endswith(".hea")]
    if not headers:
        return sums
    depth = min(len(header.parts) for header in headers)
    stems = {header.with_suffix("") for header in headers if len(header.parts) == depth}
    return {
        item: sha256
        for item, sha256 in sorted(sums.items())
        if item == "RECORDS"
        or (PurePosixPath(item).suffix in RECORD_SUFFIXES and PurePosixPath(item).with_suffix("") in stems)
    }


def file_state(file: Path, sha256: str) -> str:
    """``"ok"``, ``"missing"`` or ``"wrong"``."""
    try:
        found = sha256_of(file)
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "wrong"
    return "ok" if found == sha256 else "wrong"


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
