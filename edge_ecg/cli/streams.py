"""The last of stdout and stderr."""

from __future__ import annotations

import contextlib
import os
from typing import TextIO

__all__ = ["flush_or_drop"]


def flush_or_drop(stream: TextIO) -> OSError | None:
    """Write what is held back; what cannot be goes nowhere, lest the interpreter complains of it at its end."""
    try:
        stream.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return error
    return None
