"""Which labels count as late: each model's own bound, and 150 ms."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.daemon_cost import lateness


def lines(*lags_ms: float, rr_s: float = 0.8) -> list[dict[str, Any]]:
    return [
        {"t_s": rr_s * k, "rr_s": rr_s if k else None, "hr_bpm": 60.0 / rr_s if k else None, "lag_ms": lag_ms}
        for k, lag_ms in enumerate(lags_ms)
    ]


@pytest.mark.parametrize(
    ("rr_s", "has_context", "bound_s"),
    [
        (0.8, False, 0.96),
        (0.8, True, 1.15),  # the next beat and 350 ms
        (0.1, True, 0.5),
    ],
)
def test_a_label_is_late_beyond_its_bound_and_150_ms(rr_s: float, has_context: bool, bound_s: float) -> None:
    in_time, late = 1e3 * bound_s + 149.0, 1e3 * bound_s + 151.0
    found = lateness(lines(*[in_time, late] * 50, 0.0, rr_s=rr_s), has_context=has_context)
    assert found == (pytest.approx(50 / 101), pytest.approx(bound_s, abs=0.01))


def test_a_pause_is_waited_for_no_longer_than_two_intervals_or_3_s() -> None:
    beats = lines(0.0, 2000.0, 0.0)
    beats[2]["t_s"] = 60.0  # 2 x 0.8 s and 0.35 s
    assert lateness(beats, has_context=True)[0] == 0.0
    beats[1]["lag_ms"] = 2101.0
    assert lateness(beats, has_context=True)[0] == pytest.approx(1 / 3)
    beats[1] |= {"hr_bpm": 20.0, "lag_ms": 3499.0}
    assert lateness(beats, has_context=True)[0] == 0.0
    beats[1]["lag_ms"] = 3501.0
    assert lateness(beats, has_context=True)[0] == pytest.approx(1 / 3)
