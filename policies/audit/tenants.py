"""Which tenants are on record, and under which ids. What the index of a segment tells is not read again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from policies.audit.canonical import LineError, read
from policies.audit.journal.index import Index
from policies.audit.journal.segments import UNREADABLE, Segment, journals, lines, segments


def is_on_record(folder: Path, tenant: str, without: str) -> bool:
    """Whether any record names this tenant: a hold on a name that was mistyped would hold nothing.

    Args:
        tenant: its name or id.
        without: journals of this instance do not count.

    Raises:
        OSError: the journals cannot be listed.
    """
    own = (journal for journal in journals(folder) if not journal.name.startswith(f"{without}."))
    # The newest first: there it is found soonest, if at all.
    return any(_names(segment, tenant) for journal in own for segment in reversed(segments(journal)))


def ids_of(folders: Iterable[Path], names: Collection[str]) -> list[str]:
    """The ids of the tenants with these names, each from the first record that tells it; none for what is an id itself.

    Args:
        folders: of journals, in any order. Of each are read only segments that name a tenant whose id is not known yet.

    Raises:
        OSError: a folder cannot be listed.
    """
    unknown = set(names)
    found: list[str] = []
    for folder in folders:
        for segment in segments(folder):
            told = _tenants(segment)
            if unknown and (told is None or not unknown.isdisjoint(told)):
                found += _ids(segment, unknown)
    return found


def _ids(segment: Segment, unknown: set[str]) -> Iterator[str]:
    """Ids that a segment tells of tenants that are `unknown`, which they are then no longer."""
    for line in _about(segment, unknown):
        try:
            record = read(line.rstrip(b"\n")).record
        except LineError:
            continue
        if record.tenant_id in unknown:
            unknown.discard(record.tenant_id)
        elif record.tenant_id and record.tenant in unknown:
            unknown.discard(record.tenant)
            yield record.tenant_id
        if not unknown:
            return


def _names(segment: Segment, tenant: str) -> bool:
    told = _tenants(segment)
    return any(True for _ in _about(segment, (tenant,))) if told is None else tenant in told


def _tenants(segment: Segment) -> tuple[str, ...] | None:
    """Names and ids of the tenants in a segment, as its index tells; None where there is none that can be read."""
    try:
        return msgspec.json.decode(segment.index.read_bytes(), type=Index).tenants
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _about(segment: Segment, tenants: Collection[str]) -> Iterator[bytes]:
    """The lines of a segment that name one of these tenants, as far as it can be read."""
    encoded = [msgspec.json.encode(tenant) for tenant in tenants]
    needles = [key + tenant for tenant in encoded for key in (b'"tenant":', b'"tenant_id":')]
    try:
        yield from (line for line in lines(segment) if any(needle in line for needle in needles))
    except UNREADABLE:
        return
