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
class Spread:
    """Percentiles of some times, in seconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Load:
    """What one generator saw. Times in seconds; the percentiles are of whole answers, last byte included.

    Attributes:
        chunks: events of streams that arrived.
        first: of streams, from the request to the first chunk.
        gap: of streams, from one chunk to the next.
        lag: of an open loop, from the moment when a request was due to the one when it was sent.
    """

    requests: int
    errors: int
    seconds: float
    p50: float
    p95: float
    p99: float
    chunks: int = 0
    first: Spread | None = None
    gap: Spread | None = None
    lag: Spread | None = None

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


def spread(values: Sequence[float]) -> Spread:
    """Percentiles of values in any order."""
    ordered = sorted(values)
    return Spread(*(percentile(ordered, percent) for percent in (50, 95, 99)))


@dataclass(frozen=True, slots=True)
class Taken:
    """What a generator has noted: an entry for each answer, each first chunk, each gap, each request sent late."""

    whole: Sequence[float]
    first: Sequence[float] = ()
    gaps: Sequence[float] = ()
    lags: Sequence[float] = ()


def summary(taken: Taken, errors: int, seconds: float) -> Load:
    """The load of requests that took so long."""
    whole = spread(taken.whole)
    return Load(
        requests=len(taken.whole),
        errors=errors,
        seconds=seconds,
        p50=whole.p50,
        p95=whole.p95,
        p99=whole.p99,
        chunks=len(taken.first) + len(taken.gaps),
        first=spread(taken.first) if taken.first else None,
        gap=spread(taken.gaps) if taken.gaps else None,
        lag=spread(taken.lags) if taken.lags else None,
    )


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
        seconds, p50, p95, p99 = (float(members[name]) for name in ("seconds", "p50", "p95", "p99"))
        requests, errors, chunks = int(members["requests"]), int(members["errors"]), int(members.get("chunks", 0))
        first, gap, lag = (_spread(members.get(name)) for name in ("first", "gap", "lag"))
    except KeyError as error:
        raise ValueError(f"the generator did not tell {error}") from None
    return Load(requests, errors, seconds, p50, p95, p99, chunks, first, gap, lag)


def _spread(members: Any) -> Spread | None:
    if members is None:
        return None
    return Spread(*(float(members[name]) for name in ("p50", "p95", "p99")))


def raw_request(body: bytes, token: str, fields: Sequence[tuple[str, str]] = ()) -> bytes:
    """A chat request as it goes over the wire. `fields`: headers that only one target needs."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        "host: gateway\r\n"
        "user-agent: sluicegate-bench\r\n"
        "accept: application/json\r\n"
        "content-type: application/json\r\n"
        f"authorization: Bearer {token}\r\n"
        f"content-length: {len(body)}\r\n"
    )
    more = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{head}{more}\r\n".encode() + body
