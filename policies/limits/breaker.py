"""A circuit breaker: what has failed several times in a row is left alone for a while, then tried by one. Pure.

For many who ask at once, as exchanges ask the store: each wants leave, one of them is the probe and may be abandoned, and
what fails at one moment is one failure. How long to leave it alone nobody knows, so it is longer each time. So it differs
from the breaker of the audit's sinks (`policies/audit/following/breaker.py`), where one follower asks alone.
"""

from __future__ import annotations

from typing import Final

_FAILURES: Final = 3
_PERSISTS: Final = 0.2
"""Seconds from the first failure in a row to the one that opens it. All who ask at one moment fail together when a server
or this machine stalls for it: that is one failure, however many they are."""
_PAUSES: Final = (0.25, 5.0)
"""Seconds for which nobody asks: at first, and at most."""
_PROBE: Final = 2.0
"""Seconds after which a probe of which nothing was heard is taken for abandoned."""


class Breaker:
    """Closed: all may ask. Open: nobody. Half open: one. `now` is in seconds, on a clock that does not go back."""

    __slots__ = ("_failures", "_first", "_most", "_pause", "_persists", "_probing", "_until")

    def __init__(self, failures: int = _FAILURES, persists: float = _PERSISTS) -> None:
        """`failures`: how many in a row open it, once they have gone on for `persists` seconds."""
        self._most = failures
        self._persists = persists
        self._failures = 0
        self._first = 0.0
        self._pause = _PAUSES[0]
        self._until: float | None = None
        self._probing: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether not all may ask."""
        return self._until is not None

    def may_ask(self, now: float) -> bool:
        """Whether this one may ask. Who may must say what came of it."""
        if self._until is None:
            return True
        if now < self._until or (self._probing is not None and now < self._probing + _PROBE):
            return False
        self._probing = now
        return True

    def succeeded(self) -> None:
        """An answer came."""
        self._failures = 0
        self._pause = _PAUSES[0]
        self._until = self._probing = None

    def failed(self, now: float) -> None:
        """None came."""
        if self._failures == 0:
            self._first = now
        self._failures += 1
        if self._until is None:
            if self._failures >= self._most and now >= self._first + self._persists:
                self._until = now + self._pause
        elif self._probing is not None:
            self._pause = min(_PAUSES[1], 2 * self._pause)
            self._until = now + self._pause
            self._probing = None

    def abandoned(self) -> None:
        """Who asked has left before an answer: another may."""
        self._probing = None
