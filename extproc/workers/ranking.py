"""Which values of a label have series of their own. Pure.

Every value has one as long as there is room. Then a newcomer takes the place of the lightest, when it has come to more
than twice what that one has. What it had before stays with the rest, and what the lightest had is put to the rest: so a
move is at most half of what the newcomer had put there itself, and moves become rare, for each doubles what they need.

The weights of those without a place are kept by Misra and Gries' summary, as Agarwal and others merge it (PODS 2012): of
so many values as there is room for, each at most as much too light as all that was ever cut off. Nobody is taken for
heavier than he is.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from typing import Final

MOST: Final = 10_000
"""Values with series of their own, and as many pinned ones, whatever a process asks for."""
_ROOM: Final = 10
_LEAST_ROOM: Final = 1_000
_FACTOR: Final = 2
_MOVES: Final = 8
"""At once: each of them looks at every series."""


class Ranking:
    """The values of one label. `hear`, then ask `owns`."""

    def __init__(self) -> None:
        self._most = 0
        self._pinned: set[str] = set()
        self._own: dict[str, int] = {}
        self._others: dict[str, int] = {}

    def owns(self, value: str) -> bool:
        """Whether it has series of its own."""
        return value in self._own or value in self._pinned

    def hear(self, most: int, pinned: Iterable[str], weights: Iterable[tuple[str, int]]) -> list[str]:
        """So much more has come to these values. Those that have series of their own no longer."""
        self._most = max(0, min(most, MOST))
        for value in pinned:
            if len(self._pinned) < MOST:
                self._pinned.add(value)
                self._own.pop(value, None)
        waiting: set[str] = set()
        for value, weight in weights:
            if value in self._pinned:
                continue
            if value in self._own:
                self._own[value] += weight
            elif len(self._own) < self._most:
                self._own[value] = self._others.pop(value, 0) + weight
            else:
                self._others[value] = self._others.get(value, 0) + weight
                waiting.add(value)
        moved = self._promote(waiting) if self._own else []
        self._forget()
        return moved

    def _promote(self, waiting: set[str]) -> list[str]:
        """Those who have grown, against the lightest."""
        moved: list[str] = []
        for value in nlargest(_MOVES, waiting, key=lambda one: (self._others[one], one)):
            lightest = min(self._own, key=lambda one: (self._own[one], one))
            if self._others[value] <= _FACTOR * self._own[lightest]:
                break
            self._own[value] = self._others.pop(value)
            self._others[lightest] = self._own.pop(lightest)
            moved.append(lightest)
        return moved

    def _forget(self) -> None:
        """Keep the heaviest of those without a place: what the next one has is cut off from all."""
        room = max(_LEAST_ROOM, _ROOM * self._most)
        if len(self._others) > 2 * room:
            cut = nlargest(room + 1, self._others.values())[-1]
            self._others = {value: weight - cut for value, weight in self._others.items() if weight > cut}
