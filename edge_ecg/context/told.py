"""When a beat is known, where no detector says it."""

from __future__ import annotations

__all__ = ["TOLD_S"]

TOLD_S = 0.36
"""A beat detector has told of an R by then, s behind it."""
