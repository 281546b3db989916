"""A ledger with a month of exchanges in it, for tests that ask."""

from __future__ import annotations

import asyncio

from policies.audit.ledger.settings import LedgerSettings
from policies.audit.ledger.sql_ledger import Ledger
from policies.audit.record import Closed, Reserved
from tests.policies.audit.ledger.histories import closing, decision, stray


def month() -> list[Closed]:
    """Two tenants; alice and bob of contoso, carol of fabrikam, which has no name; one is refused, one is open."""
    found = []
    used = [
        ("a1", "alice", "gpt-5", "2026-11-01T00:00:00.000000Z", "0.100000"),
        ("a2", "alice", "gpt-5", "2026-11-01T23:59:59.999999Z", "0.200000"),
        ("b1", "bob", "claude", "2026-11-02T00:00:00.000000Z", "1.000001"),
        ("b2", "bob", "local", "2026-11-03T12:00:00.000000Z", ""),
        ("c1", "carol", "gpt-5", "2026-11-30T23:59:59.999999Z", "0.000001"),
        ("c2", "carol", "gpt-5", "2026-12-01T00:00:00.000000Z", "5.000000"),
    ]
    for name, user, model, at, cost in used:
        who = {"user_id": user, "model": model, "timestamp": at}
        who |= {"tenant": "", "tenant_id": "t-2"} if user == "carol" else {}
        found += [decision(name, **who), closing(name, cost=cost, **who)]
    found.append(
        decision(
            "no",
            timestamp="2026-11-05T00:00:00.000000Z",
            decision="reject",
            policy="limits",
            reason="rate_limit_exceeded",
            why="tokens_per_day of contoso/user=alice",
            reservation_id="",
            reserved=None,
        )
    )
    found.append(
        closing("no", timestamp="2026-11-05T00:00:00.100000Z", decision="reject", requests=0, tokens=None, cost="")
    )
    found.append(decision("open", timestamp="2026-11-06T00:00:00.000000Z", reserved=Reserved(dollars=70, tokens=60)))
    found.append(decision("lost", timestamp="2026-11-07T00:00:00.000000Z"))
    found.append(stray("stray", "req-lost", timestamp="2026-11-07T00:00:01.000000Z"))
    return found


def fill(settings: LedgerSettings, records: list[Closed] | None = None) -> None:
    """Make the tables, and put these records there; without any, those of the month."""

    async def run() -> None:
        ledger = Ledger(settings)
        await ledger.start()
        await ledger.deliver(month() if records is None else records)
        await ledger.stop()

    asyncio.run(run())
