"""A secret that lies in a file which only its owner can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from edge_ecg.errors import ConfigError

__all__ = ["read_secret", "systemd_credential"]

MOST_BYTES = 4096


def read_secret(path: str | Path, key: str, env: Mapping[str, str] = os.environ) -> str:
    """The first line of a file of mode 0600 or stricter, or of a credential of systemd, whose folder keeps others out.

    Parameters
    ----------
    key
        The setting that names the file, for the error.
    env
        The environment, of which ``CREDENTIALS_DIRECTORY`` is looked at.

    Raises
    ------
    ConfigError
        When there is none, others may read it, or it holds no line of text. The secret is never in the message.
    """
    try:
        # A pipe would be waited for.
        file = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{key}: {path} is not a regular file", "Name the file that holds the secret")
            if status.st_mode & 0o077 and not _is_credential(Path(path), env):
                mode = stat.S_IMODE(status.st_mode)
                raise ConfigError(f"{key}: others may use {path} (mode {mode:04o})", f"Run `chmod 600 {path}`")
            held = os.read(file, MOST_BYTES + 1)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such name"
        raise ConfigError(f"{key}: cannot read {path}: {reason}", "Name a file that this user can read") from None
    first, *more = held.rstrip(b"\r\n").split(b"\n")
    try:
        text = first.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip() or more or "\0" in text or len(held) > MOST_BYTES:
        raise ConfigError(f"{key}: {path} is not one line of text", "Write the secret into it, and nothing else")
    return text


def systemd_credential(name: str, env: Mapping[str, str] = os.environ) -> Path | None:
    """The file that ``LoadCredential=NAME:...`` of a systemd unit gives; None where there is none."""
    folder = env.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path is not None and path.exists() else None


def _is_credential(path: Path, env: Mapping[str, str]) -> bool:
    folder = env.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.parent == Path(str(folder))
