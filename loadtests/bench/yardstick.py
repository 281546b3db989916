"""How fast this machine and this Python are at the moment, so that two runs can be told apart from two programs."""

from __future__ import annotations

import time
from typing import Final

_TIMES: Final = 25
_ROUNDS: Final = 20_000


class _Pair:
    __slots__ = ("left", "right")

    def __init__(self, left: int, right: str) -> None:
        self.left = left
        self.right = right

    def sum(self) -> int:
        return self.left + len(self.right)


def work() -> int:
    """The same each time: objects, calls, texts and a dict, of which our request path is made."""
    known: dict[int, _Pair] = {}
    total = 0
    for number in range(_ROUNDS):
        known[number % 512] = pair = _Pair(number, f"{number:x}")
        total += pair.sum()
    return total + len(known)


def yardstick() -> float:
    """Seconds that `work` takes: the least of 25 times, a tenth of a second in all."""
    found = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)
