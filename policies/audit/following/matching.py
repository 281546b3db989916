"""Which records a sink wants: by event and by tenant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

from policies.audit.record import Record


class Matcher:
    """Globs as in `fnmatch`, case-sensitive: a record must match one of the events and one of the tenants."""

    __slots__ = ("_events", "_tenants")

    def __init__(self, events: Iterable[str], tenants: Iterable[str]) -> None:
        self._events = _any_of(events)
        self._tenants = _any_of(tenants)

    def wants(self, record: Record) -> bool:
        """A record without a tenant has the empty one, which only `*` and the empty glob match."""
        return (self._events is None or self._events.match(record.event) is not None) and (
            self._tenants is None or self._tenants.match(record.tenant) is not None
        )


def _any_of(globs: Iterable[str]) -> re.Pattern[str] | None:
    """None where all match."""
    wanted = tuple(globs)
    return None if "*" in wanted else re.compile("|".join(translate(glob) for glob in wanted) or r"(?!)")
