"""Which lead of a source to label."""

from __future__ import annotations

from collections.abc import Sequence

from edge_ecg.errors import UsageError

__all__ = ["pick_lead"]


def pick_lead(leads: Sequence[str], wanted: str | int | None, where: str = "this source") -> int:
    """Column of a lead: by name (case does not matter), by number, or the usual one for None.

    The usual one is MLII, else II, else the first.

    Raises
    ------
    UsageError
        No such lead; the message lists those there are.
    """
    names = [lead.casefold() for lead in leads]
    if wanted is None:
        return next((names.index(usual) for usual in ("mlii", "ii") if usual in names), 0)
    text = str(wanted)
    if text.casefold() in names:
        return names.index(text.casefold())
    if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < len(names):
        return int(text)
    there = ", ".join(f"{index} {lead}".strip() for index, lead in enumerate(leads))
    raise UsageError(f"no lead {wanted!r} in {where}", f"Its leads are: {there}")
