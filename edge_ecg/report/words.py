"""How a report says times, lengths and numbers."""

from __future__ import annotations

from types import MappingProxyType

from edge_ecg.day import Window

__all__ = ["KINDS", "clock", "lasting", "number", "percent", "spelled", "zone_text"]

KINDS = MappingProxyType(
    {
        "v_run": "V run",
        "s_run": "S run",
        "pause": "pause",
        "bigeminy": "bigeminy",
        "trigeminy": "trigeminy",
        "sinus": "sinus",
        "af_suspected": "AF suspected",
        "atrial_suspected": "atrial rhythm suspected",
        "fibrillation_suspected": "VF suspected",
        "paced_suspected": "pacemaker suspected",
        "unknown": "not named",
    }
)
"""What episodes and states are called."""


def clock(window: Window, t_s: float, *, seconds: bool = True) -> str:
    """Time of day of a moment of a window, ``14:03:22``; with the day where the window has more than one."""
    if not window.has_clock:
        minutes, rest = divmod(int(t_s), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if seconds else f"{minutes // 60}:{minutes % 60:02d}"
    moment = window.moment(t_s)
    text = f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
    first, last = window.moment(0.0).date(), window.moment(window.end_s - window.begin_s - 1.0).date()
    return text if first == last else f"{moment:%d.} {text}"


def zone_text(window: Window) -> str:
    """The zone of its times; both offsets where clocks are changed."""
    if not window.has_clock:
        return "times since the first sample (its clock is not known)"
    ends = [window.moment(t_s) for t_s in (0.0, window.end_s - window.begin_s)]
    names = [f"{end.tzname()} (UTC{offset[:3]}:{offset[3:5]})" for end in ends if (offset := f"{end:%z}")]
    if all(end.tzname() == "UTC" for end in ends):
        names = ["UTC"]
    names = list(dict.fromkeys(names))
    return f"times in {', then '.join(names)}"


def lasting(length_s: float) -> str:
    """A length of time: ``22 h 10 min``, ``3 min 5 s``, ``4.2 s``."""
    if length_s < 59.95:
        return f"{length_s:.1f} s" if length_s else "0 s"
    whole = round(length_s)
    hours, minutes, seconds = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min")] if hours else [(minutes, "min"), (seconds, "s")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n)


def number(value: float | None, digits: int = 0) -> str:
    """A number with commas; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(part: float, whole: float) -> str:
    """A share: ``92.5 %``; a dash of nothing."""
    return f"{100.0 * part / whole:.1f} %" if whole else "–"


def spelled(n: int, one: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{n:,} {one}" + ("" if n == 1 else "s")
