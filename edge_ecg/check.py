"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "Status"]

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: ``ok``, ``warn`` (something will not work) or ``fail`` (nothing will)."""

    name: str
    status: Status
    detail: str
    next_step: str = ""
