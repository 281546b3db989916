"""A record's times in nanoseconds since the epoch, as OpenTelemetry has them. Pure."""

from __future__ import annotations

from calendar import timegm
from time import strptime

from policies.audit.record import Record


def nanoseconds(timestamp: str) -> int:
    """Of `2026-11-21T13:38:23.000001Z`, the form of every time in a record.

    Raises:
        ValueError: it is no time.
    """
    return timegm(strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000_000_000 + int(timestamp[20:26]) * 1_000


def began(record: Record) -> int:
    """When the exchange of this record began; where it does not say so, when it was written."""
    for told in (record.started, record.timestamp):
        try:
            return nanoseconds(told)
        except ValueError:
            continue
    return 0
