"""The token that a page asks for, in a file that only its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge_ecg.errors import ConfigError

__all__ = ["read_token"]

MIN_CHARS, MAX_CHARS = 16, 256
_HOW = "(umask 077; python3 -c 'import secrets; print(secrets.token_urlsafe(24))' > {})"


def read_token(path: str) -> str:
    """The one word in the file.

    Raises
    ------
    ConfigError
        The file cannot be read, others may read it, or what it holds is no token: says what to do.
    """
    file = Path(os.path.expanduser(path))
    try:
        with file.open("rb") as held:
            mode = os.fstat(held.fileno()).st_mode
            content = held.read(4 * MAX_CHARS)
    except OSError as error:
        how = f"Make one: {_HOW.format(file)}" if isinstance(error, FileNotFoundError) else "Check its owner"
        raise ConfigError(f"cannot read the token file {file}: {error.strerror}", how) from None
    if not stat.S_ISREG(mode):
        raise ConfigError(f"the token file {file} is no file", f"Make one: {_HOW.format(file)}")
    if mode & 0o077:
        raise ConfigError(f"others may read the token file {file} (mode {mode & 0o777:04o})", f"chmod 600 {file}")
    try:
        token = content.decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not (MIN_CHARS <= len(token) <= MAX_CHARS and token.isprintable() and " " not in token):
        raise ConfigError(
            f"{file} holds no token: one word of {MIN_CHARS} to {MAX_CHARS} ASCII characters",
            f"Make one: {_HOW.format(file)}",
        )
    return token
