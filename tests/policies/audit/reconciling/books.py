"""A journal and a ledger that say the same, and a host that tells of counters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.cli.app import GROUP, build
from extproc.tally import Tally
from policies.audit.journal import JournalReader, JournalWriter, Position, journals
from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_ledger import Ledger
from policies.audit.moments import dollars, moment
from policies.audit.record import Closed
from tests.policies.audit.journal.written import settings

PLUGIN: Final = EntryPoint("ledger", "policies.audit.ledger.commands:app", GROUP)
NOW: Final = datetime.now(UTC)
WHO: Final = {"tenant_id": "t-1", "tenant": "contoso", "user_id": "alice", "model": "gpt-4o"}


@dataclass
class Told:
    """A host with these counters."""

    found: Sequence[Tally] = ()
    asked: list[Path] = field(default_factory=list)

    async def tallies(self, configuration: Path, state: Path) -> AsyncIterator[Tally]:
        self.asked.append(configuration)
        for one in self.found:
            yield one


@dataclass
class Typed:
    """Types `sluicegate ledger reconcile`, and reads what is answered."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, host: object, *words: str, status: int = 0) -> str:
        """What is on stdout; on stderr with exit status 2."""
        self.capsys.readouterr()
        found: object = 0
        try:
            build([PLUGIN])(args=["ledger", "reconcile", *words], prog_name="sluicegate", obj=host)
        except SystemExit as end:
            found = end.code or 0
        written = self.capsys.readouterr()
        assert found == status, written
        return written.err if status == 2 else written.out


def at(minutes: float) -> str:
    """So long ago, as records have it."""
    return moment((NOW - timedelta(minutes=minutes)).timestamp())


def exchange(number: int, minutes: float, tokens: int) -> list[dict[str, Any]]:
    """The decision and the closing of one that was charged so many tokens, and ten micro-dollars for each."""
    shared = {"exchange_id": f"x-{number}", "request_id": f"q-{number}", "decision": "allow", "level": "info", **WHO}
    decision = {"kind": "decision", "event": "request.allowed", "timestamp": at(minutes)}
    end = {
        "kind": "closing",
        "event": "request.closed",
        "timestamp": at(minutes - 0.5),
        "started": at(minutes),
        "ending": "answered",
        "basis": "metered",
        "requests": 1,
        "reservation_id": f"x-{number}.1",
        "tokens": {"input": tokens, "total": tokens, "weighted": tokens},
        "cost": dollars(10 * tokens),
    }
    return [shared | decision, shared | end]


def write(folder: Path, records: Sequence[dict[str, Any]], *, begun: float = 180) -> None:
    """Write a journal that began so many minutes ago."""

    async def run() -> None:
        writer = JournalWriter(settings(folder), (NOW - timedelta(minutes=begun)).timestamp)
        await writer.start()
        for one in records:
            writer.append(dict(one))
        await writer.stop(5)

    asyncio.run(run())


def recorded(folder: Path) -> list[Closed]:
    """All that is on record."""
    found: list[Closed] = []
    for journal in journals(folder):
        with closing(JournalReader(journal)) as reader:
            found += reader.read(Position(), 100_000)[0]
    return found


def bring(of: LedgerSettings, records: Sequence[Closed]) -> None:
    """Bring records to the ledger."""

    async def run() -> None:
        ledger = Ledger(of)
        await ledger.start()
        await ledger.deliver(records)
        await ledger.stop()

    asyncio.run(run())
