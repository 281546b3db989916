"""`sluicegate ledger reconcile`: journal, ledger and counters side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeAlias

import msgspec
import typer

from extproc.commands import STATE, Config, State
from extproc.configured import running, validated
from extproc.mistakes import ConfigurationError
from extproc.printing import complain, say, show_json, show_table
from extproc.tally import Tally
from policies.audit.following.status import read_status
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_reading import Reading
from policies.audit.reconciling.accounts import Accounts, Amounts, expected
from policies.audit.reconciling.compare import Behind, Difference, With, still, with_counters, with_ledger
from policies.audit.reconciling.result import Result, write_result
from policies.audit.settings import AuditSettings
from policies.audit.showing import times
from policies.audit.showing.complaints import told
from policies.audit.showing.configured import Configured, read
from policies.audit.showing.options import Json
from policies.audit.showing.reading import everything
from policies.audit.showing.words import micro_dollars

_SLACK: Final = timedelta(hours=1)
"""A decision is written a moment after its exchange began; how long it lasts, its closing says."""
_AHEAD: Final = timedelta(days=1)
"""By how much the clock may have been wrong of who wrote a record that is dated later than now."""
_MOMENT: Final = timedelta(seconds=5)
"""What is on its way to the ledger, of which nobody has told yet that it is behind."""
_AGAIN: Final = 10.0
"""Seconds until what differs is looked at once more: what is under way has arrived then."""
_SHOWN: Final = 50
_MONEY: Final = "dollars"
"""What is measured in micro-dollars."""
_COLUMNS: Final = ("with", "what", "measure", "journal", "other", "difference", "why")


class Host(Protocol):
    """What the host does for commands."""

    def tallies(self, configuration: Path, state: Path) -> AsyncIterator[Tally]: ...


Tallies: TypeAlias = Callable[[], AsyncIterator[Tally]]


class Compared(msgspec.Struct, frozen=True):
    """What was looked at, and where it differs.

    Attributes:
        ledger: which one, by its name among the sinks.
        broken: journals that could not be read to their end, and why: what stands behind that was compared with nothing,
            and whoever follows them has not got it either.
    """

    since: datetime
    ledger: str
    exchanges: int
    open: int
    recovered: int
    counters: int
    differences: tuple[Difference, ...]
    broken: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[Difference, ...]:
        """What nothing explains."""
        return tuple(one for one in self.differences if not one.explained)


def reconcile(
    *,
    context: typer.Context,
    config: Config = None,
    state: State = STATE,
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="30d, 2026-11-01, this-month, …")] = "this-month",
    ledger: Annotated[
        str | None, typer.Option("--ledger", "--sink", metavar="NAME", help="Of several ledgers, in place of the first.")
    ] = None,
    tell: Annotated[
        bool,
        typer.Option("--tell", help="Leave the result with the journals: /metrics has it then."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare journal, ledger and the counters of the limits: exchange by exchange, and counter by counter.

    Counters are compared over their whole day or month, whatever --from says. Where the record begins within it, what
    they hold more may be from before, unless their tenant was not seen until then. Exit status 1 where something differs
    that nothing explains, or a journal cannot be read to its end. On a gateway that serves, what ends meanwhile may
    differ: ask again. What retention has removed from the journal is in the ledger still, and differs: say --from when
    all is on record. Dollars are micro-dollars with --json. --tell is for a timer: what differs is looked at once more,
    ten seconds later, and only what differs still is a difference.
    """
    with told():
        configured = read(config, None, state)
        chosen = chosen_ledger(configured, ledger)
        now = datetime.now(UTC)
        first = times.read(times.moment(since, "from", now))
        path = config or running(state)
        host: Host = context.obj
        compare = partial(_compare, configured, chosen, partial(host.tallies, path, state), first)
        compared = asyncio.run(compare(now))
        if tell:
            if compared.faults:
                time.sleep(_AGAIN)
                again = asyncio.run(compare(datetime.now(UTC)))
                compared = msgspec.structs.replace(again, differences=still(compared.differences, again.differences))
            counts = {"differences": len(compared.faults), "broken": len(compared.broken)}
            write_result(configured.folder, Result(time=time.time(), **counts))
    if as_json:
        show_json(compared)
    else:
        _show(compared)
    if compared.faults or compared.broken:
        raise typer.Exit(1)


async def _compare(
    configured: Configured, ledger: LedgerSettings, tallies: Tallies, since: datetime, now: datetime
) -> Compared:
    whole = [tally async for tally in tallies() if tally.end > now]
    accounts = Accounts(since, now + _AHEAD)
    beginning: datetime | None = None
    earliest = min([since, *(tally.start for tally in whole)])
    found, sources = everything(configured.folder, times.stamp(earliest - _SLACK))
    for closed in found:
        beginning = beginning or times.read(closed.record.timestamp)
        accounts.saw(closed.record)
    broken = tuple(f"{source.name}: {source.broken.why}" for source in sources if source.broken is not None)
    for why in broken:
        complain(f"cannot be read to its end: {why}", prefix="warning: ")
    accounts.whole()
    known = beginning if beginning is not None else now
    differences = (
        *_with_ledger(configured.folder, ledger, accounts, max(since, known), now + _AHEAD),
        *with_counters(accounts, expected(accounts, whole), known),
    )
    recovered = sum(account.recovered for account in accounts.closed.values())
    counts = len(accounts.closed), len(accounts.open), recovered, len(whole)
    return Compared(since, ledger.name, *counts, differences, broken)


def chosen_ledger(configured: Configured, name: str | None) -> LedgerSettings:
    """The ledger of this name among the sinks; the first without a name.

    Raises:
        ConfigurationError: there is none, or the settings are wrong.
    """
    settings = validated(AuditSettings, configured.settings, configured.place)
    ledgers = {sink.name: sink for sink in settings.sinks if isinstance(sink, LedgerSettings)}
    if not ledgers:
        raise ConfigurationError([f"{configured.place}.sinks: there is no sink of `kind: ledger`"])
    if name is not None and name not in ledgers:
        raise ConfigurationError([f"--ledger {name}: expected one of {', '.join(ledgers)}"])
    return ledgers[name] if name is not None else next(iter(ledgers.values()))


def _with_ledger(
    folder: Path, settings: LedgerSettings, accounts: Accounts, known: datetime, until: datetime
) -> Iterator[Difference]:
    with Reading(settings) as reading:
        rows = reading.amounts(known - _SLACK, until + _SLACK)
    ledger = (
        (row.exchange_id, Amounts(row.requests, row.weighted, row.micro) if row.closed else None)
        for row in rows
        if row.at >= known or row.exchange_id in accounts.closed
    )
    yield from with_ledger(accounts, ledger, _behind(folder, settings.name))


def _behind(folder: Path, sink: str) -> Behind | None:
    status = read_status(folder)
    found = status.sinks.get(sink) if status is not None and status.is_fresh(time.time()) else None
    if status is None or found is None:
        return None
    # A file that anybody may have written to: no time before there are records.
    oldest = datetime.fromtimestamp(max(0.0, status.time - max(0.0, found.behind_seconds)), UTC)
    return Behind(found.behind_records, oldest - _MOMENT)


def _show(compared: Compared) -> None:
    say(
        f"since {times.stamp(compared.since)[:19]} UTC: {compared.exchanges:,} exchanges on record"
        f" ({compared.recovered:,} closed without word of their end), {compared.open:,} open,"
        f" {compared.counters:,} counters; the ledger is {compared.ledger!r}"
    )
    if not compared.differences:
        say("journal, ledger and counters agree" + (", as far as the journal can be read" if compared.broken else ""))
        return
    show_table(_COLUMNS, [_row(one) for one in compared.differences[:_SHOWN]])
    if len(compared.differences) > _SHOWN:
        say(f"and {len(compared.differences) - _SHOWN:,} more: --json has all of them")
    explained = len(compared.differences) - len(compared.faults)
    say(f"{len(compared.faults):,} differences, and {explained:,} that are explained")


def _row(one: Difference) -> list[Any]:
    here, there = one.journal, one.other
    money = one.measure == _MONEY
    apart = _signed(there - here, money=money) if here is not None and there is not None else "-"
    other = {With.LEDGER: "ledger", With.COUNTERS: "counter"}[one.compared]
    texts = ["-" if value is None else _amount(value, money=money) for value in (here, there)]
    return [other, one.what, one.measure, *texts, apart, one.explained or "-"]


def _amount(value: int, *, money: bool) -> str:
    return micro_dollars(value) if money else f"{value:,}"


def _signed(value: int, *, money: bool) -> str:
    sign = "-" if value < 0 else "+"
    return f"{sign}{_amount(abs(value), money=money)}"
