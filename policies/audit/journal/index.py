"""What a segment is about, so that nobody must read it again to know when it may go."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from policies.audit.canonical import LineError, read
from policies.audit.journal.segments import Segment, lines

Seen = dict[tuple[str, str, str], str]
"""The latest timestamp of each event, tenant's name and tenant's id."""


class Index(msgspec.Struct, frozen=True):
    """`<segment>.index.json`.

    Attributes:
        tenants: names and ids of all tenants that any record names.
        events: the latest timestamp of each event.
        sequence, hash: the segment's last record.
    """

    sequence: int
    hash: str
    tenants: tuple[str, ...]
    events: dict[str, str]


def merge(seen: Seen, more: Mapping[tuple[str, str, str], str]) -> None:
    """Add to what was seen. A clock that went back makes nothing look older."""
    for key, timestamp in more.items():
        if timestamp > seen.get(key, ""):
            seen[key] = timestamp


def index(seen: Mapping[tuple[str, str, str], str], sequence: int, digest: str) -> Index:
    """The index of a segment that ends with this record."""
    events: dict[str, str] = {}
    tenants: set[str] = set()
    for (event, tenant, tenant_id), timestamp in seen.items():
        events[event] = max(timestamp, events.get(event, ""))
        tenants |= {tenant, tenant_id}
    return Index(sequence, digest, tuple(sorted(tenants - {""})), dict(sorted(events.items())))


def indexed(segment: Segment) -> Index | None:
    """The index of a segment from its lines; None if it holds no record.

    Raises:
        LineError: a line is no record: what it was about is not known.
        OSError, EOFError, zlib.error: it cannot be read.
    """
    seen: Seen = {}
    last = None
    for line in lines(segment):
        if not line.endswith(b"\n"):
            raise LineError("the last line is cut off")
        last = read(line[:-1])
        record = last.record
        merge(seen, {(record.event, record.tenant, record.tenant_id): record.timestamp})
    return None if last is None else index(seen, last.record.sequence, last.hash)
