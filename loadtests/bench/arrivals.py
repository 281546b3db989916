"""When requests of an open loop are due. Pure.

In an open loop requests arrive at a constant rate, whether or not earlier ones have been answered, and a latency counts
from the moment when the request was due, not when it could be sent at last. So a server that pauses is charged for every
request that fell into the pause ("coordinated omission": Gil Tene, "How NOT to Measure Latency").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_SHORTEST: Final = 0.0002
"""Seconds between ticks at least: above 5,000 requests a second several are due at a tick."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """`rate` requests per second for `seconds`; at least one."""

    rate: float
    seconds: float

    @property
    def interval(self) -> float:
        """Seconds between ticks."""
        return max(1 / self.rate, _SHORTEST)

    @property
    def total(self) -> int:
        return max(1, math.floor(self.rate * self.seconds + 1e-9))

    def due(self, ticks: int) -> int:
        """How many requests are due when so many ticks have passed."""
        return min(self.total, math.floor(ticks * self.interval * self.rate + 1e-6))
