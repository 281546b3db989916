"""When sessions begin and end. Pure.

A session begins with the first exchange that names it, and ends when none has for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from policies.audit.record import Closed, Kind, Level, Name, Record

_MOST: Final = 100_000
"""Sessions at a time. Of more, the longest idle are ended: clients name them."""


class Session(msgspec.Struct):
    """A session that goes on."""

    tenant_id: str
    tenant: str
    session_id: str
    user_id: str
    app_id: str
    requests: int
    last: float
    seen: str = ""
    """When it was last seen, as the record has it."""

    def fields(self, name: Name) -> dict[str, Any]:
        found: dict[str, Any] = {
            "kind": Kind.EVENT.value,
            "event": name.value,
            "level": Level.INFO.value,
            "result": "success",
            "tenant_id": self.tenant_id,
            "tenant": self.tenant,
            "session_id": self.session_id,
            "user_id": self.user_id,
            "app_id": self.app_id,
        }
        if name is Name.SESSION_ENDED:
            found["requests"] = self.requests
        return {key: value for key, value in found.items() if value}


def _is_of_nobody(record: Record) -> bool:
    """Whether somebody names a session who may not ask: with names enough, they would end the sessions of all others."""
    return record.kind == Kind.DECISION and record.decision == "reject" and not record.tenant_id


class Sessions:
    """All that go on."""

    def __init__(self, idle: float, going: tuple[Session, ...] = (), now: float = 0.0) -> None:
        """`idle`: seconds without an exchange after which a session has ended."""
        self._idle = idle
        self._going = {(one.tenant_id, one.session_id): msgspec.structs.replace(one, last=now) for one in going}
        self._begun: dict[tuple[str, str], dict[str, Any]] = {}

    @property
    def has_begun(self) -> bool:
        """Whether there is one that has begun, and that was not given yet."""
        return bool(self._begun)

    def state(self) -> tuple[Session, ...]:
        return tuple(self._going.values())

    def saw(self, closed: Closed, now: float) -> None:
        """A record was read."""
        record = closed.record
        if not record.session_id or _is_of_nobody(record):
            return
        at = record.tenant_id, record.session_id
        if record.event == Name.SESSION_BEGUN:
            # Written by a former process, which did not come to remember it; or by this one, a while ago.
            self._begun.pop(at, None)
            if at not in self._going:
                self._begin(record, now)
        elif record.event == Name.SESSION_ENDED:
            known = self._going.get(at)
            # It may have begun anew since.
            if known is not None and at not in self._begun and known.seen <= record.timestamp:
                del self._going[at]
        elif record.kind == Kind.DECISION:
            known = self._going.pop(at, None)
            if known is None:
                known = self._begin(record, now)
                self._begun[at] = known.fields(Name.SESSION_BEGUN)
            known.requests += 1
            known.last, known.seen = now, record.timestamp
            # At the end: they stand in the order in which they were last seen.
            self._going[at] = known

    def due(self, now: float) -> Iterator[dict[str, Any]]:
        """What has begun and ended: members of the records. Each is given once."""
        begun, self._begun = self._begun, {}
        yield from begun.values()
        for at, session in list(self._going.items()):
            if session.last + self._idle > now and len(self._going) <= _MOST:
                break
            del self._going[at]
            yield session.fields(Name.SESSION_ENDED)

    def _begin(self, record: Record, now: float) -> Session:
        made = Session(record.tenant_id, record.tenant, record.session_id, record.user_id, record.app_id, 0, now)
        self._going[record.tenant_id, record.session_id] = made
        return made
