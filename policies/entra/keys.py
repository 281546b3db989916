"""The signing keys we hold, and when to look for new ones.

Microsoft's "Signing key rollover" page: there is no fixed period, several keys are valid at once, refresh in the
background every hour, look again for an unknown key but at most once in five minutes, keep the last known good keys when
the provider fails.

A lookup never waits: it answers with a key, with a refusal, or with `Due` when a fetch could still bring the key. Only
the caller that is told `Due` waits, and all of them wait for one and the same fetch.

Times are of the wall clock, so that they go on while a machine sleeps. A wall clock can also be set back (it was wrong
when the machine started): then every time kept here lies too far ahead, so no wait is longer than it was meant to be, and
with the next fetch all of them are set anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

from extproc.tasks import spawn
from policies.entra.issuer import KeyPlace
from policies.entra.jwks import Key, Keys

_RETRY_FIRST: Final = 1.0
_RETRY_LONGEST: Final = 30.0
_STARTS_AT_ONCE: Final = 4

_log = logging.getLogger(__name__)


class KeysUnavailableError(Exception):
    """The keys could not be fetched. The text says why, for the operator."""


class KeySource(Protocol):
    """The port through which keys come."""

    async def fetch(self, place: KeyPlace) -> Keys:
        """The keys published at `place`, at least one.

        Raises:
            KeysUnavailableError: for every failure.
        """

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class Due:
    """The key may come with the next fetch: await `KeyCache.refresh`, then ask `find_now`."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider publishes no such key."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """We cannot know: the provider does not answer. `retry_after` is in seconds."""

    retry_after: float
    error: str


Found: TypeAlias = Key | Unknown | Unavailable

DUE: Final = Due()
UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """Seconds. `max_age` is how long keys are trusted after the last successful fetch."""

    refresh: float = 3_600.0
    max_age: float = 86_400.0
    cooldown: float = 300.0


@dataclass(slots=True)
class _Place:
    """What is known about one place. `asked_until`: no fetch for an unknown key before that. `fetched_at`: when a fetch
    succeeded last, or when it was first tried."""

    keys: Keys | None = None
    fetched_at: float = 0.0
    trusted_until: float = 0.0
    next_fetch: float = 0.0
    retry_at: float = 0.0
    asked_until: float = 0.0
    failures: int = 0
    error: str = "not fetched yet"
    flight: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class KeyCache:
    """Keys of the configured places. No other place is ever fetched from.

    `clock` gives seconds since the epoch; `jitter` gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        source: KeySource,
        places: Iterable[KeyPlace],
        times: KeyTimes,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._places: dict[KeyPlace, _Place] = {place: _Place() for place in places}
        self._times = times
        self._clock = clock
        self._jitter = jitter
        self._keepers: list[asyncio.Task[Any]] = []
        self._gate = asyncio.Semaphore(_STARTS_AT_ONCE)

    def holds(self, place: KeyPlace, key: Key, now: float) -> bool:
        """Whether this very key is still good at `place`."""
        state = self._places[place]
        return state.keys is not None and now < state.trusted_until and state.keys.get(key.key_id) is key

    def find(self, place: KeyPlace, key_id: str, now: float) -> Found | Due:
        """The key, or what it would take."""
        state = self._places[place]
        found = self.find_now(place, key_id, now)
        if isinstance(found, Key) or state.flight is not None:
            return found if isinstance(found, Key) else DUE
        if state.keys is None or now >= state.trusted_until:
            return DUE if now >= state.retry_at else found
        if now < state.asked_until:
            return found
        state.asked_until = now + self._times.cooldown
        return DUE

    def find_now(self, place: KeyPlace, key_id: str, now: float) -> Found:
        """The key, by what is known now."""
        state = self._places[place]
        if state.keys is not None and now < state.trusted_until:
            key = state.keys.get(key_id)
            if key is not None:
                return key
            if not state.failures:
                return UNKNOWN
        return Unavailable(max(1.0, state.retry_at - now), state.error)

    async def refresh(self, place: KeyPlace) -> None:
        """Fetch the keys of `place`, or wait for the fetch in flight. Never raises for a failure of the provider."""
        state = self._places[place]
        if state.flight is None:
            state.flight = spawn(self._fetch(place, state), name=f"entra-keys-{place.tenant}-{place.version}")
        # A caller that gives up (its client went away) leaves the fetch to the others.
        await asyncio.wait({state.flight})

    async def _fetch(self, place: KeyPlace, state: _Place) -> None:
        error = "failed unexpectedly"
        try:
            keys = await self._source.fetch(place)
        except KeysUnavailableError as failure:
            error = str(failure)
        except asyncio.CancelledError:
            error = ""
            raise
        else:
            error = ""
            self._keep(place, state, keys)
        finally:
            if error:
                self._back_off(place, state, error)
            state.flight = None
            state.changed.set()

    def _keep(self, place: KeyPlace, state: _Place, keys: Keys) -> None:
        now = self._clock()
        if state.failures:
            _log.info("entra: the keys of %s (version %s) are back", place.tenant, place.version)
        known = state.keys or {}
        # A key that stays the same stays the same object, so that tokens verified with it stay verified.
        state.keys = {name: known[name] if known.get(name) == key else key for name, key in keys.items()}
        state.fetched_at = now
        state.trusted_until = now + self._times.max_age
        state.next_fetch = now + self._times.refresh * (0.9 + 0.2 * self._jitter())
        state.failures, state.error, state.retry_at = 0, "", now
        state.asked_until = min(state.asked_until, now + self._times.cooldown)

    def _back_off(self, place: KeyPlace, state: _Place, error: str) -> None:
        now = self._clock()
        if not state.failures:
            _log.warning("entra: no keys of %s (version %s): %s", place.tenant, place.version, error)
        delay = min(_RETRY_LONGEST, _RETRY_FIRST * 2 ** min(state.failures, 10)) * (0.5 + 0.5 * self._jitter())
        state.failures += 1
        state.error = error
        state.retry_at = state.next_fetch = now + delay

    def start(self) -> None:
        """Begin to fetch and refresh in the background. Does not wait."""
        for place, state in self._places.items():
            state.fetched_at = self._clock()
            name = f"entra-keeper-{place.tenant}-{place.version}"
            self._keepers.append(spawn(self._keep_fresh(place, state), name=name))

    async def stop(self) -> None:
        """End the background work."""
        tasks = [*self._keepers, *(state.flight for state in self._places.values() if state.flight is not None)]
        self._keepers.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._source.close()

    async def _keep_fresh(self, place: KeyPlace, state: _Place) -> None:
        while True:
            longest = _RETRY_LONGEST if state.failures else self._times.refresh * 1.1
            delay = min(state.next_fetch - self._clock(), longest)
            if delay <= 0:
                async with self._gate:
                    await self.refresh(place)
                continue
            state.changed.clear()
            try:
                async with asyncio.timeout(delay):
                    await state.changed.wait()
            except TimeoutError:
                # The time is up by a clock that nobody sets, whatever the other one says.
                state.next_fetch = min(state.next_fetch, self._clock())

    def age(self, now: float) -> float:
        """Seconds since the keys of a place were fetched, or since the start where they never were: of the place that was
        longest without."""
        # A clock that was set back must not make them younger than new.
        return max([0.0, *(now - state.fetched_at for state in self._places.values())]) if self._keepers else 0.0

    def lacking(self, now: float) -> str | None:
        """None if the keys of at least one place are known; else why not."""
        if any(state.keys is not None and now < state.trusted_until for state in self._places.values()):
            return None
        place, state = max(self._places.items(), key=lambda item: item[1].failures)
        return f"no signing keys of {place.tenant} (version {place.version}): {state.error}"
