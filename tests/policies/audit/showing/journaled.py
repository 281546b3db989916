"""Records and journals as a gateway would have written them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from policies.audit.canonical import FIRST, seal
from policies.audit.record import SCHEMA, Closed, Record, Reserved, Said, Tokens
from policies.audit.showing.times import stamp

START: Final = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
"""A Monday."""
WHO: Final[dict[str, Any]] = {
    "tenant": "contoso",
    "tenant_id": "t-1",
    "user_id": "alice",
    "app_id": "editor",
    "department": "Research",
    "roles": ("TeamLead",),
}


def record(seconds: float = 0, **fields: Any) -> Record:
    """A record of that time; an event unless it says otherwise."""
    own: dict[str, Any] = {
        "event": "request.allowed",
        "journal": "gw.0",
        "kind": "event",
        "level": "info",
        "previous": FIRST,
        "schema": SCHEMA,
        "sequence": 1,
        "timestamp": stamp(START + timedelta(seconds=seconds)),
    }
    return Record(**own | fields)


def closed(of: Record) -> Closed:
    line, digest = seal(of)
    return Closed(of, digest, line)


def decision(number: int, seconds: float = 0, **fields: Any) -> Record:
    """A request that was allowed."""
    own: dict[str, Any] = {
        "kind": "decision",
        "decision": "allow",
        "result": "success",
        "exchange_id": f"x-{number}",
        "request_id": f"r-{number}",
        "reservation_id": f"v-{number}",
        "model": "gpt-5",
        "operation": "chat",
        "method": "POST",
        "path": "/v1/chat/completions",
        "upstream": "openai",
        "reserved": Reserved(dollars=2_500, input=400, output=1_000, tokens=1_400),
    }
    return record(seconds, **WHO | own | fields)


def refusal(number: int, seconds: float = 0, **fields: Any) -> Record:
    """A request that a limit refused."""
    own: dict[str, Any] = {
        "event": "limit.reached",
        "level": "warning",
        "decision": "reject",
        "result": "refused",
        "policy": "limits",
        "reason": "tokens_per_day_exceeded",
        "status": 429,
        "why": "contoso/user=alice tokens_per_day: 10,000 of 10,000 used",
        "reservation_id": "",
        "reserved": None,
        "upstream": "",
        "decisions": (Said("tokens_per_day_exceeded", True, "reject", "limits", "10,000 of 10,000 used"),),
    }
    return decision(number, seconds, **own | fields)


def closing(number: int, seconds: float = 1, **fields: Any) -> Record:
    """The end of a request that was answered."""
    own: dict[str, Any] = {
        "event": "request.closed",
        "kind": "closing",
        "ending": "answered",
        "ended_by": "upstream",
        "status": 200,
        "basis": "metered",
        "cost": "0.001230",
        "latency_ms": 842,
        "latency_us": 842_111,
        "first_byte_us": 120_000,
        "tokens": Tokens(input=300, output=120, cached_input=80, reasoning=20, total=500, weighted=500),
    }
    return decision(number, seconds, **own | fields)


def write(folder: Path, journal: str, records: Iterable[Record], *, per_segment: int = 1_000) -> list[Closed]:
    """A journal of these records, numbered and chained."""
    place = folder / journal
    place.mkdir(parents=True)
    previous, found = FIRST, list[Closed]()
    lines: list[bytes] = []
    first = 1
    for sequence, one in enumerate(records, 1):
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        own = closed(Record(**fields | {"journal": journal, "sequence": sequence, "previous": previous}))
        previous = own.hash
        found.append(own)
        lines.append(own.line)
        if len(lines) == per_segment:
            _segment(place, first, lines)
            first, lines = sequence + 1, []
    if lines:
        _segment(place, first, lines)
    return found


def _segment(place: Path, first: int, lines: Sequence[bytes]) -> None:
    (place / f"{first:020d}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
