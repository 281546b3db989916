"""Exchanges, completions and records in one line each, and words that say what they were asked about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from extproc.call import Call, Operation
from extproc.catalogue import Provider, Target
from extproc.completion import Completion, EndedBy, Ending, Verdict, by_type
from extproc.exchange import Dialect, Exchange, Headers, Request
from extproc.identity import CallerKind, Identity
from extproc.reservation import Reservation
from policies.audit.canonical import FIRST, seal
from policies.audit.record import SCHEMA, Closed, Record

STAMP: Final = "2026-01-01T00:00:00.000000Z"
ALICE: Final = Identity("t-1", "alice", "chat-ui", CallerKind.USER, tenant_name="contoso")
CHAT: Final = Call(Operation.CHAT, Dialect.OPENAI, "gpt-4o")
OPENAI: Final = Target("openai", "/v1/chat/completions", Provider.OPENAI, "gpt-4o")
RESERVED: Final = Reservation("e-1.1", ("t-1", "*"), 100, 90, 400, 2, 900, 4_250)


class Marked:
    """Words in brackets: whatever a client chose must have been through here."""

    def text(self, value: str) -> str:
        return f"<{value}>"

    def tree(self, value: Any) -> Any:
        return {"redacted": value}

    def user(self, tenant: str, user: str) -> str:
        return f"{tenant}:{user}"


class Plain:
    """Words as they are."""

    def text(self, value: str) -> str:
        return value

    def tree(self, value: Any) -> Any:
        return value

    def user(self, tenant: str, user: str) -> str:
        return user


def exchange(*facts: object, headers: Mapping[str, str] | None = None, path: str = "/v1/chat/completions") -> Exchange:
    """An exchange of which these facts are known."""
    fields = tuple((headers or {}).items())
    made = Exchange("e-1", Request("POST", path, "key=s3cret", "gateway.example", "https", Headers(fields), "q-1"))
    for fact in facts:
        made.put(fact)
    return made


def completion(*facts: object, **changes: Any) -> Completion:
    """An exchange that was answered."""
    made = Completion(
        *("e-1", "q-1", "POST", "/v1/chat/completions", 200, Verdict.ALLOW, Ending.ANSWERED, EndedBy.UPSTREAM),
        *(datetime(2026, 1, 1, tzinfo=UTC), 1.5, None, 10, 20),
        facts=by_type(facts),
    )
    return replace(made, **changes)


def record(**members: Any) -> Record:
    """A record of an event, unless it says otherwise."""
    own: dict[str, Any] = {
        "event": "configuration.loaded",
        "journal": "gw.0",
        "kind": "event",
        "level": "info",
        "previous": FIRST,
        "schema": SCHEMA,
        "sequence": 1,
        "timestamp": STAMP,
    }
    return Record(**own | members)


def closed(**members: Any) -> Closed:
    """The same, as it is read back."""
    made = record(**members)
    line, digest = seal(made)
    return Closed(made, digest, line)


def decision(number: int = 1, **members: Any) -> Closed:
    """A request that was allowed."""
    own: dict[str, Any] = {
        "kind": "decision",
        "event": "request.allowed",
        "decision": "allow",
        "exchange_id": f"e-{number}",
        "request_id": f"q-{number}",
    }
    return closed(**own | members)


def closing(number: int = 1, **members: Any) -> Closed:
    """The end of one."""
    own: dict[str, Any] = {
        "kind": "closing",
        "event": "request.closed",
        "decision": "allow",
        "ending": "answered",
        "exchange_id": f"e-{number}",
        "request_id": f"q-{number}",
    }
    return closed(**own | members)
