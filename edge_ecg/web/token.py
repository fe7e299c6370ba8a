"""The token that a page asks for, in a file that only its owner may read."""

from __future__ import annotations

from edge_ecg.errors import ConfigError
from edge_ecg.secret import read_secret

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
    token = read_secret(path, "web.token_file").strip()
    if not (MIN_CHARS <= len(token) <= MAX_CHARS and token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(
            f"{path} holds no token: one word of {MIN_CHARS} to {MAX_CHARS} ASCII characters",
            f"Make one: {_HOW.format(path)}",
        )
    return token
