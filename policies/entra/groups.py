"""The groups of callers who have more than their token can carry: port, and memory of what was learnt."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from extproc.identity import CallerKind
from extproc.tasks import spawn

_RETRY_AFTER: Final = 30.0
_LONGEST_PAUSE: Final = 600.0
_SET_BACK: Final = 5.0
"""Seconds by which the clock may be corrected backwards without forgetting answers."""


class Caller(NamedTuple):
    """Whose groups."""

    tenant: str
    user: str
    kind: CallerKind


class GroupsUnavailableError(Exception):
    """The groups could not be learnt. The text says why, for the operator.

    `pause`: seconds for which nobody's groups should be asked for (the service is down or throttles us); None where the
    failure is this caller's alone.
    """

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class GroupResolver(Protocol):
    """The port through which groups are learnt."""

    async def groups(self, caller: Caller) -> frozenset[str]:
        """The object ids of all groups that the caller is a member of, transitively.

        Raises:
            GroupsUnavailableError: for every failure, and where not all groups could be read.
        """

    async def close(self) -> None:
        """Let go of connections."""


Groups: TypeAlias = frozenset[str] | None
"""None: unknown."""


@dataclass(frozen=True, slots=True)
class _Answer:
    groups: Groups
    good_until: float


class GroupCache:
    """Remembers answers for `remember` seconds, and failures for half a minute; asks once for concurrent callers."""

    def __init__(self, resolver: GroupResolver, *, remember: float, size: int, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._remember = remember
        self._size = size
        self._clock = clock
        self._answers: OrderedDict[Caller, _Answer] = OrderedDict()
        self._flights: dict[Caller, asyncio.Task[None]] = {}
        self._paused_until = 0.0
        self.error = ""
        """Why the last look-up failed; "" after a good one."""

    def known(self, caller: Caller, now: float) -> tuple[bool, Groups]:
        """Whether there is an answer without asking, and the answer."""
        answer = self._answers.get(caller)
        if answer is not None and self._is_good(answer, now):
            self._answers.move_to_end(caller)
            return True, answer.groups
        return now < self._paused_until <= now + _LONGEST_PAUSE, None

    async def learn(self, caller: Caller) -> Groups:
        """The groups of the caller, asked for now; None if they cannot be learnt."""
        flight = self._flights.get(caller)
        if flight is None:
            flight = self._flights[caller] = spawn(self._ask(caller), name=f"entra-groups-{caller.user}")
        await asyncio.wait({flight})
        answer = self._answers.get(caller)
        return answer.groups if answer is not None and self._is_good(answer, self._clock()) else None

    def _is_good(self, answer: _Answer, now: float) -> bool:
        """Not where the clock was set back: a membership that was taken away would be remembered until it catches up."""
        return now < answer.good_until <= now + max(self._remember, _RETRY_AFTER) + _SET_BACK

    async def close(self) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        if flights:
            await asyncio.wait(flights)
        await self._resolver.close()

    async def _ask(self, caller: Caller) -> None:
        groups: Groups = None
        good_for = _RETRY_AFTER
        try:
            groups = await self._resolver.groups(caller)
            good_for = self._remember
            self.error = ""
        except GroupsUnavailableError as error:
            self.error = str(error)
            if error.pause is not None:
                self._paused_until = self._clock() + error.pause
        finally:
            del self._flights[caller]
            # At least a second: those who waited for this answer must still find it.
            self._answers[caller] = _Answer(groups, self._clock() + max(1.0, good_for))
            self._answers.move_to_end(caller)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)
