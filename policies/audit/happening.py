"""What an event's record says, and what records say of what is to be settled again. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from extproc.completion import Ending, Verdict
from extproc.recorder import Event, Settled
from policies.audit.moments import micro_dollars
from policies.audit.record import Closed, Kind, Level, Name
from policies.audit.words import Words

_TEXTS: Final = frozenset(
    {
        *("action", "after", "app_id", "before", "by", "caller", "department", "exchange_id", "model", "policy"),
        *("reason", "request_id", "reservation_id", "route", "session_id", "subject", "tenant", "tenant_id", "tool"),
        "why",
    }
)
"""What an event may say. All of it is text."""
_RESERVED: Final = ("tokens", "dollars")
"""Weighted tokens and micro-dollars that it may say are charged, as they were reserved; whole numbers."""
_GUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OWN: Final = re.compile(rf"(?:(?:{_GUID}|\*)/)?[0-9a-f]{{32}}(?:\.[0-9]{{1,3}})?|{_GUID}")
"""An exchange, a reservation (also behind its tenant), a request or a tenant."""
_NAMES: Final = frozenset({"exchange_id", "request_id", "reservation_id", "tenant_id"})
_UNTOLD: Final = frozenset({Ending.CLIENT_GONE, Ending.TIMED_OUT, Ending.REFUSED})
"""How an exchange may end whose verdict never arrived, so that nothing went up."""
_LEVELS: Final = {Name.LEASE_EXPIRED.value: Level.WARNING}


def happened(event: Event, words: Words) -> dict[str, Any]:
    """The members of an event's record, but for those of the chain, the time and the configuration."""
    values = event.values
    fields: dict[str, Any] = {
        "kind": Kind.EVENT.value,
        "event": event.name,
        "level": _LEVELS.get(event.name, Level.INFO).value,
        "result": "success",
    }
    for name in _TEXTS & values.keys():
        if text := values[name]:
            fields[name] = _told(text, words) if name in _NAMES else words.text(text)
    if user := values.get("user_id"):
        fields["user_id"] = words.user(values.get("tenant") or values.get("tenant_id", ""), user)
    if (requests := values.get("requests", "")).isdecimal():
        fields["requests"] = int(requests)
    if reserved := {name: int(values[name]) for name in _RESERVED if values.get(name, "").isdecimal()}:
        fields["reserved"] = reserved
    if event.of:
        fields["of"] = _told(event.of, words)
    return fields


def _told(text: str, words: Words) -> str:
    """Names that the gateway has made hold nothing, though one in a hundred looks like a telephone number."""
    return text if _OWN.fullmatch(text) else words.text(text)


def settled(records: Iterable[Closed]) -> Iterable[Settled]:
    """What closing records say was used under a reservation; and of which exchanges they say that their verdict did not
    arrive, whatever is reserved for them."""
    for closed in records:
        record = closed.record
        if record.kind != Kind.CLOSING or record.recovered:
            continue
        if record.reservation_id:
            weighted = record.tokens.weighted if record.tokens is not None else 0
            spent = micro_dollars(record.cost) if record.cost else 0
            yield Settled(record.reservation_id, record.accounts, record.requests, weighted, spent)
        elif record.decision == Verdict.NONE and record.ending in _UNTOLD and record.request_id:
            yield Settled("", (), 0, 0, 0, record.request_id)
