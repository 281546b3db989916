"""Where policies and the host tell what happened, for whoever keeps a record of it.

Without a policy that keeps one, nothing is kept and nothing waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Something that happened beside an exchange's decision and its end.

    Attributes:
        name: two snake_case words with a dot between them: what it is about, and what happened to it.
        values: text by name, of the names that a record has; others are left out.
        of: tells it from every other event, where it may be told more than once. Empty where it is told once.
    """

    name: str
    values: Mapping[str, str] = {}
    of: str = ""


class Settled(msgspec.Struct, frozen=True):
    """What an exchange used, as it stands in a record: requests, weighted tokens and micro-dollars.

    Attributes:
        reservation, tenants: under which id it is reserved, and under whose limits.
        request: its id, where no more is known than that it ended before its verdict arrived: nothing went up.
    """

    reservation: str
    tenants: tuple[str, ...]
    requests: int
    tokens: int
    dollars: int
    request: str = ""


async def _at_once() -> None:
    return None


class Recorder:
    """Shared by the policies of a process. Who keeps the record says so by `keep`, before the first exchange."""

    def __init__(self) -> None:
        self._write: Callable[[Event], None] | None = None
        self._written: Callable[[], Awaitable[None]] = _at_once
        self._listeners: list[Callable[[Iterable[Settled]], None]] = []

    def keep(self, write: Callable[[Event], None], written: Callable[[], Awaitable[None]]) -> None:
        """Keep the record from now on. `write` must not raise, nor wait; `written` waits until all is written that has
        been told so far, and raises nothing: where it cannot be written, it waits no longer than it must."""
        self._write, self._written = write, written

    @property
    def is_kept(self) -> bool:
        return self._write is not None

    def tell(self, event: Event) -> None:
        """Something happened. Returns at once, and never fails."""
        if self._write is not None:
            self._write(event)

    async def written(self) -> None:
        """Wait until the record of all that was settled so far survives this process: what is done to counters after that
        can be done again from the record."""
        await self._written()

    def on_found(self, listener: Callable[[Iterable[Settled]], None]) -> None:
        """Be told of what a process that was killed had written down as settled. It may not have come further: to settle
        it again must do no harm."""
        self._listeners.append(listener)

    def found(self, settled: Iterable[Settled]) -> None:
        """Tell who listens."""
        known: Final = tuple(settled)
        for listener in self._listeners:
            listener(known)
