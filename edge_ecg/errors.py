"""Errors that end the work. Each carries what to do next and the exit code of the command line.

Corrupt or missing *data* are counters and events, never exceptions; these are for "cannot go on".
"""

from __future__ import annotations

__all__ = ["ConfigError", "DataError", "EdgeEcgError", "ModelError", "SourceError", "UsageError"]


class EdgeEcgError(Exception):
    """Root of the tree: a message, and a hint that names the next step.

    Parameters
    ----------
    message
        What was expected, what was found, and where.
    hint
        What to try next; printed on the same line.
    """

    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(EdgeEcgError):
    """An argument makes no sense: an unknown lead, a verb of the checkout outside a checkout."""

    exit_code = 2


class ConfigError(EdgeEcgError):
    """A settings file or variable: an unknown key, a value of the wrong type, a file that is no TOML."""

    exit_code = 2


class ModelError(EdgeEcgError):
    """A bundle that must not be run: corrupt, foreign, or made for another preprocessing."""

    exit_code = 3


class SourceError(EdgeEcgError):
    """Samples cannot come: no port, a busy port, a board that does not answer or went away."""

    exit_code = 4


class DataError(EdgeEcgError):
    """A record or data set that is missing, cut short or not what it says."""

    exit_code = 5
