"""What a load generator is told and what it tells. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

LINE: Final = "BENCH "
"""Begins the one line of JSON with which a generator ends."""
EMPTY_REQUEST: Final = b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What one generator saw. Times in seconds; the percentiles are of whole answers, last byte included."""

    requests: int
    errors: int
    seconds: float
    p50: float
    p95: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def summary(latencies: Sequence[float], errors: int, seconds: float) -> Load:
    """The load of requests with these latencies."""
    ordered = sorted(latencies)
    p50, p95, p99 = (percentile(ordered, percent) for percent in (50, 95, 99))
    return Load(len(ordered), errors, seconds, p50, p95, p99)


def parse(output: str) -> Load:
    """The load that a generator's output tells of.

    Raises:
        ValueError: it has no such line, or more than one, or it is not whole.
    """
    lines = [line.removeprefix(LINE) for line in output.splitlines() if line.startswith(LINE)]
    if len(lines) != 1:
        raise ValueError(f"expected one line that begins with {LINE}, found {len(lines)}")
    members: dict[str, Any] = json.loads(lines[0])
    try:
        return Load(
            requests=int(members["requests"]),
            errors=int(members["errors"]),
            **{name: float(members[name]) for name in ("seconds", "p50", "p95", "p99")},
        )
    except KeyError as error:
        raise ValueError(f"the generator did not tell {error}") from None


def raw_request(body: bytes, token: str) -> bytes:
    """A chat request as it goes over the wire: the same bytes from every generator to every target."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        "host: gateway\r\n"
        "user-agent: sluicegate-bench\r\n"
        "accept: application/json\r\n"
        "content-type: application/json\r\n"
        f"authorization: Bearer {token}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
