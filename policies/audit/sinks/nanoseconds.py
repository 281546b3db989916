"""A record's times in nanoseconds since the epoch, as OpenTelemetry has them. Pure."""

from __future__ import annotations

from calendar import timegm
from time import strptime


def nanoseconds(timestamp: str) -> int:
    """Of `2026-11-21T13:38:23.000001Z`, the form of every time in a record.

    Raises:
        ValueError: it is no time.
    """
    return timegm(strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000_000_000 + int(timestamp[20:26]) * 1_000
