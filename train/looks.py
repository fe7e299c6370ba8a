"""The list of looks at test people: who looked at whom, and what was seen. Appended, never edited."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_ecg.errors import DataError

__all__ = ["append_look", "looks_file"]

ENV_LOOKS = "EDGE_ECG_LOOKS"
_ROOT = Path(__file__).resolve().parent.parent


def looks_file() -> Path:
    """Where looks are kept: `EDGE_ECG_LOOKS`, else ``train/looks.jsonl`` of the checkout."""
    return Path(os.environ.get(ENV_LOOKS) or _ROOT / "train" / "looks.jsonl").expanduser()


def append_look(
    what: str, people: Iterable[str], figures: Mapping[str, Any], command: str, model_sha256: str | None = None
) -> None:
    """Append one line: UTC date, what was scored on which test people, the figures, the command, the commit, the model.

    Raises
    ------
    DataError
        The line cannot be written: a look that is not told must not pass in silence.
    """
    line = {
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
        "people": list(people),
        "figures": dict(figures),
        "command": command,
        "commit": _commit(),
        "model_sha256": model_sha256,
    }
    file = looks_file()
    try:
        # One write of one line: two programs that end together do not mix theirs.
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DataError(
            f"cannot append the look at test people to {file}: {error.strerror}",
            f"Make it writable, or name another file in {ENV_LOOKS}",
        ) from None


def _commit() -> str | None:
    """The checkout's commit, with ``+`` when files differ from it; None without git."""
    try:
        said = subprocess.run(
            ["git", "-C", str(_ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None if said.returncode == 0 else None
