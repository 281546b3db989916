"""Records of exchanges at a number of minutes after midnight, and the counters that they make."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from extproc.tally import Tally
from policies.audit.moments import dollars, moment
from policies.audit.reconciling.accounts import Accounts
from policies.audit.record import Closed, Reserved, Tokens
from tests.policies.audit import world

DAY: Final = datetime(2026, 1, 10, tzinfo=UTC)
NEXT: Final = DAY + timedelta(days=1)
WHO: Final = {"tenant_id": "t-1", "user_id": "alice", "department": "R&D", "app_id": "chat", "model": "gpt-4o"}


def at(minutes: float) -> str:
    """So long after midnight, as records have it."""
    return moment((DAY + timedelta(minutes=minutes)).timestamp())


def decided(number: int, minutes: float, **members: Any) -> Closed:
    """A request that was let pass."""
    return world.decision(number, **WHO | {"timestamp": at(minutes)} | members)


def ended(number: int, minutes: float, tokens: int | None = 10, micro: int = 100, **members: Any) -> Closed:
    """The end of one that began then, a minute later."""
    own: dict[str, Any] = {
        "started": at(minutes),
        "timestamp": at(minutes + 1),
        "requests": 1,
        "reservation_id": f"e-{number}.1",
        "tokens": Tokens(weighted=tokens) if tokens is not None else None,
        "cost": dollars(micro),
    }
    return world.closing(number, **WHO | own | members)


def lost(number: int, minutes: float, tokens: int = 90, **members: Any) -> Closed:
    """The end of one of which nothing was heard: written ten minutes later."""
    late: dict[str, Any] = {"timestamp": at(minutes + 10), "recovered": "closing", "ending": "lost"}
    return ended(number, minutes, tokens, **late | members)


def stray(number: int, minutes: float, of: str, **members: Any) -> Closed:
    """The end of a request whose verdict did not arrive."""
    none = dict.fromkeys(WHO, "")
    unknown: dict[str, Any] = {
        "decision": "none",
        "request_id": of,
        "requests": 0,
        "reservation_id": "",
        "tokens": None,
        "cost": "",
    }
    return ended(number, minutes, **none | unknown | members)


def event(name: str, minutes: float, **members: Any) -> Closed:
    """Something else that happened."""
    return world.closed(event=name, timestamp=at(minutes), **members)


def lease(number: int, minutes: float, tokens: int = 50, micro: int = 500, **members: Any) -> Closed:
    """A reservation was charged as it was made, for nobody settled it."""
    name = f"e-{number}.1"
    own: dict[str, Any] = {"reservation_id": name, "of": f"t-1/{name}", "tenant_id": "t-1", "user_id": "alice"}
    own |= {"requests": 1, "reserved": Reserved(tokens=tokens, dollars=micro)}
    return event("limit.lease_expired", minutes, **own | members)


def accounts(records: Iterable[Closed], since: datetime = DAY, until: datetime = NEXT) -> Accounts:
    """What these records say of a day."""
    made = Accounts(since, until)
    for one in records:
        made.saw(one.record)
    return made.whole()


def tally(measure: str, used: int, *, reserved: int = 0, start: datetime = DAY, **changes: Any) -> Tally:
    """A counter of the day: alice's, unless it says otherwise."""
    subject = changes.pop("subject", {"tenant_id": "t-1", "user_id": "alice"})
    name = changes.pop("name", f"t-1/user=alice {measure}_per_day")
    return Tally(subject, measure, start, NEXT, used, reserved, name, **changes)
