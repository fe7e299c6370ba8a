"""How many beats of each class to take, where all classes shall be seen alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["even_shares"]


def even_shares(n_of: NDArray[np.int64], n: int) -> list[int]:
    """Of each class the same number, but for classes that have fewer; ``n`` in all where there are as many."""
    shares = [0] * len(n_of)
    left = n
    rarest_first = sorted(range(len(n_of)), key=lambda k: int(n_of[k]))
    for done, code in enumerate(rarest_first):
        shares[code] = min(int(n_of[code]), left // (len(n_of) - done))
        left -= shares[code]
    return shares
