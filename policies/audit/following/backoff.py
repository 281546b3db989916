"""How long to wait before the next attempt: exponential with full jitter, capped. Pure.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter makes the least work for a receiver to
which many come back at once.
"""

from __future__ import annotations

from typing import Final

_DOUBLINGS: Final = 30
"""More would not change what is capped, and would overflow in the end."""


def backoff(attempt: int, chance: float, *, first: float, most: float) -> float:
    """Seconds to wait after the `attempt`-th failure in a row, which is at least 1.

    Args:
        chance: evenly distributed in [0, 1).
        first: the bound after the first failure, in seconds. It doubles with each.
        most: the bound that it never exceeds.
    """
    return chance * min(most, first * 2.0 ** min(max(0, attempt - 1), _DOUBLINGS))
