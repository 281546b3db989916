"""A record's times in nanoseconds since the epoch, as OpenTelemetry has them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from policies.audit.record import Record

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(timestamp: str) -> int:
    """Of `2026-11-21T13:38:23.000001Z`, the form of every time in a record.

    Raises:
        ValueError: it is no time.
    """
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def began(record: Record) -> int:
    """When the exchange of this record began; where it does not say so, when it was written."""
    for told in (record.started, record.timestamp):
        try:
            return nanoseconds(told)
        except ValueError:
            continue
    return 0
