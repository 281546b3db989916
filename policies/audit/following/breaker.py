"""A circuit breaker: a sink that has failed several times in a row is left alone, then probed with one record. Pure.

For one follower, which asks alone: nobody needs leave, and what it brings next is the probe. It is told how long to wait,
as the settings say, and people are told the state. So it differs from the breaker of the limits
(`policies/limits/breaker.py`), where many ask at once and each needs leave.
"""

from __future__ import annotations

from enum import StrEnum


class BreakerState(StrEnum):
    """Closed: deliver. Open: leave it alone. Half open: one record, and what comes of it decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """`now` is in seconds, on a clock that does not go back."""

    def __init__(self, failures: int, pause: float) -> None:
        """`failures`: how many in a row open it. `pause`: seconds for which it stays open."""
        self._most = failures
        self._pause = pause
        self._failures = 0
        self._until: float | None = None
        self.opened = 0
        """So often has it opened; a probe that fails opens it again."""

    @property
    def failures(self) -> int:
        """How many in a row there have been."""
        return self._failures

    def state(self, now: float) -> BreakerState:
        if self._until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._until else BreakerState.HALF_OPEN

    def remaining(self, now: float) -> float:
        """Seconds until it may be asked."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def succeeded(self) -> None:
        """The sink has answered, be it that it refuses a record."""
        self._failures = 0
        self._until = None

    def failed(self, now: float) -> None:
        """It has not."""
        self._failures += 1
        if self._until is not None or self._failures >= self._most:
            self._until = now + self._pause
            self.opened += 1
