"""Records for tests: single ones, and whole histories of exchanges."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Engine, select

from policies.audit.canonical import FIRST, seal
from policies.audit.ledger.rows import Row
from policies.audit.ledger.sql_tables import EVENTS, USAGE
from policies.audit.record import SCHEMA, Closed, Record, Reserved, Tokens

WHO = {"tenant": "contoso", "tenant_id": "t-1", "department": "R&D", "user_id": "alice", "app_id": "chat"}


def closed(**fields: Any) -> Closed:
    """A record as a reader gives it, with what every record has."""
    whole = {
        "event": "request.allowed",
        "journal": "gw.0",
        "level": "info",
        "previous": FIRST,
        "schema": SCHEMA,
        "sequence": 1,
        "timestamp": "2026-11-20T10:00:00.000000Z",
        **fields,
    }
    record = Record(**whole)
    line, digest = seal(record)
    return Closed(record, digest, line)


def decision(exchange: str = "x1", **fields: Any) -> Closed:
    """An exchange that is let pass."""
    whole: dict[str, Any] = {
        "kind": "decision",
        "exchange_id": exchange,
        "request_id": f"req-{exchange}",
        "decision": "allow",
        "model": "gpt-5",
        "operation": "chat",
        "reservation_id": f"r-{exchange}",
        "session_id": "s1",
        "reserved": Reserved(dollars=900, input=10, output=50, tokens=60),
    }
    return closed(**(whole | WHO | fields))


def closing(exchange: str = "x1", **fields: Any) -> Closed:
    """Its end."""
    whole: dict[str, Any] = {
        "kind": "closing",
        "event": "request.closed",
        "sequence": 2,
        "timestamp": "2026-11-20T10:00:01.000000Z",
        "exchange_id": exchange,
        "request_id": f"req-{exchange}",
        "decision": "allow",
        "model": "gpt-5",
        "operation": "chat",
        "reservation_id": f"r-{exchange}",
        "upstream": "openai",
        "response_model": "gpt-5-2026",
        "ending": "answered",
        "result": "success",
        "status": 200,
        "requests": 1,
        "basis": "metered",
        "cost": "0.000123",
        "latency_us": 5_000,
        "tokens": Tokens(input=10, output=5, cached_input=2, total=17, weighted=20),
    }
    return closed(**(whole | WHO | fields))


def stray(exchange: str, request: str, **fields: Any) -> Closed:
    """The end of an exchange whose verdict did not arrive: all that it knows of it is the id of the request."""
    whole: dict[str, Any] = {
        "kind": "closing",
        "event": "request.closed",
        "sequence": 9,
        "timestamp": "2026-11-20T10:00:02.000000Z",
        "exchange_id": exchange,
        "request_id": request,
        "decision": "none",
        "ending": "client_gone",
        "result": "aborted",
        "basis": "nothing",
    }
    return closed(**(whole | fields))


@st.composite
def exchange_records(draw: st.DrawFn, number: int) -> list[Closed]:
    """What the journals tell of one exchange, in the order in which it was written."""
    name, second = f"x{number}", f"2026-11-20T10:{number:02}"
    found: list[Closed] = []
    where = {"journal": draw(st.sampled_from(["gw.0", "gw.1", "ärger.2"]))}
    decided = draw(st.sampled_from(["real", "recovered", "both", "none"]))
    for recovered in {"real": [""], "recovered": ["decision"], "both": ["", "decision"], "none": []}[decided]:
        verdict = draw(st.sampled_from(["allow", "reject", "respond"]))
        found.append(decision(name, timestamp=f"{second}:00.000000Z", recovered=recovered, decision=verdict, **where))
    end = draw(st.sampled_from(["none", "own", "stray", "own and stray", "two strays"]))
    if "stray" in end:
        found.append(stray(f"s{number}", f"req-{name}", timestamp=f"{second}:05.000000Z", **where))
    if end == "two strays":
        found.append(stray(f"u{number}", f"req-{name}", timestamp=f"{second}:06.000000Z", sequence=10, **where))
    least = 0 if decided != "none" or "stray" in end else 1
    if "own" in end or (least and not found):
        for index in range(draw(st.integers(1, 3))):
            found.append(
                closing(
                    name,
                    timestamp=f"{second}:{10 + index}.000000Z",
                    sequence=20 + index,
                    basis=draw(st.sampled_from(["metered", "chunks", "estimate", "nothing"])),
                    recovered=draw(st.sampled_from(["", "", "closing"])),
                    cost=draw(st.sampled_from(["", "0.000001", "12.500000"])),
                    tokens=draw(st.sampled_from([None, Tokens(input=index + 1, total=index + 1)])),
                    **where,
                )
            )
    if draw(st.booleans()):
        found.append(closed(kind="event", event="limit.changed", sequence=100 + number, before="1", after="2", **where))
    return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Closed], list[list[Closed]]]:
    """A history in order, and the same as batches in any order, with any part of it twice."""
    numbers = range(draw(st.integers(1, 4)))
    ordered = [record for number in numbers for record in draw(exchange_records(number))]
    again = draw(st.lists(st.sampled_from(ordered), max_size=6))
    mixed = draw(st.permutations([*ordered, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(mixed) - 1)), max_size=4)))
    bounds = [0, *cuts, len(mixed)]
    batches = [mixed[first:last] for first, last in pairwise(bounds)]
    return ordered, [batch for batch in batches if batch]


def table(engine: Engine) -> tuple[list[Row], list[Row]]:
    """All that is in the ledger."""
    with engine.connect() as connection:
        usage = [dict(row) for row in connection.execute(select(USAGE).order_by(USAGE.c.exchange_id)).mappings()]
        order = (EVENTS.c.journal, EVENTS.c.sequence)
        events = [dict(row) for row in connection.execute(select(EVENTS).order_by(*order)).mappings()]
    return usage, sorted(events, key=lambda row: (row["journal"], row["sequence"]))
