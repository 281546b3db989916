"""Asking the store, and what counts while it cannot be asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from policies.limits.breaker import Breaker
from policies.limits.limit import Limit
from policies.limits.outage import Fallback
from policies.limits.store import Answer, Ask, Store, StoreUnavailableError


class Told(msgspec.Struct, frozen=True):
    """What was said to an `Ask`: an answer, or None where a limit is closed while the store is away.

    `local`: by this worker alone. `asked`: the store has done it, or may have done it.
    """

    answer: Answer | None
    local: bool = False
    asked: bool = True


class Guarded:
    """A store behind a circuit breaker, with a fallback."""

    __slots__ = ("_breaker", "_clock", "_closed", "_failures", "_fallback", "_local", "_store")

    def __init__(
        self, store: Store, breaker: Breaker, fallback: Fallback, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._breaker = breaker
        self._fallback = fallback
        self._clock = clock
        self._local = self._closed = self._failures = 0

    @property
    def is_away(self) -> bool:
        """Whether the store could not be asked the last time."""
        return self._fallback.is_away()

    def counters(self) -> Mapping[str, int]:
        """Questions that failed, exchanges that were counted locally, and those that were closed to."""
        return {"store_failures": self._failures, "decided_locally": self._local, "closed": self._closed}

    async def reserve(self, limits: Sequence[Limit], ask: Ask) -> Told:
        """Ask the store; where it does not answer, do as these limits declare."""
        asked = False
        if self._breaker.may_ask(self._clock()):
            try:
                answer = await self._store.reserve(ask)
            except StoreUnavailableError as error:
                asked = error.asked
                self._failures += 1
                if error.alive:
                    # It answers: what one caller's counters hold must not close it to the others.
                    self._breaker.succeeded()
                else:
                    self._breaker.failed(self._clock())
            except BaseException:
                # Cancelled: nothing is known of the store.
                self._breaker.abandoned()
                raise
            else:
                self._breaker.succeeded()
                self._fallback.back()
                return Told(answer)
        now = self._clock()
        self._fallback.away(now)
        answer_here = self._fallback.decide(limits, ask, now)
        if answer_here is None:
            self._closed += 1
        elif answer_here.admitted:
            self._local += 1
        return Told(answer_here, local=True, asked=asked)
