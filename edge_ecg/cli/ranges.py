"""Numbers of the command line, with their limits."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = ["SPEED", "NumberRange"]


class NumberRange(click.FloatRange):
    """A range that ``nan`` does not lie in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self.min:g} to {self.max:g}.", param, ctx)
        return number


SPEED = NumberRange(0.01, 100_000)
"""How much faster than life a virtual board may run."""
