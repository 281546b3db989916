"""Where journal, ledger and counters differ, and why they may. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum

import msgspec

from policies.audit.reconciling.accounts import Account, Accounts, Amounts, Expected


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
    """Every counter that holds something else than what is settled. `known`: since when all is on record."""
    for one in found:
        tally = one.tally
        settled = tally.used - tally.reserved
        if settled != one.amount:
            why = _reason(accounts, one, settled, known)
            yield Difference(With.COUNTERS, tally.name, one.amount, settled, tally.measure, why)


def _reason(accounts: Accounts, one: Expected, settled: int, known: datetime) -> str:
    """Why a counter need not hold what is on record; "" if it must."""
    tally = one.tally
    if tally.start < known and settled >= one.least:
        return f"the journal was looked at from {known.isoformat()[:19]} on, its window began before"
    if tally.sometimes and settled <= one.most:
        return "its limit bears on some exchanges only (`match`)"
    if one.least <= settled <= one.most:
        return "exchanges were under way when its window began"
    if settled <= one.most and tally.was_reset and accounts.was_reset(tally):
        return "it was reset: what was used before that is not in it"
    if not one.seen and (replaced := sorted(accounts.replaced & tally.subject.keys())):
        return "users stand on record under pseudonyms" if replaced == ["user_id"] else "its name is redacted on record"
    if accounts.lost:
        return f"{accounts.lost:,} records were dropped (`journal.gap`)"
    return ""
