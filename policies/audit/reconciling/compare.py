"""Where journal, ledger and counters differ, and why they may. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum

import msgspec

from extproc.tally import Tally
from policies.audit.reconciling.accounts import APART, Account, Accounts, Amounts, Expected


class With(StrEnum):
    """What the journal was compared with."""

    LEDGER = "ledger"
    COUNTERS = "counters"


class Difference(msgspec.Struct, frozen=True):
    """Something that the other says otherwise.

    Attributes:
        what: an exchange, or a counter.
        journal, other: what each says; None where one knows nothing of it.
        explained: why that is no fault; "" if nothing explains it.
    """

    compared: With
    what: str
    journal: int | None
    other: int | None
    measure: str
    explained: str = ""


class Behind(msgspec.Struct, frozen=True):
    """How far the ledger is behind: records, and since when. What was written before that, it has."""

    records: int
    since: datetime

    def explains(self, account: Account) -> str:
        """Why the ledger need not know of the end of this exchange; "" if it must."""
        if account.ended < self.since:
            return ""
        return f"the ledger is {self.records:,} records behind" if self.records else "it has ended just now"


def still(before: Iterable[Difference], now: Iterable[Difference]) -> tuple[Difference, ...]:
    """What differs now, without what nothing explains and did not differ before: it may be under way."""
    known = {(one.compared, one.what, one.measure) for one in before if not one.explained}
    return tuple(one for one in now if one.explained or (one.compared, one.what, one.measure) in known)


def with_ledger(
    accounts: Accounts, ledger: Iterable[tuple[str, Amounts | None]], behind: Behind | None
) -> Iterator[Difference]:
    """Every exchange for which the ledger says something else.

    Args:
        ledger: every exchange of the period in the ledger, and what it used; None while it is open there. What the
            journal has outside of the period may be among them.
        behind: None where nobody brings it records.
    """
    unseen = dict(accounts.closed)
    for name, used in ledger:
        account = unseen.pop(name, None)
        if account is not None:
            yield from _apart(name, account, used, behind)
        elif used is not None and not accounts.knows(name):
            yield Difference(With.LEDGER, name, None, used.tokens, "tokens")
    for name, account in unseen.items():
        yield from _apart(name, account, None, behind)


def _apart(name: str, account: Account, used: Amounts | None, behind: Behind | None) -> Iterator[Difference]:
    why = behind.explains(account) if behind is not None else ""
    if used is None:
        yield Difference(With.LEDGER, name, account.used.tokens, None, "tokens", why)
        return
    for measure in ("requests", "tokens", "dollars"):
        here, there = account.used.of(measure), used.of(measure)
        if here != there:
            yield Difference(With.LEDGER, name, here, there, measure, why)


def with_counters(accounts: Accounts, found: Iterable[Expected], known: datetime) -> Iterator[Difference]:
    """Every counter that holds something else than what is settled. `known`: when the record begins."""
    for one in found:
        tally = one.tally
        settled = tally.used - tally.reserved
        if settled != one.amount:
            why = _reason(accounts, one, settled, known)
            yield Difference(With.COUNTERS, tally.name, one.amount, settled, tally.measure, why)


def _reason(accounts: Accounts, one: Expected, settled: int, known: datetime) -> str:
    """Why a counter need not hold what is on record; "" if it must."""
    tally = one.tally
    if tally.sometimes and settled <= one.most:
        return "its limit bears on some exchanges only (`match`)"
    if one.least <= settled <= one.most:
        return "exchanges were under way when its window began"
    if one.amount < settled <= one.most + one.leased:
        return f"nobody settled {_reservations(one.leases)}, charged as made (`limit.lease_expired`)"
    if settled <= one.most and tally.was_reset and accounts.was_reset(tally):
        return "it was reset: what was used before that is not in it"
    if not one.seen and (replaced := sorted(accounts.replaced & tally.subject.keys())):
        return "users stand on record under pseudonyms" if replaced == ["user_id"] else "its name is redacted on record"
    if lost := accounts.lost(tally):
        return f"{lost:,} records were dropped (`journal.gap`)"
    if one.amount < settled and _is_older(tally, known):
        return f"the record begins at {known.isoformat()[:19]}, and its window began before"
    return ""


def _is_older(tally: Tally, known: datetime) -> bool:
    """Whether anything may have been counted in the window before the record began. Not for a tenant that nobody had seen
    until then: what its counters hold too much is a fault, also in the month in which a gateway was installed."""
    return tally.start < known and (tally.since is None or tally.since + APART < known)


def _reservations(count: int) -> str:
    return f"{count:,} reservations" if count > 1 else "a reservation"
