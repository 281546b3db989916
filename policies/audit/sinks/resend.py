"""What is sent again after a connection was lost: what its peer took last, and may have lost. Pure.

Syslog over TCP has no acknowledgement. That the peer's kernel has taken something does not say that the collector has
read it, or has it on disk. What was taken is kept until the peer has taken something else at least `seconds` later on the
same connection: so long it has been alive, and has had time for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Taken:
    when: float
    data: bytes


class Resend:
    """Batches, oldest first: always the last one, unless `seconds` is 0. Times are of a clock that does not go back."""

    def __init__(self, seconds: float, most: int) -> None:
        """`most`: bytes that are kept; a last batch that is larger is kept all the same."""
        self._seconds = seconds
        self._most = most
        self._taken: deque[_Taken] = deque()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._size

    def took(self, data: bytes, now: float) -> None:
        """The peer took this."""
        if not self._seconds:
            return
        self._taken.append(_Taken(now, data))
        self._size += len(data)
        while len(self._taken) > 1 and (self._taken[0].when <= now - self._seconds or self._size > self._most):
            self._size -= len(self._taken.popleft().data)

    def again(self, now: float) -> bytes:
        """What a new connection begins with. It counts as taken `now`, for that is when it is sent."""
        self._taken = deque(_Taken(now, taken.data) for taken in self._taken)
        return b"".join(taken.data for taken in self._taken)
