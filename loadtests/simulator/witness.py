"""What has arrived at the simulator: kept so that a test can prove what reached an upstream, and that nothing did."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

_REMEMBERED: Final = 2000


@dataclass(slots=True)
class Arrival:
    """One request. `complete` is False while its body has not arrived whole."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body_length: int = 0
    body_sha256: str = ""
    complete: bool = False

    def close(self, body: bytes) -> None:
        """The body is whole."""
        self.body_length = len(body)
        self.body_sha256 = hashlib.sha256(body).hexdigest()
        self.complete = True

    def told(self) -> dict[str, Any]:
        """As JSON. `path` is the raw path with its query; `headers` is a list of pairs, in order of arrival."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body_length": self.body_length,
            "body_sha256": self.body_sha256,
            "complete": self.complete,
        }


@dataclass(slots=True)
class Witness:
    """The last requests, and how many there were since the beginning or the last `clear`."""

    total: int = 0
    arrivals: deque[Arrival] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def saw(self, arrival: Arrival) -> None:
        self.total += 1
        self.arrivals.append(arrival)

    def clear(self) -> None:
        self.total = 0
        self.arrivals.clear()

    def told(self) -> dict[str, Any]:
        return {"total": self.total, "requests": [arrival.told() for arrival in self.arrivals]}
