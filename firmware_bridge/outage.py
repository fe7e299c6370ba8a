"""A board that was away: for how long, and whether its sample numbers can have gone on meanwhile."""

from __future__ import annotations

from firmware_bridge.blocks import RawBlock

__all__ = ["away_s", "can_go_on", "went_on"]

RATE_SLACK, SLACK_S = 1.02, 1.0
"""How far a board's clock may be from the host's, and how long samples may lie in buffers."""


def away_s(block: RawBlock, last_s: float, rate_hz: float) -> float:
    """How long the board was away, s: from what came last, at ``last_s``, to the first sample of ``block``."""
    return max(0.0, block.host_s - len(block.counts) / rate_hz - last_s)


def can_go_on(jump: int, rate_hz: float, away_s: float) -> bool:
    """Whether a board that kept its numbers can have come ``jump`` samples further while it was away."""
    return 0 <= jump <= rate_hz * (RATE_SLACK * away_s + SLACK_S)


def went_on(jump: int, rate_hz: float, away_s: float) -> bool:
    """Whether it has sampled all the time that it was away, as the jump of its numbers shows."""
    return can_go_on(jump, rate_hz, away_s) and jump >= rate_hz * (away_s / RATE_SLACK - SLACK_S)
