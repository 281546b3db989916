"""Which records are meant. Pure.

In a pattern `*` stands for any characters and `?` for one; nothing else is special, since redacted values have brackets.
Several patterns for one thing: any of them. Several things: all of them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, structs

from policies.audit.record import Closed, Record

_WILDCARDS: Final = frozenset("*?")
DECISIONS: Final = ("allow", "reject", "respond", "none")


class FilterError(ValueError):
    """What was typed cannot be meant. The message says what was expected."""


class Filter(Struct, frozen=True):
    """Which records are meant; all of them where nothing is said.

    Attributes:
        tenant: the tenant's name or id.
        user: who called, or who changed something: a limit, a hold.
        model: as the client named it, or as the provider did.
        request_id, exchange, session: the whole id, no pattern.
        earliest, before: times as records write them; at `before` the next period begins.
    """

    tenant: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    event: tuple[str, ...] = ()
    decision: tuple[str, ...] = ()
    request_id: str = ""
    exchange: str = ""
    session: str = ""
    earliest: str = ""
    before: str = ""

    def matches(self, record: Record) -> bool:
        """Whether this record is meant."""
        return (
            self._in_time(record)
            and (not self.request_id or record.request_id == self.request_id)
            and (not self.exchange or record.exchange_id == self.exchange)
            and (not self.session or record.session_id == self.session)
            and (not self.decision or record.decision in self.decision)
            and _any(self.event, record.event)
            and _any(self.tenant, record.tenant, record.tenant_id)
            and _any(self.user, record.user_id, record.by)
            and _any(self.model, record.model, record.response_model)
        )

    def _in_time(self, record: Record) -> bool:
        if self.earliest and record.timestamp < self.earliest:
            return False
        return not self.before or record.timestamp < self.before

    @property
    def tenants(self) -> tuple[str, ...]:
        """The tenants that are named. A pattern with wildcards stands for names as they are."""
        return tuple(name for name in self.tenant if _WILDCARDS.isdisjoint(name))

    def with_ids(self, ids: Iterable[str]) -> Filter:
        """The same, for tenants with these ids as well."""
        return structs.replace(self, tenant=(*self.tenant, *ids))

    def select(self, records: Iterable[Closed]) -> Iterator[Closed]:
        """Those that are meant, in their order."""
        if self == Filter():
            return iter(records)
        return (closed for closed in records if self.matches(closed.record))


def check(wanted: Filter) -> Filter:
    """The filter, if it can match anything.

    Raises:
        FilterError: no such decision, or a time that ends before it begins.
    """
    wrong = [name for name in wanted.decision if name not in DECISIONS]
    if wrong:
        raise FilterError(f"--decision {wrong[0]}: expected one of {', '.join(DECISIONS)}")
    if wanted.earliest and wanted.before and wanted.before <= wanted.earliest:
        raise FilterError(f"--to is not after --from: {wanted.earliest} to {wanted.before}")
    return wanted


def _any(patterns: tuple[str, ...], *values: str) -> bool:
    return not patterns or any(_matches(pattern, value) for pattern in patterns for value in values if value)


def _matches(pattern: str, value: str) -> bool:
    return value == pattern or (not _WILDCARDS.isdisjoint(pattern) and _compiled(pattern).fullmatch(value) is not None)


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Stars in a row would be tried in every way.
    once = re.sub(r"\*+", "*", pattern)
    special: Mapping[str, str] = {"*": "(?s:.*)", "?": "(?s:.)"}
    return re.compile("".join(special.get(c, re.escape(c)) for c in once))


class Related:
    """All that is on record of one request, whichever of its ids is given.

    Records of one exchange share `exchange_id`; what happens to its reservation later knows the `reservation_id` alone.
    The decision comes before what refers to it, so one pass in order finds all.
    """

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._exchanges: set[str] = set()
        self._reservations: set[str] = set()

    def matches(self, record: Record) -> bool:
        """Whether this record belongs to it; records must be offered in their order."""
        own = (record.request_id, record.exchange_id, record.reservation_id, record.trace_id)
        found = (
            self._wanted in own or record.exchange_id in self._exchanges or record.reservation_id in self._reservations
        )
        if found:
            self._exchanges.update({record.exchange_id} - {""})
            self._reservations.update({record.reservation_id} - {""})
        return found
