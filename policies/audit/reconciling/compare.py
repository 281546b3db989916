"""Where journal, ledger and counters differ, and why they may. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def with_ledger(accounts: Accounts, ledger: Iterable[tuple[str, Amounts | None]], behind: int) -> Iterator[Difference]:
    """Every exchange for which the ledger says something else.

    Args:
        ledger: every exchange of the period in the ledger, and what it used; None while it is open there.
        behind: how many records the ledger has yet to be brought.
    """
    late = f"the ledger is {behind:,} records behind" if behind else ""
    unseen = dict(accounts.closed)
    for name, used in ledger:
        account = unseen.pop(name, None)
        if account is None:
            if used is not None and name not in accounts.open:
                yield Difference(With.LEDGER, name, None, used.tokens, "tokens", "")
            continue
        if used is None:
            yield Difference(With.LEDGER, name, account.used.tokens, None, "tokens", late)
            continue
        yield from _apart(name, account, used, late)
    for name, account in unseen.items():
        yield Difference(With.LEDGER, name, account.used.tokens, None, "tokens", late)


def _apart(name: str, account: Account, used: Amounts, late: str) -> Iterator[Difference]:
    for measure in ("requests", "tokens", "dollars"):
        here, there = account.used.of(measure), used.of(measure)
        if here != there:
            yield Difference(With.LEDGER, name, here, there, measure, late)


def with_counters(accounts: Accounts, found: Iterable[Expected], since: Mapping[str, str]) -> Iterator[Difference]:
    """Every counter that holds something else than what is settled.

    Args:
        since: why the journal does not know all of a counter's window, by counter; others it knows whole.
    """
    for one in found:
        tally = one.tally
        settled = tally.used - tally.reserved
        if settled == one.amount:
            continue
        why = since.get(tally.name, "")
        if not why and tally.was_reset:
            why = "it was reset: what was used before that is not in it"
        if not why and accounts.lost:
            why = f"{accounts.lost:,} records were dropped (`journal.gap`)"
        yield Difference(With.COUNTERS, tally.name, one.amount, settled, tally.measure, why)
